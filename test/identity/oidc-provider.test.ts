// The verifier against a real OpenID provider: its metadata, its key set, its access tokens and its outages.

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, type JWK } from 'jose'
import type { Provider } from 'oidc-provider'
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import type { TokenVerifier } from '../../src/identity/token-verifier.ts'
import { freePort } from '../support/free-ports.ts'
import { createJwtProvider } from '../support/jwt-provider.ts'
import { createClock, outcomeOf, problemOf, settingsOf, verifierForTest } from './support.ts'

const resource = 'https://gateway.corp.example'

interface OpenIdProvider {
  readonly issuer: string
  /** An access token for the gateway, by client credentials (RFC 6749 section 4.4, RFC 8707). */
  token(audience?: string): Promise<string>
  rotate(): Promise<void>
  hang(hanging: boolean): void
  stop(): Promise<void>
  restart(): Promise<void>
}

async function makeSigningKey(): Promise<JWK> {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true })
  return { ...(await exportJWK(privateKey)), alg: 'RS256', use: 'sig' }
}

function createProvider(issuer: string, keys: readonly JWK[]): Provider {
  return createJwtProvider(issuer, {
    keys,
    clients: [{ id: 'payments-bot', secret: 'only-for-tests' }],
    lifetimeS: 600,
    claimsOf: () => ({ groups: ['sso-payments-eng'], email: 'bot@corp.example' }),
  })
}

async function startProvider(): Promise<OpenIdProvider> {
  let hanging = false
  let handle: ReturnType<Provider['callback']> | null = null
  const server = createServer((request, response) => {
    if (hanging || handle === null) return
    void handle(request, response)
  })
  const listen = (port: number) => new Promise<void>((resolve) => void server.listen(port, '127.0.0.1', resolve))
  // It stops and comes back at its port, which nobody may take in the meantime.
  await listen(await freePort())
  // A server that listens on TCP has an AddressInfo.
  const { port } = server.address() as AddressInfo
  const issuer = `http://127.0.0.1:${port}`
  const rotate = async () => {
    handle = createProvider(issuer, [await makeSigningKey()]).callback()
  }
  await rotate()

  const stop = async () => {
    if (!server.listening) return
    const closed = new Promise((resolve) => server.close(resolve))
    server.closeAllConnections()
    await closed
  }
  onTestFinished(stop)

  return {
    issuer,
    async token(audience = resource) {
      const response = await fetch(`${issuer}/token`, {
        method: 'POST',
        headers: { authorization: `Basic ${Buffer.from('payments-bot:only-for-tests').toString('base64')}` },
        body: new URLSearchParams({ grant_type: 'client_credentials', resource: audience }),
      })
      const answer: unknown = await response.json()
      if (typeof answer === 'object' && answer !== null && 'access_token' in answer) return String(answer.access_token)
      throw new Error(`no token: ${JSON.stringify(answer)}`)
    },
    rotate,
    hang(value) {
      hanging = value
    },
    stop,
    restart: () => listen(port),
  }
}

async function setUp(timings = {}) {
  const provider = await startProvider()
  const settings = settingsOf(provider.issuer, {
    audience: [resource],
    claims: { subject: 'sub', email: 'email', groups: 'groups', app: 'client_id' },
  })
  const clock = createClock()
  const verifier: TokenVerifier = verifierForTest([settings], { now: clock.now, timings })
  await verifier.start()
  const outcome = (token: string) => outcomeOf(() => verifier.verify(token))
  return { provider, verifier, clock, outcome }
}

describe('with a real OpenID provider', () => {
  // It warns about its memory store and default lifetimes at every start; both are what a test wants.
  beforeAll(() => {
    const silenced = [vi.spyOn(console, 'warn'), vi.spyOn(console, 'info')].map((spy) => spy.mockReturnValue())
    return () => silenced.forEach((spy) => spy.mockRestore())
  })

  it('an access token becomes a principal', async () => {
    const { provider, verifier } = await setUp()
    const token = await provider.token()
    expect(JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString())).toMatchObject({ typ: 'at+jwt' })
    expect(await verifier.verify(token)).toMatchObject({
      issuer: provider.issuer,
      subject: 'payments-bot',
      app: 'payments-bot',
      email: 'bot@corp.example',
      groups: ['sso-payments-eng'],
    })
  })

  it('a token for another resource is refused', async () => {
    const { provider, outcome } = await setUp()
    expect(await outcome(await provider.token('https://other.corp.example'))).toBe('token-rejected/audience-mismatch')
  })

  it('a token is refused when it has expired', async () => {
    const { provider, clock, outcome } = await setUp()
    const token = await provider.token()
    expect(await outcome(token)).toBe('accepted')
    clock.advance(631_000)
    expect(await outcome(token)).toBe('token-expired/token-expired')
  })

  it('a rotation of its keys is followed at once, and the old key ends with it', async () => {
    const { provider, outcome } = await setUp()
    const old = await provider.token()
    expect(await outcome(old)).toBe('accepted')
    await provider.rotate()
    expect(await outcome(await provider.token())).toBe('accepted')
    expect(await outcome(old)).toBe('token-rejected/key-unknown')
  })

  it('an outage is outlived by the keys that are known, and a rotation after it is followed', async () => {
    const { provider, verifier, outcome } = await setUp({ refreshIntervalMs: 20, retryDelayMs: 5 })
    const [seen, unseen] = [await provider.token(), await provider.token()]
    expect(await outcome(seen)).toBe('accepted')
    await provider.stop()
    await vi.waitFor(() => expect(verifier.status()[0]?.lastError).toContain('connection failed'), 10_000)
    expect([await outcome(seen), await outcome(unseen), verifier.ready()]).toEqual(['accepted', 'accepted', true])
    await provider.rotate()
    await provider.restart()
    await vi.waitFor(() => expect(verifier.status()[0]?.lastError).toBe(null), 10_000)
    expect(await outcome(await provider.token())).toBe('accepted')
  })

  it('a provider that hangs delays nobody whose key is known', async () => {
    const { provider, verifier, outcome } = await setUp({ refreshIntervalMs: 10, fetchTimeoutMs: 100 })
    const token = await provider.token()
    provider.hang(true)
    await vi.waitFor(() => expect(verifier.status()[0]?.lastError).toContain('no answer within 100 ms'), 10_000)
    expect(await outcome(token)).toBe('accepted')
    provider.hang(false)
    await vi.waitFor(() => expect(verifier.status()[0]?.lastError).toBe(null), 10_000)
  })

  it('a provider that is down at the start is found later', async () => {
    const provider = await startProvider()
    const token = await provider.token()
    await provider.stop()
    const settings = settingsOf(provider.issuer, { audience: [resource] })
    const verifier = verifierForTest([settings], { timings: { retryDelayMs: 5 } })
    await verifier.start()
    expect(verifier.ready()).toBe(false)
    expect((await problemOf(() => verifier.verify(token)))?.kind).toBe('identity-provider-unavailable')
    await provider.restart()
    await vi.waitFor(() => expect(verifier.ready()).toBe(true), 10_000)
    expect(await outcomeOf(() => verifier.verify(token))).toBe('accepted')
  })
})
