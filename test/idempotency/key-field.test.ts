// The Idempotency-Key field: which spellings are one key, and which are refused with a sentence.

import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { idempotencyKeyIn } from '../../src/idempotency/key-field.ts'

const keyOf = (value: string): string | null => idempotencyKeyIn(['accept', '*/*', 'idempotency-key', value])
const uuid = '8e03978e-40d5-43e8-bc93-6894a57f9324'

describe('an Idempotency-Key', () => {
  it.each([
    ['as the draft has it', `"${uuid}"`, uuid],
    ['bare, as Stripe and its like send it', uuid, uuid],
    ['bare, as SDKs made by Stainless send it', `stainless-node-retry-${uuid}`, `stainless-node-retry-${uuid}`],
    ['of one character', '"a"', 'a'],
    ['with spaces and commas inside the quotes', '"build 7, attempt 1"', 'build 7, attempt 1'],
    ['with escapes', String.raw`"a\"b\\c"`, String.raw`a"b\c`],
    ['with parameters, which mean nothing', '"a";v=1; w="x";y', 'a'],
    ['of 255 characters', 'x'.repeat(255), 'x'.repeat(255)],
  ])('%s is read', (_what, value, key) => {
    expect(keyOf(value)).toBe(key)
  })

  it('is one key in both spellings, for every text that has both', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[\w.:/+=@-]{1,255}$/), (key) => {
        expect(keyOf(key)).toBe(key)
        expect(keyOf(`"${key}"`)).toBe(key)
      }),
    )
  })

  it.each([
    ['empty', '', 'it is no string'],
    ['empty in quotes', '""', 'it is empty'],
    ['of 256 characters', 'x'.repeat(256), 'it is longer than 255 characters'],
    ['with half a quote', '"a', 'it is no string'],
    ['with something behind it', '"a" b', 'it is no string'],
    ['of two words', 'a b', 'it is no string'],
    ['that is a list', 'a, b', 'it is no string'],
    ['that is a list of strings', '"a", "b"', 'it is no string'],
    ['with letters outside ASCII', 'schl\u00fcssel', 'it is no string'],
    ['with a tab', '"a\tb"', 'it is no string'],
    ['with an escape of nothing', String.raw`"a\b"`, 'it is no string'],
  ])('%s is refused with a sentence', (_what, value, why) => {
    expect(() => keyOf(value)).toThrow(
      `The Idempotency-Key is refused because ${why}. Send one string in quotes, a UUID of your own for each create`,
    )
  })

  it('is refused when it stands there twice, also when both are the same', () => {
    const twice = ['idempotency-key', 'a', 'accept', '*/*', 'idempotency-key', 'a']
    expect(() => idempotencyKeyIn(twice)).toThrow('it stands there twice')
  })

  it('is none when there is no such field', () => {
    expect(idempotencyKeyIn(['accept', '*/*'])).toBeNull()
  })

  it('of any length is judged at once: no text makes the form take long', () => {
    for (const text of [
      '"'.repeat(30_000),
      `"${'\\"'.repeat(15_000)}`,
      `"a"${';a'.repeat(15_000)};`,
      'a'.repeat(30_000),
    ])
      expect(() => keyOf(text)).toThrow('refused')
  })
})
