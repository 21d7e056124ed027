import { exportJWK, generateKeyPair } from 'jose'
import { describe, expect, it } from 'vitest'
import { isSignatureAlgorithm, parseKeySet } from '../../../src/identity/signing-keys/key-set.ts'
import { makeRsaKey } from '../raw-token.ts'

const allowed = ['RS256', 'ES256'] as const
const rsa = makeRsaKey('rsa')

describe('a key set', () => {
  it.each([[null], [[]], ['keys'], [{}], [{ keys: {} }]])('is not %j', async (document) => {
    expect(await parseKeySet(document, allowed)).toBe(null)
  })

  it('gives a key for each allowed algorithm it fits, and one alone when it names one', async () => {
    const document = { keys: [rsa.jwk, { ...rsa.jwk, kid: 'named', alg: 'PS256', use: 'sig', key_ops: ['verify'] }] }
    const set = await parseKeySet(document, ['RS256', 'PS256', 'ES256'])
    expect(set?.keys.map(({ kid, alg }) => [kid, alg])).toEqual([
      ['rsa', 'RS256'],
      ['rsa', 'PS256'],
      ['named', 'PS256'],
    ])
    expect(set?.warnings).toEqual([])
  })

  it('gives Edwards keys under their old and their new name', async () => {
    const { publicKey } = await generateKeyPair('EdDSA')
    const jwk = await exportJWK(publicKey)
    for (const [named, wanted] of [
      ['EdDSA', 'Ed25519'],
      ['Ed25519', 'EdDSA'],
    ] as const) {
      const set = await parseKeySet({ keys: [{ ...jwk, alg: named }] }, [wanted])
      expect(set?.keys.map(({ kid, alg }) => [kid, alg])).toEqual([[null, wanted]])
    }
  })

  it('passes over keys for encryption without a word', async () => {
    const keys = [
      { ...rsa.jwk, use: 'enc' },
      { ...rsa.jwk, key_ops: ['wrapKey'] },
    ]
    expect(await parseKeySet({ keys }, allowed)).toEqual({ keys: [], warnings: [] })
  })

  it.each<[why: string, jwk: unknown]>([
    ['it is not an object', 'key'],
    ['its kid is not a string', { ...rsa.jwk, kid: 7 }],
    ['it is a shared secret, and everybody can read it here', { kty: 'oct', k: 'c2VjcmV0' }],
    ['it holds the private key, so everybody can sign with it', { ...rsa.privateKey.export({ format: 'jwk' }) }],
    ['its modulus has 1024 bits, and at least 2048 are needed', makeRsaKey('small', 1024).jwk],
    [
      'its modulus has 2047 bits, and at least 2048 are needed',
      { ...rsa.jwk, n: Buffer.from(`7f${'ff'.repeat(255)}`, 'hex').toString('base64url') },
    ],
    ['its exponent is unsafe', { ...rsa.jwk, e: 'AQ' }],
    ['its exponent is unsafe', { ...rsa.jwk, e: 'Ag' }],
    ['its modulus or exponent is missing', { kty: 'RSA', e: 'AQAB' }],
    ['its type or algorithm is not among the allowed ones', { ...rsa.jwk, alg: 'RS512' }],
    ['its type or algorithm is not among the allowed ones', { kty: 'OKP', crv: 'Ed25519', x: 'AAAA' }],
    ['its type or algorithm is not among the allowed ones', { kty: 'EC', crv: 'P-521', x: 'AAAA', y: 'AAAA' }],
    ['it is malformed', { kty: 'EC', crv: 'P-256', x: 'AAAA', y: 'AAAA' }],
    ['it is malformed', { kty: 'EC', crv: 'P-256' }],
  ])('leaves a key out and warns: %s', async (why, jwk) => {
    const set = await parseKeySet({ keys: [jwk, rsa.jwk] }, allowed)
    expect(set?.keys.map(({ kid }) => kid)).toEqual(['rsa'])
    expect(set?.warnings).toHaveLength(1)
    expect(set?.warnings[0]).toMatch(new RegExp(`^key .* is ignored: ${why}$`))
  })

  it('is looked at as far as a hundred keys', async () => {
    const set = await parseKeySet(
      { keys: Array.from({ length: 102 }, (_, n) => ({ ...rsa.jwk, kid: `k${n}` })) },
      allowed,
    )
    expect(set?.keys).toHaveLength(100)
    expect(set?.warnings).toEqual(['only the first 100 of 102 keys are used'])
  })

  it('tells keys apart by key id, material and algorithm, and not by other members', async () => {
    const identities = async (...keys: unknown[]) =>
      (await parseKeySet({ keys }, allowed))?.keys.map(({ identity }) => identity)
    const [one] = (await identities(rsa.jwk)) ?? []
    expect(await identities({ ...rsa.jwk, use: 'sig', x5t: 'abc' })).toEqual([one])
    expect(await identities({ ...rsa.jwk, kid: 'two' })).not.toEqual([one])
    expect(await identities(makeRsaKey('rsa').jwk)).not.toEqual([one])
  })

  it('never holds shared secrets or no algorithm at all', () => {
    const names = ['none', 'None', 'HS256', 'HS384', 'HS512', 'RS1', 'dir', 'toString', '']
    expect(names.filter(isSignatureAlgorithm)).toEqual([])
  })
})
