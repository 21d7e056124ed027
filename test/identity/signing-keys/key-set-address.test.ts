import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { keySetAddressIn, metadataAddresses } from '../../../src/identity/signing-keys/key-set-address.ts'
import { makeSelfSigned } from '../self-signed.ts'
import { createAuthority } from '../../support/certificates.ts'
import { issuerForTest, settingsOf, verifierForTest } from '../support.ts'

const wellKnown = (issuer: string) => metadataAddresses(new URL(issuer)).map(String)

describe('the metadata of an issuer', () => {
  it('is looked for in two places when the issuer has no path', () => {
    const places = [
      'https://sso.example/.well-known/openid-configuration',
      'https://sso.example/.well-known/oauth-authorization-server',
    ]
    expect(wellKnown('https://sso.example')).toEqual(places)
    expect(wellKnown('https://sso.example/')).toEqual(places)
    expect(wellKnown('https://sso.example/?x=1#y')).toEqual(places)
  })

  it('is looked for before and after the path when there is one', () => {
    expect(wellKnown('https://sso.example:8443/realms/corp/')).toEqual([
      'https://sso.example:8443/realms/corp/.well-known/openid-configuration',
      'https://sso.example:8443/.well-known/oauth-authorization-server/realms/corp',
      'https://sso.example:8443/realms/corp/.well-known/oauth-authorization-server',
    ])
  })

  it.each([
    ['https://keys.example/jwks', 'https://sso.example', 'https://keys.example/jwks'],
    ['https://10.0.0.7/jwks', 'https://sso.example', 'https://10.0.0.7/jwks'],
    ['https://127.0.0.1/jwks', 'https://sso.example', null],
    ['https://localhost:2379/jwks', 'https://sso.example', null],
    ['https://[::1]/jwks', 'https://sso.example', null],
    ['https://2130706433/jwks', 'https://sso.example', null],
    ['http://127.0.0.1/jwks', 'https://sso.example', null],
    ['http://127.0.0.1:5/jwks', 'http://127.0.0.1:4', 'http://127.0.0.1:5/jwks'],
    ['http://keys.example/jwks', 'http://127.0.0.1:4', null],
    ['ftp://keys.example/jwks', 'https://sso.example', null],
  ])('may point to %s from %s: %s', (jwksUri, issuer, expected) => {
    const find = () => String(keySetAddressIn({ issuer, jwks_uri: jwksUri }, issuer, new URL(issuer)))
    if (expected === null) expect(find).toThrow('must be https and not on this machine')
    else expect(find()).toBe(expected)
  })
})

describe('the certificate authority of an issuer', () => {
  const authority = createAuthority('an internal authority')

  async function lastErrorWith(ca: string | null, name = 'localhost'): Promise<string | null> {
    const issuer = await issuerForTest()
    const keys = await (await fetch(issuer.jwksUri)).text()
    const server = createServer(authority.issue({ name }), (request, response) => {
      const { port } = server.address() as AddressInfo
      const own = `https://localhost:${port}`
      response.end(request.url === '/jwks' ? keys : JSON.stringify({ issuer: own, jwks_uri: `${own}/jwks` }))
    })
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    const { port } = server.address() as AddressInfo
    const verifier = verifierForTest([settingsOf(`https://localhost:${port}`, { ca })])
    await verifier.start()
    const [status] = verifier.status()
    expect(status?.keys).toBe(status?.lastError === null ? 1 : 0)
    return status?.lastError ?? null
  }

  it('is believed for metadata and keys when it is named, for the names of the certificate alone', async () => {
    expect(await lastErrorWith(authority.ca)).toBeNull()
    expect(await lastErrorWith(null)).toMatch(/UNABLE_TO_VERIFY_LEAF_SIGNATURE|SELF_SIGNED/)
    expect(await lastErrorWith(createAuthority('another authority').ca)).toMatch(/UNABLE_TO_VERIFY|SELF_SIGNED/)
    expect(await lastErrorWith(authority.ca, 'other.example')).toContain('ERR_TLS_CERT_ALTNAME_INVALID')
  })
})

describe('an issuer with a certificate that nobody vouches for', () => {
  it('is not believed and not even asked, also where the environment turns verification off', async () => {
    const requests: (string | undefined)[] = []
    const server = createServer(makeSelfSigned('localhost'), (request, response) => {
      requests.push(request.url)
      response.end('{"keys":[]}')
    })
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    // A server that listens on TCP has an AddressInfo.
    const { port } = server.address() as AddressInfo
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0')
    onTestFinished(() => void vi.unstubAllEnvs())
    const jwksUri = `https://localhost:${port}/jwks`
    const verifier = verifierForTest([settingsOf('https://sso.example', { jwksUri })])
    await verifier.start()
    expect(verifier.status()[0]?.lastError).toBe(`GET ${jwksUri}: connection failed (DEPTH_ZERO_SELF_SIGNED_CERT)`)
    expect(requests).toEqual([])
  })
})
