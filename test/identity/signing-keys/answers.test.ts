// Answers of an issuer, and which of them replace no keys.

import { exportJWK, generateKeyPair } from 'jose'
import { describe, expect, it, vi } from 'vitest'
import { sendJson, type Issuer } from '../../support/issuer.ts'
import { makeRsaKey } from '../raw-token.ts'
import { issuerForTest, outcomeOf, setUp, settingsOf, verifierForTest } from '../support.ts'

describe('a set that nothing can be verified with', () => {
  const sets: [string, (issuer: Issuer) => Promise<unknown>, string][] = [
    ['an empty one', async () => ({ keys: [] }), 'no usable key in it'],
    ['keys for encryption', async () => ({ keys: [{ ...(await es256()), use: 'enc' }] }), 'no usable key in it'],
    ['keys that sign', async () => ({ keys: [{ ...(await es256()), key_ops: ['sign'] }] }), 'no usable key in it'],
    [
      'key operations that are no list',
      async () => ({ keys: [{ ...(await es256()), key_ops: 'verify' }] }),
      'no usable key in it',
    ],
    ['another algorithm', async () => ({ keys: [{ ...(await es256()), alg: 'ES512' }] }), 'not among the allowed ones'],
    ['a weak key', async () => ({ keys: [makeRsaKey('weak', 1024).jwk] }), 'its modulus has 1024 bits'],
    [
      'a key with an unsafe exponent',
      async () => ({ keys: [{ ...makeRsaKey('one').jwk, e: 'AQ' }] }),
      'exponent is unsafe',
    ],
    ['a shared secret', async () => ({ keys: [{ kty: 'oct', kid: 'oct', k: 'c2VjcmV0' }] }), 'it is a shared secret'],
    ['members that are no keys', async () => ({ keys: [null, 7, [], 'key'] }), 'it is not an object'],
    ['a list', async () => [], 'not a key set'],
    [
      'thousands of keys for something else',
      async () => ({ keys: Array.from({ length: 5_000 }, (_, n) => ({ kty: 'oct', use: 'enc', kid: `${n}` })) }),
      'no usable key in it',
    ],
  ]
  async function es256() {
    return { ...(await exportJWK((await generateKeyPair('ES256')).publicKey)), kid: 'key-1' }
  }

  it.each(sets)('replaces no good one, and says why: %s', async (_name, make, why) => {
    const { issuer, verifier, log, outcome } = await setUp({ timings: { refreshIntervalMs: 10 } })
    const token = await issuer.sign()
    expect(await outcome(Promise.resolve(token))).toBe('accepted')
    const document = await make(issuer)
    issuer.respond('/jwks', (__, response) => sendJson(response, document))
    await vi.waitFor(() => expect(verifier.status()[0]?.lastError).toContain(why), 10_000)
    expect(verifier.ready()).toBe(true)
    expect(await outcome(Promise.resolve(token))).toBe('accepted')
    expect(await outcome(issuer.sign({ sub: 'new' }))).toBe('accepted')
    const { givenUpInMs, fetches } = verifier.status()[0] ?? {}
    expect(givenUpInMs).toBeGreaterThan(86_000_000)
    expect(fetches?.failed).toBeGreaterThan(0)
    expect(log.lines.filter((line) => line.includes('signing-keys-failed'))).toHaveLength(1)
    issuer.respond('/jwks', null)
    await vi.waitFor(() => expect(verifier.status()[0]).toMatchObject({ lastError: null, givenUpInMs: null }), 10_000)
  })

  it('keeps an instance from being ready at the start, and its tokens get 503', async () => {
    const [issuer, other] = [await issuerForTest(), await issuerForTest()]
    issuer.respond('/jwks', (_, response) => sendJson(response, { keys: [] }))
    const verifier = verifierForTest([settingsOf(issuer.issuer), settingsOf(other.issuer)])
    await verifier.start()
    expect(verifier.ready()).toBe(false)
    expect(await outcomeOf(async () => verifier.verify(await issuer.sign()))).toBe(
      'identity-provider-unavailable/signing-keys-unavailable',
    )
    expect(await outcomeOf(async () => verifier.verify(await other.sign()))).toBe('accepted')
  })

  it('differs from a set in which a good key follows many others', async () => {
    const { issuer, outcome } = await setUp()
    await issuer.rotate()
    const { keys } = (await (await fetch(issuer.jwksUri)).json()) as { keys: object[] }
    const many = Array.from({ length: 1_000 }, (_, n) => ({ kty: 'RSA', use: 'enc', kid: `enc-${n}` }))
    issuer.respond('/jwks', (_, response) => sendJson(response, { keys: [...many, ...keys] }))
    expect(await outcome(issuer.sign())).toBe('accepted')
  })
})

describe('what an issuer answers', () => {
  const metadataPath = '/.well-known/openid-configuration'

  async function failing(prepare: (issuer: Issuer) => void, changes = {}) {
    const issuer = await issuerForTest()
    prepare(issuer)
    const verifier = verifierForTest([settingsOf(issuer.issuer, changes)], { timings: { fetchTimeoutMs: 1000 } })
    await verifier.start()
    expect(verifier.ready()).toBe(false)
    return (verifier.status()[0]?.lastError ?? '').replaceAll(issuer.issuer, 'ISSUER')
  }

  it.each<[what: string, prepare: (issuer: Issuer) => void, error: string]>([
    [
      'a redirect',
      (issuer) =>
        issuer.respond('/jwks', (_, response) => response.writeHead(302, { location: '/elsewhere' }).end('moved')),
      'GET ISSUER/jwks: answered 302, and redirects are not followed',
    ],
    [
      'an error',
      (issuer) => issuer.respond('/jwks', (_, response) => response.writeHead(500).end('oops')),
      'GET ISSUER/jwks: answered 500',
    ],
    [
      'a page',
      (issuer) => issuer.respond('/jwks', (_, response) => response.end('<html>')),
      'GET ISSUER/jwks: the answer is not JSON',
    ],
    [
      'another document',
      (issuer) => issuer.respond('/jwks', (_, response) => sendJson(response, { key: [] })),
      'GET ISSUER/jwks: not a key set',
    ],
    [
      'null',
      (issuer) => issuer.respond('/jwks', (_, response) => sendJson(response, null)),
      'GET ISSUER/jwks: not a key set',
    ],
    [
      'too much',
      (issuer) =>
        issuer.respond('/jwks', (_, response) => response.end(`{"keys":[],"fill":"${'x'.repeat(1024 * 1024)}"}`)),
      'GET ISSUER/jwks: answered more than 524288 bytes',
    ],
    ['nothing', (issuer) => issuer.respond('/jwks', () => {}), 'GET ISSUER/jwks: no answer within 1000 ms'],
    [
      'byte by byte',
      (issuer) =>
        issuer.respond('/jwks', (_, response) => {
          const timer = setInterval(() => response.write(' '), 50)
          response.on('close', () => clearInterval(timer)).on('error', () => {})
        }),
      'GET ISSUER/jwks: no answer within 1000 ms',
    ],
    [
      'slow metadata and then slow keys',
      (issuer) => {
        issuer.respond('/.well-known/openid-configuration', (_, response) =>
          setTimeout(() => sendJson(response, { issuer: issuer.issuer, jwks_uri: issuer.jwksUri }), 600),
        )
        issuer.respond('/jwks', (_, response) => setTimeout(() => sendJson(response, { keys: [] }), 600))
      },
      'GET ISSUER/jwks: no answer within 1000 ms',
    ],
    [
      'half of it',
      (issuer) =>
        issuer.respond('/jwks', (_, response) => response.writeHead(200, { 'content-length': 100 }).write('{"keys"')),
      'GET ISSUER/jwks: no answer within 1000 ms',
    ],
    [
      'a cut',
      (issuer) => issuer.respond('/jwks', (_, response) => response.destroy()),
      'GET ISSUER/jwks: connection failed (UND_ERR_SOCKET)',
    ],
    [
      'metadata that are a list',
      (issuer) => issuer.respond(metadataPath, (_, response) => sendJson(response, [])),
      'the metadata document is not an object',
    ],
    [
      'metadata of another issuer',
      (issuer) =>
        issuer.respond(metadataPath, (_, response) =>
          sendJson(response, { issuer: `${issuer.issuer}/`, jwks_uri: issuer.jwksUri }),
        ),
      'the metadata document of ISSUER names the issuer "ISSUER/", and both must be equal',
    ],
    [
      'metadata without keys',
      (issuer) => issuer.respond(metadataPath, (_, response) => sendJson(response, { issuer: issuer.issuer })),
      'the metadata document of ISSUER has no jwks_uri',
    ],
    [
      'metadata that point to plain http elsewhere',
      (issuer) =>
        issuer.respond(metadataPath, (_, response) =>
          sendJson(response, { issuer: issuer.issuer, jwks_uri: 'http://keys.example/jwks' }),
        ),
      'the jwks_uri in the metadata document of ISSUER must be https and not on this machine',
    ],
    [
      'metadata that point to a file',
      (issuer) =>
        issuer.respond(metadataPath, (_, response) =>
          sendJson(response, { issuer: issuer.issuer, jwks_uri: 'file:///etc/passwd' }),
        ),
      'the jwks_uri in the metadata document of ISSUER must be https and not on this machine',
    ],
  ])('when it is %s is an error that says so', async (_, prepare, error) => {
    expect(await failing(prepare)).toBe(error)
  })

  it.each([
    ['http://keys.example/jwks', 'http://keys.example/jwks: only https is fetched, and http from this machine alone'],
    [
      'http://127.0.0.1.keys.example/',
      'http://127.0.0.1.keys.example/: only https is fetched, and http from this machine alone',
    ],
    ['https://ann:secret@keys.example/jwks', 'https://keys.example/jwks: the address must not hold credentials'],
    ['keys.example', 'jwks_uri is not an address; set issuers[].jwks_uri'],
  ])('is not even asked for at %s', async (jwksUri, error) => {
    expect(await failing(() => {}, { jwksUri })).toContain(error)
    expect(await failing(() => {}, { jwksUri })).not.toContain('secret')
  })

  it('is looked for in the places of RFC 8414 when there is no OpenID document', async () => {
    const issuer = await issuerForTest()
    const tenant = `${issuer.issuer}/tenant/a`
    issuer.respond('/.well-known/oauth-authorization-server/tenant/a', (_, response) =>
      sendJson(response, { issuer: tenant, jwks_uri: issuer.jwksUri }),
    )
    const verifier = verifierForTest([settingsOf(tenant)])
    await verifier.start()
    expect(issuer.requests).toEqual([
      '/tenant/a/.well-known/openid-configuration',
      '/.well-known/oauth-authorization-server/tenant/a',
      '/jwks',
    ])
    expect(await outcomeOf(async () => verifier.verify(await issuer.sign({ iss: tenant })))).toBe('accepted')
  })

  it('is looked for in the appended place too, and nowhere else', async () => {
    const issuer = await issuerForTest()
    const verifier = verifierForTest([settingsOf(`${issuer.issuer}/tenant/`)])
    await verifier.start()
    expect(issuer.requests).toEqual([
      '/tenant/.well-known/openid-configuration',
      '/.well-known/oauth-authorization-server/tenant',
      '/tenant/.well-known/oauth-authorization-server',
    ])
    expect(verifier.status()[0]?.lastError).toContain('/tenant/.well-known/openid-configuration: answered 404')
  })
})
