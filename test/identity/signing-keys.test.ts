import { exportJWK, generateKeyPair } from 'jose'
import { describe, expect, it, vi } from 'vitest'
import { Problem } from '../../src/problems.ts'
import { sendJson, startIssuer, type Issuer } from '../support/issuer.ts'
import type { IssuerConfig } from '../../src/config/issuer-schema.ts'
import {
  createClock,
  createLog,
  issuerForTest,
  outcomeOf,
  problemOf,
  settingsOf,
  verifierForTest,
  type VerifierChanges,
} from './setting.ts'

const jwksFetches = (issuer: Issuer) => issuer.requests.filter((path) => path === '/jwks').length
const unknown = async (issuer: Issuer, kid: string) => issuer.sign({}, { header: { kid } })

/** An issuer and a started verifier of it, under a clock that is set by hand. */
async function setUp(changes: VerifierChanges = {}, settings: Partial<IssuerConfig> = {}) {
  const issuer = await issuerForTest()
  const clock = createClock()
  const log = createLog()
  const verifier = verifierForTest([settingsOf(issuer.issuer, settings)], { now: clock.now, log, ...changes })
  await verifier.start()
  const outcome = (token: Promise<string>) => outcomeOf(async () => verifier.verify(await token))
  return { issuer, clock, log, verifier, outcome }
}

describe('the keys of an issuer', () => {
  it('are fetched at start, by way of the metadata document, and then the verifier is ready', async () => {
    const issuer = await issuerForTest()
    const verifier = verifierForTest([settingsOf(issuer.issuer)])
    expect(verifier.ready()).toBe(false)
    expect(verifier.status()).toEqual([{ issuer: issuer.issuer, keys: 0, fetchedAtMs: null, lastError: null }])
    await verifier.start()
    expect(issuer.requests).toEqual(['/.well-known/openid-configuration', '/jwks'])
    expect(verifier.ready()).toBe(true)
    expect(verifier.status()).toMatchObject([{ issuer: issuer.issuer, keys: 1, lastError: null }])
    expect(verifier.status()[0]?.fetchedAtMs).toBeLessThanOrEqual(Date.now())
  })

  it('are fetched from the configured address without the metadata document', async () => {
    const issuer = await issuerForTest()
    const verifier = verifierForTest([settingsOf(issuer.issuer, { jwksUri: issuer.jwksUri })])
    await verifier.start()
    expect(issuer.requests).toEqual(['/jwks'])
    expect(verifier.ready()).toBe(true)
  })

  it('are fetched by the first token when nobody has started the verifier', async () => {
    const issuer = await issuerForTest()
    const verifier = verifierForTest([settingsOf(issuer.issuer)])
    expect(await outcomeOf(async () => verifier.verify(await issuer.sign()))).toBe('accepted')
  })

  it('are fetched again in the background, so that a withdrawn key is noticed without any request', async () => {
    const { issuer, verifier, outcome } = await setUp({ timings: { refreshIntervalMs: 20 } })
    const token = await issuer.sign()
    expect(await outcome(Promise.resolve(token))).toBe('accepted')
    await issuer.rotate({ withdraw: true })
    await vi.waitFor(() => expect(verifier.verify(token)).toBeInstanceOf(Promise), 10_000)
    expect(await outcome(Promise.resolve(token))).toBe('token-rejected/key-unknown')
    expect(await outcome(issuer.sign())).toBe('accepted')
  })

  it('are no longer fetched after the end', async () => {
    const { issuer, verifier } = await setUp({ timings: { refreshIntervalMs: 5 } })
    await vi.waitFor(() => expect(jwksFetches(issuer)).toBeGreaterThan(2), 10_000)
    verifier.close()
    await new Promise((resolve) => setTimeout(resolve, 30))
    const before = jwksFetches(issuer)
    await new Promise((resolve) => setTimeout(resolve, 60))
    expect(jwksFetches(issuer)).toBe(before)
  })

  it('of the wrong kind are left out, with a warning that names them, once', async () => {
    const { issuer, log, verifier } = await setUp({ timings: { refreshIntervalMs: 5 } })
    issuer.publish({ kty: 'oct', kid: 'shared', k: 'c2VjcmV0' })
    await vi.waitFor(() => expect(log.lines.join()).toContain('shared'), 10_000)
    const fetched = jwksFetches(issuer)
    await vi.waitFor(() => expect(jwksFetches(issuer)).toBeGreaterThan(fetched + 2), 10_000)
    expect(log.lines.filter((line) => line.includes('shared'))).toHaveLength(1)
    expect(verifier.ready()).toBe(true)
  })
})

describe('an issuer that cannot be reached', () => {
  it('keeps the verifier unready, is asked again and again, and is found when it comes', async () => {
    const issuer = await startIssuer()
    await issuer.stop()
    const verifier = verifierForTest([settingsOf(issuer.issuer)], { timings: { retryDelayMs: 5 } })
    await verifier.start()
    expect(verifier.ready()).toBe(false)
    expect(verifier.status()[0]?.lastError).toBe(
      `GET ${issuer.issuer}/.well-known/openid-configuration: connection failed (ECONNREFUSED)`,
    )
    const problem = await problemOf(async () => verifier.verify(await issuer.sign()))
    expect(problem).toMatchObject({
      kind: 'identity-provider-unavailable',
      status: 503,
      fields: { 'retry-after': '5' },
    })
    expect(problem?.message).not.toContain(issuer.issuer)

    await issuer.restart()
    await vi.waitFor(() => expect(verifier.ready()).toBe(true), 10_000)
    expect(await outcomeOf(async () => verifier.verify(await issuer.sign()))).toBe('accepted')
    await issuer.stop()
  })

  it('does not keep the keys of another from being ready, but the whole is not ready', async () => {
    const [up, down] = [await issuerForTest(), await startIssuer()]
    await down.stop()
    const verifier = verifierForTest([settingsOf(up.issuer), settingsOf(down.issuer)])
    await verifier.start()
    expect(verifier.ready()).toBe(false)
    expect(verifier.status().map(({ keys }) => keys)).toEqual([1, 0])
    expect(await outcomeOf(async () => verifier.verify(await up.sign()))).toBe('accepted')
  })

  it('is outlived by the last good set; only keys nobody knows make 503', async () => {
    const { issuer, verifier, log, outcome } = await setUp({ timings: { refreshIntervalMs: 20, retryDelayMs: 5 } })
    await issuer.stop()
    await vi.waitFor(() => expect(verifier.status()[0]?.lastError).not.toBe(null), 10_000)
    expect(verifier.ready()).toBe(true)
    expect(await outcome(issuer.sign())).toBe('accepted')
    const old = await issuer.sign()
    await issuer.rotate()
    expect(await outcome(issuer.sign())).toBe('identity-provider-unavailable/signing-keys-unavailable')
    expect(await outcome(Promise.resolve(old))).toBe('accepted')

    await issuer.restart()
    await vi.waitFor(() => expect(verifier.status()[0]?.lastError).toBe(null), 10_000)
    expect(await outcome(issuer.sign())).toBe('accepted')
    expect(log.lines.filter((line) => line.includes('could not be fetched'))).toHaveLength(1)
  })

  it('is believed for a day and no longer, whether the token was verified before or not', async () => {
    const day = 24 * 60 * 60_000
    const timings = { refreshIntervalMs: 10, retryDelayMs: 5 }
    const { issuer, verifier, clock, log, outcome } = await setUp({ timings }, { maxLifetimeMs: 3 * day })
    const token = await issuer.sign({}, { lifetimeS: 2 * 86_400 })
    expect(await outcome(Promise.resolve(token))).toBe('accepted')
    await issuer.stop()
    clock.advance(day - 60_000)
    await vi.waitFor(() => expect(verifier.status()[0]?.lastError).not.toBe(null), 10_000)
    expect(verifier.verify(token)).not.toBeInstanceOf(Promise)
    clock.advance(60_000)
    await vi.waitFor(() => expect(verifier.ready()).toBe(false), 10_000)
    expect(await outcome(Promise.resolve(token))).toBe('identity-provider-unavailable/signing-keys-unavailable')
    expect(log.lines.join('\n')).toContain('error signing keys are too old to be believed')
  })

  it('holds up one fetch and not request after request when it hangs, however long that takes', async () => {
    const { issuer, clock, outcome } = await setUp({ timings: { fetchTimeoutMs: 200 } })
    issuer.hang()
    const before = jwksFetches(issuer)
    const storm = Array.from({ length: 50 }, (_, n) => outcome(unknown(issuer, `hung-${n}`)))
    await vi.waitFor(() => expect(jwksFetches(issuer)).toBe(before + 1), 10_000)
    clock.advance(10_000)
    expect(await outcome(issuer.sign())).toBe('accepted')
    const unavailable = 'identity-provider-unavailable/signing-keys-unavailable'
    expect(new Set(await Promise.all(storm))).toEqual(new Set([unavailable]))
    expect(await outcome(unknown(issuer, 'later'))).toBe(unavailable)
    expect(jwksFetches(issuer)).toBe(before + 1)
  })

  it('is let go when the process ends, even while it hangs', async () => {
    const issuer = await issuerForTest()
    issuer.hang()
    const verifier = verifierForTest([settingsOf(issuer.issuer)], { timings: { fetchTimeoutMs: 600_000 } })
    const starting = verifier.start()
    await vi.waitFor(() => expect(issuer.requests).toHaveLength(1), 10_000)
    verifier.close()
    await starting
    expect(verifier.ready()).toBe(false)
  })
})

describe('an unknown key id', () => {
  it('makes the issuer be asked at once, so that a rotation needs no restart', async () => {
    const { issuer, outcome } = await setUp()
    await issuer.rotate()
    expect(await outcome(issuer.sign())).toBe('accepted')
    expect(jwksFetches(issuer)).toBe(2)
  })

  it('is asked for once, whoever sends it and however many at the same time', async () => {
    const { issuer, outcome } = await setUp()
    await issuer.rotate()
    const tokens = Array.from({ length: 50 }, (_, n) => issuer.sign({ sub: `user-${n}` }))
    expect(new Set(await Promise.all(tokens.map(outcome)))).toEqual(new Set(['accepted']))
    expect(jwksFetches(issuer)).toBe(2)
  })

  it('in a storm of others causes one fetch for each cool-down', async () => {
    const { issuer, clock, outcome } = await setUp()
    for (let round = 1; round <= 3; round += 1) {
      const kids = Array.from({ length: 100 }, (_, n) => `storm-${round}-${n}`)
      const together = await Promise.all(kids.slice(0, 50).map((kid) => outcome(unknown(issuer, kid))))
      for (const kid of kids.slice(50)) together.push(await outcome(unknown(issuer, kid)))
      expect(new Set(together)).toEqual(new Set(['token-rejected/key-unknown']))
      expect(jwksFetches(issuer)).toBe(1 + round)
      clock.advance(5_001)
    }
  })

  it('that the issuer did not know is not asked for again at each cool-down', async () => {
    const { issuer, clock, outcome } = await setUp()
    for (let round = 0; round < 5; round += 1) {
      expect(await outcome(unknown(issuer, 'never'))).toBe('token-rejected/key-unknown')
      clock.advance(5_001)
    }
    expect(jwksFetches(issuer)).toBe(2)
    clock.advance(30_000)
    expect(await outcome(unknown(issuer, 'never'))).toBe('token-rejected/key-unknown')
    expect(jwksFetches(issuer)).toBe(3)
  })

  it('that is longer than any key id is not asked for at all', async () => {
    const { issuer, outcome } = await setUp()
    expect(await outcome(unknown(issuer, 'x'.repeat(2_000)))).toBe('token-rejected/key-unknown')
    expect(jwksFetches(issuer)).toBe(1)
  })

  it('is found after the cool-down when the key came meanwhile, also when the clock was set back', async () => {
    const { issuer, clock, outcome } = await setUp()
    expect(await outcome(unknown(issuer, 'early'))).toBe('token-rejected/key-unknown')
    await issuer.rotate()
    expect(await outcome(issuer.sign())).toBe('token-rejected/key-unknown')
    clock.advance(-10_000)
    expect(await outcome(issuer.sign())).toBe('accepted')
  })

  it('is found although the key set has moved, once the old address no longer answers', async () => {
    const { issuer, clock, outcome } = await setUp()
    const movedTo = `${issuer.issuer}/moved`
    await issuer.rotate()
    issuer.respond(
      '/moved',
      (_, response) => void fetch(issuer.jwksUri).then(async (jwks) => sendJson(response, await jwks.json())),
    )
    issuer.respond('/.well-known/openid-configuration', (_, response) =>
      sendJson(response, { issuer: issuer.issuer, jwks_uri: movedTo }),
    )
    issuer.respond('/jwks', (_, response) => response.writeHead(410).end())
    expect(await outcome(issuer.sign())).toBe('identity-provider-unavailable/signing-keys-unavailable')
    issuer.respond('/jwks', null)
    clock.advance(5_001)
    expect(await outcome(issuer.sign())).toBe('accepted')
    expect(issuer.requests).toContain('/moved')
  })

  it('does not matter for tokens without one: a new key is found for them too', async () => {
    const { issuer, outcome } = await setUp()
    await issuer.rotate({ withdraw: true })
    expect(await outcome(issuer.sign({}, { header: { kid: undefined } }))).toBe('accepted')
    const { privateKey } = await generateKeyPair('ES256')
    const forged = () => issuer.sign({}, { header: { kid: undefined }, key: privateKey })
    for (let n = 0; n < 5; n += 1) expect(await outcome(forged())).toBe('token-rejected/signature-invalid')
    expect(jwksFetches(issuer)).toBe(2)
  })

  it('is never looked for when the key id is known and the signature is wrong', async () => {
    const { issuer, outcome } = await setUp()
    const { privateKey } = await generateKeyPair('ES256')
    expect(await outcome(issuer.sign({}, { key: privateKey }))).toBe('token-rejected/signature-invalid')
    expect(jwksFetches(issuer)).toBe(1)
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
      'GET ISSUER/jwks: answered more than 1048576 bytes',
    ],
    ['nothing', (issuer) => issuer.respond('/jwks', () => {}), 'GET ISSUER/jwks: no answer within 1000 ms'],
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

  it('when it is a set without any key is believed: what it named before is gone', async () => {
    const { issuer, verifier, log, outcome } = await setUp({ timings: { refreshIntervalMs: 10 } })
    const token = await issuer.sign()
    expect(await outcome(Promise.resolve(token))).toBe('accepted')
    issuer.respond('/jwks', (_, response) => sendJson(response, { keys: [] }))
    await vi.waitFor(() => expect(verifier.ready()).toBe(false), 10_000)
    expect(await outcome(Promise.resolve(token))).toBe('identity-provider-unavailable/signing-keys-unavailable')
    expect(log.lines.join('\n')).toContain('error the issuer publishes no usable signing key')
  })

  it('may be a new key under the old key id, and then the old one no longer counts', async () => {
    const { issuer, verifier, outcome } = await setUp({ timings: { refreshIntervalMs: 10 } })
    const token = await issuer.sign()
    expect(await outcome(Promise.resolve(token))).toBe('accepted')
    const { publicKey, privateKey } = await generateKeyPair('ES256')
    const jwk = { ...(await exportJWK(publicKey)), kid: issuer.kid }
    issuer.respond('/jwks', (_, response) => sendJson(response, { keys: [jwk] }))
    await vi.waitFor(() => expect(verifier.verify(token)).toBeInstanceOf(Problem), 10_000)
    expect(await outcome(Promise.resolve(token))).toBe('token-rejected/signature-invalid')
    expect(await outcome(issuer.sign({}, { key: privateKey }))).toBe('accepted')
  })
})
