// How long keys are trusted, and what operators see of them and of the issuer's clock.

import { describe, expect, it, vi } from 'vitest'
import { defaultKeyTimings, refreshDelayMs, retryDelayMs } from '../../../src/identity/signing-keys/timings.ts'
import { issuerForTest, outcomeOf, setUp, settingsOf, unknown, verifierForTest } from '../support.ts'

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

  it('is shown to operators with age and result of the fetches', async () => {
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
  it.each([-3_600, -40, 0, 40, 86_400])('that is %d s ahead is shown', async (aheadS) => {
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

  it('is not shown where the answer has no usable date', async () => {
    const issuer = await issuerForTest()
    issuer.respond('/jwks', (_, response) => response.writeHead(200, { date: 'yesterday' }).end('{"keys":[]}'))
    const verifier = verifierForTest([settingsOf(issuer.issuer)])
    await verifier.start()
    expect(verifier.status()[0]?.clockSkewMs).toBeNull()
  })
})
