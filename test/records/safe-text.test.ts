// What may stand in records: no secret, however it is wrapped, and nothing that is not seen.

import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { recordJson, safeText } from '../../src/records/safe-text.ts'
import { forPeople, lineForPeople } from '../../src/cli/style.ts'
import { visible, visibleLines } from '../../src/records/visible.ts'

const unseen = [
  ...Array.from({ length: 0x20 }, (_, code) => code),
  ...Array.from({ length: 0x21 }, (_, code) => 0x7f + code),
  ...Array.from('\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069', (mark) =>
    mark.charCodeAt(0),
  ),
  ...Array.from(
    '\u00ad\u200b\u2028\u2029\u2060\ufeff\u{e0041}\u034f\u115f\u17b4\u180b\u3164\ufe0f\uffa0\u{e0100}',
    (mark) => mark.codePointAt(0) ?? 0,
  ),
  // Halves of a character.
  0xd800,
  0xdfff,
].map((code) => String.fromCodePoint(code))

describe('visible text', () => {
  it.each(unseen)('writes %j as an escape', (character) => {
    const shown = visible(`a${character}b`)
    expect(shown).toMatch(/^a(?:\\u[0-9a-f]{4}){1,2}b$/)
  })

  it('leaves letters of any language, symbols and marks alone', () => {
    const text = 'Zürich 東京 עברית العربية 😀 e\u0301 “x” €\u00a0y'
    expect(visible(text)).toBe(text)
  })

  it('leaves a JSON text the same JSON', () => {
    const value = { 'a\u202e': ['\u0085', '\u{e0041}', 'b\u2028\n'] }
    const shown = visible(JSON.stringify(value))
    expect(JSON.parse(shown)).toEqual(value)
    expect(shown).toMatch(/^[ -~]+$/)
  })

  it('of a command keeps the colours of the command itself, and no code of others', () => {
    expect(forPeople('\u001b[31mno\u001b[39m \u001b[2J\u001b[8m\u202egnp\n')).toBe(
      String.raw`${'\u001b'}[31mno${'\u001b'}[39m \u001b[2J\u001b[8m\u202egnp` + '\n',
    )
  })

  it('of one line holds no other line, and no colour where none is shown', () => {
    expect(lineForPeople('a\nb\u001b[31m', true)).toBe('a\\u000ab\u001b[31m')
    expect(lineForPeople('a\nb\u001b[31m', false)).toBe('a\\u000ab\\u001b[31m')
  })

  it('keeps line feeds and tabs where lines are wanted, and nothing else', () => {
    expect(visibleLines('a\n\tb\r\u001b[31m')).toBe('a\n\tb\\u000d\\u001b[31m')
  })
})

describe('safe text', () => {
  it.each([
    ['a key', 'cog_abcdef', 'cog_[masked]'],
    ['a key behind percent escapes', 'x/cog%5Fabcdef', 'x/cog_[masked]'],
    ['a key that is escaped twice', 'x/cog%255Fabc', 'x/cog_[masked]'],
    ['a key beside a malformed escape', '%zz/%FF/%63og%5Fabcdef', '%zz/\u00ff/cog_[masked]'],
    ['a key in capitals behind escapes', '%43OG%5fABC', 'COG_[masked]'],
    ['a key with characters without width in it', 'cog_\u200babc\u2060def', 'cog_[masked]'],
    ['a key with a joiner in it', 'cog_\u034fabc\u3164def', 'cog_[masked]'],
    ['a token', 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2', 'eyJ[masked]'],
    ['an override', 'ann\u202ecod.exe', 'ann\\u202ecod.exe'],
    ['text that is not well escaped', '100%', '100%'],
  ])('treats %s', (_name, text, safe) => {
    expect(safeText(text)).toBe(safe)
  })

  it('is what every string and name of a record holds, at any depth', () => {
    const secret = 'cog_plantedplanted'
    const planted = fc.constantFrom(secret, `a ${secret}`, 'cog%5Fplantedplanted', '\u202eplanted\u0085', '\u001b[2J')
    const value = fc.letrec((tie) => ({
      any: fc.oneof(
        { maxDepth: 4 },
        planted,
        fc.string({ unit: 'binary' }),
        fc.integer(),
        fc.array(tie('any'), { maxLength: 3 }),
        fc.dictionary(fc.oneof(fc.string(), planted), tie('any'), { maxKeys: 3 }),
      ),
    })).any
    fc.assert(
      fc.property(value, (any) => {
        const json = recordJson({ any })
        expect(json).not.toMatch(/plantedplanted/)
        expect(json).not.toMatch(/[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/u)
        const texts: string[] = []
        JSON.parse(json, (name, member: unknown) => {
          texts.push(name)
          if (typeof member === 'string') texts.push(member)
          return member
        })
        // Read again, nothing comes back that was escaped.
        for (const text of texts) expect(visible(text)).toBe(text)
      }),
    )
  })

  it('leaves a record alone that has nothing to hide', () => {
    const record = { subject: 'ann@corp.example', groups: ['a "b" c'], app: null, n: 1.5, claims: { team: 'Zürich' } }
    expect(recordJson(record)).toBe(JSON.stringify(record))
  })
})
