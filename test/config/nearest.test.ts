import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { didYouMean, nearest } from '../../src/config/nearest.ts'

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
