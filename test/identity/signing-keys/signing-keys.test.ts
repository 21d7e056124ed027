// The keys of an issuer: fetched in the background, kept while the issuer is away, and believed for a day.

import { describe, expect, it, vi } from 'vitest'
import { startIssuer } from '../../support/issuer.ts'
import {
  issuerForTest,
  jwksFetches,
  outcomeOf,
  problemOf,
  setUp,
  settingsOf,
  unknown,
  verifierForTest,
} from '../support.ts'

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
    const before = jwksFetches(issuer)
    // One that goes on shows how often this one would have asked.
    const other = await setUp({ timings: { refreshIntervalMs: 5 } })
    await vi.waitFor(() => expect(jwksFetches(other.issuer)).toBeGreaterThan(10), 10_000)
    // A fetch may have been under way at the end.
    expect(jwksFetches(issuer)).toBeLessThanOrEqual(before + 1)
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
    const timings = { refreshIntervalMs: 10, retryDelayMs: 5, maxRetryDelayMs: 5 }
    const { issuer, verifier, clock, log, outcome } = await setUp({ timings }, { maxLifetimeMs: 3 * day })
    const token = await issuer.sign({}, { lifetimeS: 2 * 86_400 })
    expect(await outcome(Promise.resolve(token))).toBe('accepted')
    await issuer.stop()
    // Before time goes on: a fetch that was under way would begin the day anew.
    await vi.waitFor(() => expect(verifier.status()[0]?.lastError).not.toBe(null), 10_000)
    clock.advance(day - 60_000)
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
