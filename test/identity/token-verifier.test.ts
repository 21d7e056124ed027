import { exportJWK, generateKeyPair } from 'jose'
import { describe, expect, it } from 'vitest'
import type { Verification } from '../../src/identity/verified-tokens.ts'
import { createTokenVerifier, type TokenVerifier } from '../../src/identity/token-verifier.ts'
import { startIssuer, type Issuer } from '../support/issuer.ts'
import { makeRsaKey, signHs256, signRs256, signingInput } from './raw-token.ts'
import { createClock, createLog, issuerForTest, outcomeOf, problemOf, settingsOf, verifierForTest } from './support.ts'

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

async function started(issuer: Issuer, changes = {}): Promise<TokenVerifier> {
  const verifier = verifierForTest([settingsOf(issuer.issuer)], changes)
  await verifier.start()
  return verifier
}

describe('a token of a trusted issuer', () => {
  it('becomes the principal its claims describe', async () => {
    const issuer = await issuerForTest()
    const verifier = await started(issuer)
    const token = await issuer.sign({ email: 'ann@corp.example', groups: ['eng'], azp: 'bot', exp: 2 ** 32 }, {})
    expect(await outcomeOf(() => verifier.verify(token))).toBe('token-rejected/lifetime-too-long')

    const principal = await verifier.verify(
      await issuer.sign({ email: 'ann@corp.example', groups: ['eng'], azp: 'bot' }),
    )
    expect(principal).toMatchObject({
      subject: 'user-1',
      issuer: issuer.issuer,
      email: 'ann@corp.example',
      groups: ['eng'],
      app: 'bot',
    })
    expect(principal).toHaveProperty('claims.aud', 'devin-gateway')
  })

  it.each(['RS256', 'PS384', 'ES384', 'ES512', 'EdDSA', 'Ed25519'] as const)(
    'is accepted with %s when that is allowed',
    async (alg) => {
      const issuer = await issuerForTest({ algorithm: alg })
      const verifier = verifierForTest([settingsOf(issuer.issuer, { algorithms: [alg] })])
      expect(await outcomeOf(async () => verifier.verify(await issuer.sign()))).toBe('accepted')
    },
  )

  it('is checked with the keys and the audience of its own issuer', async () => {
    const [one, two] = [await issuerForTest(), await issuerForTest()]
    const verifier = verifierForTest([settingsOf(one.issuer), settingsOf(two.issuer, { audience: ['second'] })])
    await verifier.start()
    const outcome = async (claims: object, signer: Issuer) =>
      outcomeOf(async () => verifier.verify(await signer.sign({ ...claims })))
    expect(await outcome({}, one)).toBe('accepted')
    expect(await outcome({ aud: 'second' }, two)).toBe('accepted')
    expect(await outcome({}, two)).toBe('token-rejected/audience-mismatch')
    // Both issuers call their first key the same, so only the signature can tell.
    expect(await outcome({ iss: two.issuer, aud: 'second' }, one)).toBe('token-rejected/signature-invalid')
  })

  it('may come without a key id, with any type that names no other purpose', async () => {
    const issuer = await issuerForTest()
    await issuer.rotate()
    const verifier = await started(issuer)
    for (const header of [
      { kid: undefined },
      { typ: undefined },
      { typ: 'JWT' },
      { typ: 'application/at+jwt' },
      { typ: 'JOSE' },
    ]) {
      const token = await issuer.sign({}, { header })
      expect(await outcomeOf(() => verifier.verify(token)), JSON.stringify(header)).toBe('accepted')
    }
  })

  it('is refused with the reason and the advice, but without its claims', async () => {
    const issuer = await issuerForTest()
    const verifier = await started(issuer)
    const token = await issuer.sign({ aud: 'somebody', email: 'planted@corp.example' })
    const problem = await problemOf(() => verifier.verify(token))
    expect(problem?.status).toBe(401)
    expect(problem?.fields).toEqual({ 'www-authenticate': 'Bearer error="invalid_token"' })
    expect(problem?.message).toContain('"devin-gateway"')
    expect(JSON.stringify(problem) + String(problem?.stack) + String(problem?.cause)).not.toContain('planted')
  })
})

describe('a token nobody should accept', () => {
  const rsa = makeRsaKey('rsa')
  const other = makeRsaKey('rsa')
  const nowS = Math.floor(Date.now() / 1000)
  const claims = (issuer: string) => ({ iss: issuer, sub: 'ann', aud: 'devin-gateway', iat: nowS, exp: nowS + 300 })
  const rs256 = (header: object, payload: unknown, key = rsa) =>
    signRs256(signingInput({ alg: 'RS256', kid: 'rsa', ...header }, payload), key.privateKey)
  const pem = rsa.publicKey.export({ type: 'spki', format: 'pem' })

  const table: readonly [what: string, make: (issuer: string) => string, reason: string][] = [
    ['alg none without a signature', (iss) => `${signingInput({ alg: 'none' }, claims(iss))}.`, 'malformed'],
    ['alg none with one', (iss) => `${signingInput({ alg: 'none' }, claims(iss))}.c2ln`, 'algorithm-not-allowed'],
    ['alg nOnE', (iss) => `${signingInput({ alg: 'nOnE' }, claims(iss))}.c2ln`, 'algorithm-not-allowed'],
    ['no alg', (iss) => rs256({ alg: undefined }, claims(iss)), 'algorithm-not-allowed'],
    ['a list of algs', (iss) => rs256({ alg: ['RS256'] }, claims(iss)), 'algorithm-not-allowed'],
    [
      'HS256 with the public key',
      (iss) => signHs256(signingInput({ alg: 'HS256', kid: 'rsa' }, claims(iss)), pem),
      'algorithm-not-allowed',
    ],
    [
      'HS256 called RS256',
      (iss) => signHs256(signingInput({ alg: 'RS256', kid: 'rsa' }, claims(iss)), pem),
      'signature-invalid',
    ],
    ['another alg than was used', (iss) => rs256({ alg: 'RS512' }, claims(iss)), 'algorithm-not-allowed'],
    ['an alg its key is not for', (iss) => rs256({ alg: 'ES256' }, claims(iss)), 'key-unknown'],
    ['another key under our key id', (iss) => rs256({}, claims(iss), other), 'signature-invalid'],
    ['another key and no key id', (iss) => rs256({ kid: undefined }, claims(iss), other), 'signature-invalid'],
    ['an unknown key id', (iss) => rs256({ kid: 'nobody' }, claims(iss)), 'key-unknown'],
    ['a key id that is a number', (iss) => rs256({ kid: 7 }, claims(iss)), 'malformed'],
    ['a key id that is null', (iss) => rs256({ kid: null }, claims(iss)), 'malformed'],
    ['its own key inside', (iss) => rs256({ jwk: other.jwk, kid: undefined }, claims(iss), other), 'signature-invalid'],
    [
      'an address of its own keys',
      (iss) => rs256({ jku: `${iss}/evil`, x5u: `${iss}/evil`, kid: 'rsa' }, claims(iss), other),
      'signature-invalid',
    ],
    ['a critical extension', (iss) => rs256({ crit: ['x'], x: 1 }, claims(iss)), 'critical-header'],
    ['an empty list of critical extensions', (iss) => rs256({ crit: [] }, claims(iss)), 'critical-header'],
    ['an unencoded payload', (iss) => rs256({ crit: ['b64'], b64: false }, claims(iss)), 'critical-header'],
    ['the type of a logout token', (iss) => rs256({ typ: 'logout+jwt' }, claims(iss)), 'token-type'],
    ['the type of a DPoP proof', (iss) => rs256({ typ: 'application/DPoP+jwt' }, claims(iss)), 'token-type'],
    ['the type of a credential', (iss) => rs256({ typ: 'dc+sd-jwt' }, claims(iss)), 'token-type'],
    ['the type JWE', (iss) => rs256({ typ: 'JWE' }, claims(iss)), 'token-type'],
    ['a type that is no text', (iss) => rs256({ typ: 1 }, claims(iss)), 'token-type'],
    ['five parts', (iss) => `${rs256({}, claims(iss))}.c2ln.c2ln`, 'encrypted'],
    ['four parts', (iss) => `${rs256({}, claims(iss))}.c2ln`, 'malformed'],
    ['two parts', (iss) => signingInput({ alg: 'RS256' }, claims(iss)), 'malformed'],
    ['padding', (iss) => `${rs256({}, claims(iss))}==`, 'malformed'],
    ['no sense', () => 'not-a-token', 'malformed'],
    ['16 KiB and more', (iss) => rs256({}, { ...claims(iss), fill: 'x'.repeat(16_384) }), 'malformed'],
    ['a payload that is a list', () => rs256({}, []), 'malformed'],
    ['a payload that is text', () => rs256({}, 'hello'), 'malformed'],
    ['a payload with a byte order mark', (iss) => rs256({}, `\uFEFF${JSON.stringify(claims(iss))}`), 'malformed'],
    ['a header that is no object', (iss) => signRs256(signingInput('7', claims(iss)), rsa.privateKey), 'malformed'],
    ['another issuer', () => rs256({}, claims('https://evil.example')), 'issuer-unknown'],
    ['our issuer with a slash', (iss) => rs256({}, claims(`${iss}/`)), 'issuer-unknown'],
    ['a list of issuers', (iss) => rs256({}, { ...claims(iss), iss: [iss] }), 'issuer-unknown'],
    ['an inherited name as issuer', () => rs256({}, claims('__proto__')), 'issuer-unknown'],
    ['no issuer', (iss) => rs256({}, { ...claims(iss), iss: undefined }), 'claim-missing'],
    ['no end', (iss) => rs256({}, { ...claims(iss), exp: undefined }), 'claim-missing'],
    ['no beginning', (iss) => rs256({}, { ...claims(iss), iat: undefined }), 'claim-missing'],
    ['no subject', (iss) => rs256({}, { ...claims(iss), sub: undefined }), 'claim-missing'],
    ['no audience', (iss) => rs256({}, { ...claims(iss), aud: undefined }), 'claim-missing'],
    ['another audience', (iss) => rs256({}, { ...claims(iss), aud: ['x'] }), 'audience-mismatch'],
    ['ten years to live', (iss) => rs256({}, { ...claims(iss), exp: nowS + 315_360_000 }), 'lifetime-too-long'],
    ['a beginning in the future', (iss) => rs256({}, { ...claims(iss), iat: nowS + 120 }), 'not-yet-valid'],
    ['a confirmation key', (iss) => rs256({}, { ...claims(iss), cnf: { jkt: 'x' } }), 'confirmation-unsupported'],
  ]

  async function setUp() {
    const issuer = await issuerForTest()
    issuer.publish(rsa.jwk)
    const verifier = await started(issuer)
    return { issuer, verifier }
  }

  it('but the plain form of these tokens is accepted', async () => {
    const { issuer, verifier } = await setUp()
    expect(await outcomeOf(() => verifier.verify(rs256({}, claims(issuer.issuer))))).toBe('accepted')
  })

  it.each(table)('with %s is rejected', async (_, make, reason) => {
    const { issuer, verifier } = await setUp()
    const token = make(issuer.issuer)
    expect(await outcomeOf(() => verifier.verify(token))).toBe(`token-rejected/${reason}`)
    expect(await outcomeOf(() => verifier.verify(token)), 'the second time').toBe(`token-rejected/${reason}`)
    expect(issuer.requests).not.toContain('/evil')
  })

  it('does not tell from outside whether the key, the algorithm or the signature was wrong', async () => {
    const { issuer, verifier } = await setUp()
    const silent = table.filter(([, , reason]) =>
      /^(?:key-unknown|signature-invalid|algorithm-not-allowed|critical-header)$/.test(reason),
    )
    const texts = await Promise.all(
      silent.map(async ([, make]) => (await problemOf(() => verifier.verify(make(issuer.issuer))))?.message),
    )
    expect(texts.length).toBeGreaterThan(10)
    expect(new Set(texts).size).toBe(1)
  })

  it('that was changed anywhere is rejected, in every other spelling too', async () => {
    const { issuer, verifier } = await setUp()
    const token = rs256({}, claims(issuer.issuer))
    const last = token.slice(-1)
    const spellings = alphabet
      .split('')
      .filter((letter) => letter !== last)
      .map((letter) => token.slice(0, -1) + letter)
    const [header = '', payload = '', signature = ''] = token.split('.')
    const elsewhere = signingInput({ alg: 'RS256', kid: 'rsa' }, { ...claims(issuer.issuer), sub: 'root' })
    for (const changed of [
      ...spellings,
      `${elsewhere}.${signature}`,
      `${header}.${payload}.${signature.slice(0, -4)}`,
      `${token}.`,
    ]) {
      expect(await outcomeOf(() => verifier.verify(changed)), changed.slice(-20)).toMatch(/^token-rejected\//)
    }
    expect(await outcomeOf(() => verifier.verify(token))).toBe('accepted')
  })

  it('cannot be made with a key of the set whose algorithm is not allowed', async () => {
    const { issuer, verifier } = await setUp()
    const { publicKey, privateKey } = await generateKeyPair('EdDSA')
    issuer.publish({ ...(await exportJWK(publicKey)), kid: 'ed' })
    const token = await issuer.sign({}, { key: privateKey, header: { alg: 'EdDSA', kid: 'ed' } })
    expect(await outcomeOf(() => verifier.verify(token))).toBe('token-rejected/algorithm-not-allowed')
  })
})

describe('a token that was verified before', () => {
  it('is answered at once, with the same principal', async () => {
    const issuer = await issuerForTest()
    const verifier = await started(issuer)
    const token = await issuer.sign()
    const principal = await verifier.verify(token)
    expect(verifier.verify(token)).toBe(principal)
  })

  it('is reported apart from new and refused ones', async () => {
    const issuer = await issuerForTest()
    const results: string[] = []
    const verifier = verifierForTest([settingsOf(issuer.issuer)], { onVerified: (result) => results.push(result) })
    await verifier.start()
    const token = await issuer.sign()
    const refused = await issuer.sign({ aud: 'somebody-else' })
    for (const each of [token, token, refused, refused, `${token}AA`]) await outcomeOf(() => verifier.verify(each))
    expect(results).toEqual(['verified', 'cached', 'rejected', 'rejected', 'rejected'])
  })

  it('is verified once for all who ask while its key is fetched', async () => {
    const issuer = await issuerForTest()
    const results: string[] = []
    const verifier = verifierForTest([settingsOf(issuer.issuer)], { onVerified: (result) => results.push(result) })
    const token = await issuer.sign()
    const asked = [verifier.verify(token), verifier.verify(token)]
    expect(asked[0]).toBeInstanceOf(Promise)
    expect(asked[0]).toBe(asked[1])
    expect(verifier.verify(token)).toBe(asked[0])
    await asked[0]
    expect(verifier.verify(token)).toBe(await asked[1])
    expect(results).toEqual(['verified', 'cached'])
    const refused = `${token.slice(0, -3)}AAA`
    const outcomes = await Promise.all([1, 2, 3].map(() => outcomeOf(() => verifier.verify(refused))))
    expect(new Set(outcomes)).toEqual(new Set(['token-rejected/signature-invalid']))
  })

  it('is not remembered beyond its end, not even within the clock tolerance', async () => {
    const issuer = await issuerForTest()
    const clock = createClock()
    const verifier = await started(issuer, { now: clock.now })
    const token = await issuer.sign({}, { lifetimeS: 60 })
    const principal = await verifier.verify(token)
    expect(verifier.verify(token)).toBe(principal)

    clock.advance(65_000)
    const again = await verifier.verify(token)
    expect(again).not.toBe(principal)
    expect(await verifier.verify(token)).not.toBe(again)

    clock.advance(30_000)
    expect(await outcomeOf(() => verifier.verify(token))).toBe('token-expired/token-expired')
  })

  it('is forgotten when others came after it and the memory is full', async () => {
    const issuer = await issuerForTest()
    const verifier = await started(issuer, { maxCachedTokens: 2 })
    const tokens = await Promise.all(['a', 'b', 'c'].map((sub) => issuer.sign({ sub })))
    const principals: Verification[] = []
    for (const token of tokens) principals.push(await verifier.verify(token))
    // The first one last: it is remembered anew, in place of another.
    const remembered = [1, 2, 0].map((at) => verifier.verify(tokens[at] ?? '') === principals[at])
    expect(remembered).toEqual([true, true, false])
  })

  it('never lends its principal to another token that begins or ends alike (CVE-2026-35030)', async () => {
    const issuer = await issuerForTest()
    const verifier = await started(issuer)
    const tokens = await Promise.all(Array.from({ length: 20 }, (_, n) => issuer.sign({ sub: `user-${n}` })))
    const seen: Verification[] = []
    for (const token of [...tokens, ...tokens]) seen.push(await verifier.verify(token))
    expect(seen).toMatchObject([...tokens.keys(), ...tokens.keys()].map((n) => ({ subject: `user-${n}` })))
    const [header = '', , signature = ''] = (tokens[0] ?? '').split('.')
    const mixed = [header, (tokens[1] ?? '').split('.')[1], signature].join('.')
    expect(await outcomeOf(() => verifier.verify(mixed))).toBe('token-rejected/signature-invalid')
  })

  it('is refused once its key has left the set', async () => {
    const issuer = await issuerForTest()
    const verifier = await started(issuer)
    const token = await issuer.sign()
    const kept = await verifier.verify(token)
    expect(verifier.verify(token)).toBe(kept)

    await issuer.rotate({ withdraw: true })
    // The unknown key id of this token makes the verifier look at the set again.
    await verifier.verify(await issuer.sign())
    expect(await outcomeOf(() => verifier.verify(token))).toBe('token-rejected/key-unknown')
  })

  it('is not remembered when a key left the set while it was verified, since that key may be the one', async () => {
    const issuer = await issuerForTest()
    const verifier = await started(issuer)
    await issuer.rotate({ withdraw: true })
    const token = await issuer.sign()
    const first = await verifier.verify(token)
    const again = verifier.verify(token)
    expect(again).not.toBe(first)
    expect(verifier.verify(token)).toBe(again)
  })

  it('stays remembered when a key of another issuer is withdrawn', async () => {
    const [issuer, other] = [await issuerForTest(), await issuerForTest()]
    const verifier = verifierForTest([settingsOf(issuer.issuer), settingsOf(other.issuer)])
    await verifier.start()
    const [token, others] = [await issuer.sign(), await other.sign()]
    const kept = await verifier.verify(token)
    const gone = await verifier.verify(others)
    await other.rotate({ withdraw: true })
    await verifier.verify(await other.sign())
    expect(verifier.verify(token)).toBe(kept)
    expect(verifier.verify(others)).not.toBe(gone)
    expect(await outcomeOf(() => verifier.verify(others))).toBe('token-rejected/key-unknown')
  })

  it('stays remembered while a key is only added', async () => {
    const issuer = await issuerForTest()
    const verifier = await started(issuer)
    const token = await issuer.sign()
    const kept = await verifier.verify(token)
    await issuer.rotate()
    await verifier.verify(await issuer.sign())
    expect(verifier.verify(token)).toBe(kept)
  })
})

describe('a verifier', () => {
  it('refuses settings that no configuration may let through', () => {
    const create =
      (...issuers: Parameters<typeof settingsOf>[]) =>
      () =>
        createTokenVerifier({
          issuers: issuers.map((one) => settingsOf(...one)),
          now: Date.now,
          monotonic: Date.now,
          log: createLog(),
        })
    expect(create()).toThrow('at least one issuer')
    expect(create(['https://a.example'], ['https://a.example'])).toThrow('given twice')
  })

  it('never lets a token or a claim into the log', async () => {
    const issuer = await startIssuer()
    const log = createLog()
    const verifier = await started(issuer, { log })
    const planted = 'planted-7f3a'
    const tokens = await Promise.all([
      issuer.sign({ sub: planted }),
      issuer.sign({ sub: planted, exp: 1, iat: 0 }),
      issuer.sign({ sub: planted, aud: planted }),
      issuer.sign({ sub: planted }, { header: { kid: 'unknown' } }),
    ])
    for (const token of tokens) await outcomeOf(() => verifier.verify(token))
    await issuer.stop()
    await outcomeOf(async () => verifier.verify(await issuer.sign({ sub: planted }, { header: { kid: 'other' } })))
    expect(log.lines.length).toBeGreaterThan(0)
    const text = log.lines.join('\n')
    expect(text).not.toContain(planted)
    for (const token of tokens) for (const part of token.split('.')) expect(text).not.toContain(part)
  })
})
