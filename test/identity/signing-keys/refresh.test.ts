// When tokens make the gateway ask an issuer again: unknown key ids, and signatures that do not fit a known one.

import { exportJWK, generateKeyPair } from 'jose'
import { describe, expect, it, vi } from 'vitest'
import { sendJson, type Issuer } from '../../support/issuer.ts'
import { jwksFetches, problemOf, setUp, unknown } from '../support.ts'

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

  it('that a stranger named before the issuer had it is found at the next cool-down, however often it was named', async () => {
    const { issuer, clock, outcome } = await setUp()
    for (let round = 1; round <= 4; round += 1) {
      for (let n = 0; n < 3; n += 1) expect(await outcome(unknown(issuer, 'key-2'))).toBe('token-rejected/key-unknown')
      expect(jwksFetches(issuer)).toBe(1 + round)
      clock.advance(round === 4 ? 0 : 5_001)
    }
    await issuer.rotate()
    expect(issuer.kid).toBe('key-2')
    expect(await outcome(issuer.sign())).toBe('token-rejected/key-unknown')
    clock.advance(5_001)
    expect(await outcome(issuer.sign())).toBe('accepted')
    expect(jwksFetches(issuer)).toBe(6)
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
