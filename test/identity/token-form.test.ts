import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { authorizationField, bearerToken, isCanonicalJwt, isEncryptedJwt } from '../../src/identity/token-form.ts'
import { outcomeOf, problemOf } from './support.ts'

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

describe('the bearer token of a request', () => {
  it.each([
    ['Bearer abc.def.ghi', 'abc.def.ghi'],
    ['bearer abc', 'abc'],
    ['BEARER abc', 'abc'],
    ['Bearer   abc', 'abc'],
    ['Bearer a-._~+/b==', 'a-._~+/b=='],
  ])('is found in %j', (value, token) => {
    expect(bearerToken(authorizationField(['Host', 'x', 'Authorization', value, 'Accept', '*/*']))).toBe(token)
    expect(bearerToken(authorizationField(['authorization', value]))).toBe(token)
  })

  it.each([
    ['', 'token-missing/token-missing'],
    ['Bearer', 'token-missing/token-missing'],
    ['Basic dXNlcjpwYXNz', 'token-missing/token-missing'],
    ['Bearerabc', 'token-missing/token-missing'],
    ['eyJhbGciOiJSUzI1NiJ9.e30.c2ln', 'token-missing/token-missing'],
    ['Bearer a b', 'malformed-request/authorization-field'],
    ['Bearer a\n', 'malformed-request/authorization-field'],
    ['Bearer a,b', 'malformed-request/authorization-field'],
    ['Bearer a, Bearer b', 'malformed-request/authorization-field'],
    ['Bearer, Bearer b', 'malformed-request/authorization-field'],
    ['Bearer a;b', 'malformed-request/authorization-field'],
    ['Bearer "a"', 'malformed-request/authorization-field'],
    ['Bearer\ta', 'malformed-request/authorization-field'],
    ['Bearer a\n', 'malformed-request/authorization-field'],
    ['Bearer =a', 'malformed-request/authorization-field'],
    ['Bearer a=b', 'malformed-request/authorization-field'],
    ['Bearer ä', 'malformed-request/authorization-field'],
    ['Bearer cog_0123456789', 'token-rejected/devin-key-sent'],
    ['bearer apk_user_0123', 'token-rejected/devin-key-sent'],
    ['cog_0123456789', 'token-rejected/devin-key-sent'],
  ])('%j is refused as %s', async (value, outcome) => {
    expect(await outcomeOf(() => bearerToken(value))).toBe(outcome)
  })

  it('is missing when no Authorization field is there, and values that say so do not count', async () => {
    const problem = await problemOf(() =>
      bearerToken(authorizationField(['X-Note', 'Authorization', 'Proxy-Authorization', 'Bearer a'])),
    )
    expect(problem?.kind).toBe('token-missing')
    expect(problem?.fields).toEqual({ 'www-authenticate': 'Bearer' })
  })

  it.each([
    [['Authorization', 'Bearer a', 'authorization', 'Bearer b']],
    [['Authorization', 'Bearer a', 'AUTHORIZATION', 'Bearer a']],
    [['Authorization', '', 'Authorization', 'Bearer a']],
  ])('is refused when there are two fields: %j', async (rawHeaders) => {
    expect(await outcomeOf(() => authorizationField(rawHeaders))).toBe('malformed-request/authorization-field')
  })

  it('is never echoed, and a Devin key is answered with advice', async () => {
    const problem = await problemOf(() => bearerToken('Bearer cog_SeCrEt'))
    expect(problem?.message).toContain('Send the SSO token')
    expect(problem?.message).not.toContain('SeCrEt')
    expect(problem?.fields).toEqual({ 'www-authenticate': 'Bearer error="invalid_token"' })
  })
})

describe('the canonical spelling of a JWT', () => {
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 40 }).map((part) => Buffer.from(part))
  const parts = fc.tuple(bytes, bytes, bytes)
  const spell = (all: readonly Buffer[]) => all.map((part) => part.toString('base64url')).join('.')

  it('is what every three non-empty parts have', () => {
    fc.assert(fc.property(parts, (all) => isCanonicalJwt(spell(all))))
  })

  it('is the only one: no other last letter of a part that decodes to the same bytes is accepted', () => {
    fc.assert(
      fc.property(parts, fc.nat(2), fc.constantFrom(...alphabet.split('')), (all, which, letter) => {
        const spelt = all.map((part) => part.toString('base64url'))
        const before = spelt[which] ?? ''
        const other = before.slice(0, -1) + letter
        fc.pre(other !== before && Buffer.from(other, 'base64url').equals(all[which] ?? Buffer.alloc(0)))
        spelt[which] = other
        return !isCanonicalJwt(spelt.join('.'))
      }),
    )
  })

  it.each([
    ['QQ.QQ.QQ', true],
    ['QQ.QQ.QR', false],
    ['QR.QQ.QQ', false],
    ['QQ==.QQ.QQ', false],
    ['QQ.QQ.QQ==', false],
    ['QQ.QQ.', false],
    ['.QQ.QQ', false],
    ['QQ..QQ', false],
    ['QQ.QQ', false],
    ['QQ.QQ.QQ.QQ', false],
    ['QQ.QQ.Q', false],
    ['QQ.QQ.Q+', false],
    ['QQ.QQ.QQ\n', false],
    [' QQ.QQ.QQ', false],
    ['', false],
  ])('%j: %s', (token, canonical) => {
    expect(isCanonicalJwt(token)).toBe(canonical)
  })

  it('ends at 16 KiB', () => {
    expect(isCanonicalJwt(`QQ.QQ.${'A'.repeat(16 * 1024 - 8)}`)).toBe(true)
    expect(isCanonicalJwt(`QQ.QQ.${'A'.repeat(16 * 1024 - 4)}`)).toBe(false)
  })

  it('knows an encrypted token by its five parts', () => {
    expect(isEncryptedJwt('a.b.c.d.e')).toBe(true)
    expect(isEncryptedJwt('a..c.d.e')).toBe(true)
    expect(isEncryptedJwt('a.b.c')).toBe(false)
    expect(isEncryptedJwt('a.b.c.d.e.f')).toBe(false)
  })
})
