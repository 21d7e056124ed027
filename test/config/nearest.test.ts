import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { didYouMean, misspellingOf, nearest } from '../../src/config/nearest.ts'

describe('the nearest spelling', () => {
  it.each([
    ['algoritms', ['algorithm', 'algorithms'], 'algorithms'],
    ['cach', ['catalogue', 'cache'], 'cache'],
    ['isuser', ['issuer', 'user'], 'issuer'],
    ['VIEWORGSESSIONS', ['ViewOrgSecrets', 'ViewOrgSessions'], 'ViewOrgSessions'],
    ['al', ['none', 'all'], 'all'],
    ['teh', ['the', 'ten'], 'the'],
    ['Id', ['id', 'on'], 'id'],
  ])('of %j is found', (word, candidates, expected) => {
    expect(nearest(word, candidates)).toBe(expected)
  })

  it.each([
    ['banana', ['listen', 'upstream']],
    ['on', ['id', 'in']],
    ['', ['id']],
    ['x', []],
  ])('of %j is nothing when none is near', (word, candidates) => {
    expect(nearest(word, candidates)).toBeNull()
    expect(didYouMean(word, candidates)).toBe('')
  })

  it.each([
    ['org-paymnts', 'org-payments', true],
    ['org_payments', 'org-payments', true],
    ['orgpayments', 'org-payments', true],
    ['Org-Payments', 'org-payments', true],
    ['payments-bto', 'payments-bot', true],
    [`org-${'3f9a7c01'.repeat(4)}`, `org-${'3f9a7c01'.repeat(3)}3f9a7c02`, true],
    ['org-a', 'org-b', false],
    ['prod-eu', 'prod-us', false],
    ['eu-west-1', 'eu-west-2', false],
    ['cluster12', 'cluster13', false],
    ['payments-bot', 'payments-web', false],
    ['org-payments', 'org-payouts', false],
    ['org-payments', 'org-payments', false],
  ])('%j is taken for a misspelling of %j: %s', (word, candidate, expected) => {
    expect(misspellingOf(word, new Set([candidate]))).toBe(expected ? candidate : null)
    expect(misspellingOf(candidate, new Set([word]))).toBe(expected ? word : null)
    expect(misspellingOf(word, new Set([candidate, word]))).toBeNull()
  })

  it('is put as a question behind a message, unless it is the word itself', () => {
    expect(didYouMean('cach', ['cache'])).toBe('; did you mean "cache"?')
    expect(didYouMean('cache', ['cache'])).toBe('')
  })

  it('costs nothing for absurdly long words', () => {
    expect(nearest('x'.repeat(1_000_000), ['x'.repeat(1_000_000)])).toBeNull()
  })

  it('is the word itself whenever it is among the candidates', () => {
    const word = fc.string({ minLength: 3, maxLength: 20 })
    fc.assert(
      fc.property(word, fc.array(word), (wanted, others) => {
        const found = nearest(wanted, [...others, wanted])
        expect(found?.toLowerCase()).toBe(wanted.toLowerCase())
      }),
    )
  })

  it('finds a word again after any one exchange, loss or addition of a letter', () => {
    const word = fc.stringMatching(/^[a-z]{4,12}$/)
    fc.assert(
      fc.property(word, fc.constantFrom('exchange', 'lose', 'add'), fc.nat(), (right, kind, at) => {
        expect(nearest(mistype(right, kind, at % (right.length - 1)), ['0123', right, '0123456789'])).toBe(right)
      }),
    )
  })
})

function mistype(text: string, kind: string, at: number): string {
  if (kind === 'exchange') return text.slice(0, at) + text.charAt(at + 1) + text.charAt(at) + text.slice(at + 2)
  return kind === 'lose' ? text.slice(0, at) + text.slice(at + 1) : `${text.slice(0, at)}x${text.slice(at)}`
}
