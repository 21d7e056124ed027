import { exportJWK, generateKeyPair } from 'jose'
import { describe, expect, it, vi } from 'vitest'
import { sendJson, startIssuer, type Issuer } from '../support/issuer.ts'
import type { IssuerConfig } from '../../src/config/issuer-schema.ts'
import { defaultKeyTimings, refreshDelayMs, retryDelayMs } from '../../src/identity/signing-keys/timings.ts'
import { makeRsaKey } from './raw-token.ts'
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
  const verifier = verifierForTest([settingsOf(issuer.issuer, settings)], {
    now: clock.now,
    monotonic: clock.monotonic,
    log,
    ...changes,
  })
  await verifier.start()
  const outcome = (token: Promise<string>) => outcomeOf(async () => verifier.verify(await token))
  return { issuer, clock, log, verifier, outcome }
}

describe('the keys of an issuer', () => {
  it('are fetched at start, by way of the metadata document, and then the verifier is ready', async () => {
    const issuer = await issuerForTest()
    const verifier = verifierForTest([settingsOf(issuer.issuer)])
    expect(verifier.ready()).toBe(false)
    expect(verifier.status()).toEqual([
      {
        issuer: issuer.issuer,
        keys: 0,
        fetchedAtMs: null,
        ageMs: null,
        lastError: null,
        givenUpInMs: null,
        fetches: { fetched: 0, failed: 0 },
        clockSkewMs: null,
      },
    ])
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

  it('is found after the cool-down when the key came meanwhile, whatever the clock on the wall says', async () => {
    const { issuer, clock, outcome } = await setUp()
    expect(await outcome(unknown(issuer, 'early'))).toBe('token-rejected/key-unknown')
    await issuer.rotate()
    expect(await outcome(issuer.sign())).toBe('token-rejected/key-unknown')
    for (const ms of [-3_600_000, 7_200_000, -3_600_000]) {
      clock.step(ms)
      expect(await outcome(issuer.sign({ iat: Math.floor(clock.now() / 1000) }))).toBe('token-rejected/key-unknown')
    }
    clock.advance(5_001)
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
})

describe('a known key id under a signature that does not fit', () => {
  /** Publishes another key under the key id of the one that signs. */
  async function replaceKey(issuer: Issuer, alg = 'ES256') {
    const { publicKey, privateKey } = await generateKeyPair(alg)
    const jwk = { ...(await exportJWK(publicKey)), kid: issuer.kid }
    issuer.respond('/jwks', (_, response) => sendJson(response, { keys: [jwk] }))
    return privateKey
  }

  it('may be a new key under the old key id: it is found at once, and the old one no longer counts', async () => {
    const { issuer, outcome } = await setUp()
    const old = await issuer.sign()
    expect(await outcome(Promise.resolve(old))).toBe('accepted')
    const key = await replaceKey(issuer)
    const tokens = Array.from({ length: 20 }, (_, n) => issuer.sign({ sub: `user-${n}` }, { key }))
    expect(new Set(await Promise.all(tokens.map(outcome)))).toEqual(new Set(['accepted']))
    expect(jwksFetches(issuer)).toBe(2)
    expect(await outcome(Promise.resolve(old))).toBe('token-rejected/signature-invalid')
    expect(await outcome(issuer.sign())).toBe('token-rejected/signature-invalid')
  })

  it('makes the issuer be asked once for each cool-down, however many are forged', async () => {
    const { issuer, clock, outcome } = await setUp()
    const { privateKey } = await generateKeyPair('ES256')
    const forged = (n: number) => outcome(issuer.sign({ sub: `forged-${n}` }, { key: privateKey }))
    for (let round = 1; round <= 3; round += 1) {
      const outcomes = await Promise.all(Array.from({ length: 50 }, (_, n) => forged(n)))
      for (let n = 0; n < 20; n += 1) outcomes.push(await forged(100 + n))
      expect(new Set(outcomes)).toEqual(new Set(['token-rejected/signature-invalid']))
      expect(jwksFetches(issuer)).toBe(1 + round)
      expect(await outcome(issuer.sign())).toBe('accepted')
      clock.advance(5_001)
    }
  })

  it('waits for an issuer that hangs in bounded numbers, and honest tokens wait for nothing', async () => {
    const { issuer, outcome, verifier } = await setUp({ timings: { fetchTimeoutMs: 2_000 } })
    issuer.hang()
    const { privateKey } = await generateKeyPair('ES256')
    const wrong = await Promise.all(
      Array.from({ length: 1_020 }, (_, n) => issuer.sign({ sub: `forged-${n}` }, { key: privateKey })),
    )
    let ended = 0
    const all = wrong.map((token) => outcome(Promise.resolve(token)).finally(() => (ended += 1)))
    await vi.waitFor(() => expect(ended).toBe(20), 10_000)
    expect(await outcome(issuer.sign())).toBe('accepted')
    expect(ended).toBe(20)
    const unknownKey = await problemOf(async () => verifier.verify(await unknown(issuer, 'another')))
    expect([unknownKey?.kind, ended]).toEqual(['identity-provider-unavailable', 20])
    expect(new Set(await Promise.all(all))).toEqual(new Set(['token-rejected/signature-invalid']))
  })
})

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

  it('is told apart from one in which a good key stands behind many others', async () => {
    const { issuer, outcome } = await setUp()
    await issuer.rotate()
    const { keys } = (await (await fetch(issuer.jwksUri)).json()) as { keys: object[] }
    const many = Array.from({ length: 1_000 }, (_, n) => ({ kty: 'RSA', use: 'enc', kid: `enc-${n}` }))
    issuer.respond('/jwks', (_, response) => sendJson(response, { keys: [...many, ...keys] }))
    expect(await outcome(issuer.sign())).toBe('accepted')
  })
})

describe('how long keys are believed', () => {
  it.each([
    ['max-age', { 'cache-control': 'public, max-age=0' }],
    ['Expires', { expires: 'Thu, 01 Jan 1970 00:00:00 GMT' }],
    ['no-cache', { 'cache-control': 'no-cache' }],
  ])('is what the issuer says by %s: a key that is gone is noticed without any request', async (_name, fields) => {
    const issuer = await issuerForTest()
    const answer = (keys: unknown): void =>
      issuer.respond('/jwks', (__, response) =>
        response.writeHead(200, { 'content-type': 'application/json', ...fields }).end(JSON.stringify(keys)),
      )
    answer(await (await fetch(issuer.jwksUri)).json())
    const verifier = verifierForTest([settingsOf(issuer.issuer)], { timings: { minRefreshIntervalMs: 10 } })
    await verifier.start()
    const token = await issuer.sign()
    expect(await outcomeOf(() => verifier.verify(token))).toBe('accepted')
    await issuer.rotate({ withdraw: true })
    issuer.respond('/jwks', null)
    await vi.waitFor(() => expect(verifier.verify(token)).toBeInstanceOf(Promise), 10_000)
    expect(await outcomeOf(() => verifier.verify(token))).toBe('token-rejected/key-unknown')
  })

  it('is bounded on both sides, and never longer than said', () => {
    for (let tries = 0; tries < 200; tries += 1) {
      for (const [saidMs, leastMs, mostMs] of [
        [null, 255_000, 300_000],
        [0, 4_250, 5_000],
        [30_000, 25_500, 30_000],
        [86_400_000, 255_000, 300_000],
      ] as const) {
        const delayMs = refreshDelayMs(saidMs, defaultKeyTimings)
        expect(delayMs).toBeGreaterThanOrEqual(leastMs)
        expect(delayMs).toBeLessThanOrEqual(mostMs)
      }
    }
  })

  it('is no matter of the retries: an issuer that is back is found within ten seconds', () => {
    const { fetchTimeoutMs } = defaultKeyTimings
    for (let failures = 1; failures < 5_000; failures += 1) {
      // It may be back when a fetch has just begun that still hangs.
      expect(fetchTimeoutMs + retryDelayMs(failures, defaultKeyTimings)).toBeLessThan(10_000)
    }
  })

  it('is told to operators with age and result of the fetches', async () => {
    const { issuer, clock, verifier } = await setUp({ timings: { refreshIntervalMs: 60_000 } })
    clock.advance(3_600_000)
    expect(verifier.status()[0]?.ageMs).toBeGreaterThanOrEqual(3_600_000)
    await issuer.stop()
    await outcomeOf(async () => verifier.verify(await unknown(issuer, 'another')))
    const status = verifier.status()[0]
    expect(status).toMatchObject({ keys: 1, fetches: { fetched: 1, failed: 1 }, lastError: expect.any(String) })
    expect(status?.givenUpInMs).toBeLessThanOrEqual(23 * 3_600_000)
    clock.step(-7_200_000)
    expect(verifier.status()[0]?.ageMs).toBeGreaterThanOrEqual(3_600_000)
  })
})

describe('the clock of an issuer', () => {
  it.each([-3_600, -40, 0, 40, 86_400])('that is %d s ahead is told so', async (aheadS) => {
    const issuer = await issuerForTest()
    issuer.respond('/jwks', (_, response) => {
      response.sendDate = false
      response.writeHead(200, { date: new Date(Date.now() + aheadS * 1000).toUTCString() }).end('{"keys":[]}')
    })
    const verifier = verifierForTest([settingsOf(issuer.issuer)])
    await verifier.start()
    const skewMs = verifier.status()[0]?.clockSkewMs ?? Number.NaN
    expect(Math.abs(skewMs - aheadS * 1000)).toBeLessThan(5_000)
  })

  it('is not told where it says nothing usable', async () => {
    const issuer = await issuerForTest()
    issuer.respond('/jwks', (_, response) => response.writeHead(200, { date: 'yesterday' }).end('{"keys":[]}'))
    const verifier = verifierForTest([settingsOf(issuer.issuer)])
    await verifier.start()
    expect(verifier.status()[0]?.clockSkewMs).toBeNull()
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
