// Spellings of a name that some server reads as that name: what a caller would try to get past a rule on it.

import * as fc from 'fast-check'

/** Characters that fold to an ASCII letter: compatibility forms, other cases, and accents that readers may drop. */
const twins: Readonly<Record<string, readonly string[]>> = {
  a: ['ａ', 'ⓐ', 'ª', 'á'],
  b: ['ｂ', '𝐛'],
  c: ['ｃ', 'ℂ', 'ç'],
  d: ['ｄ', 'ⅾ'],
  e: ['ｅ', 'ℯ', 'é'],
  g: ['ｇ', 'ℊ'],
  i: ['ｉ', 'ı', 'İ', 'ⅰ'],
  k: ['ｋ', '\u212a'],
  l: ['ｌ', 'ⅼ', 'ℓ'],
  m: ['ｍ', 'ⅿ'],
  o: ['ｏ', 'º', 'ℴ', 'ö'],
  p: ['ｐ', '𝓹'],
  r: ['ｒ', 'ℝ'],
  s: ['ｓ', 'ſ', 'ⓢ'],
  t: ['ｔ', '𝕥'],
  u: ['ｕ', 'ü'],
}
const invisible = [
  '',
  '',
  '',
  '\u0000',
  '\u0009',
  '\u007f',
  '\u00ad',
  '\u200b',
  '\u200d',
  '\u2060',
  '\ufeff',
  '\ufe0f',
  '\u3164',
  '\u0301',
]
const separators = ['', '_', '-', '.', ' ', '\u00a0', '\u2003', '＿', ':', '/', '__', '\u2010']
const endings = ['', '', '', '[]', '[0]', '[a][]', '［］', '=', ' ', '\u0000', '.0', '[', ']', '\ufffd']

/** A spelling of `name` that is not `name` itself. */
export function spellingOf(name: string): fc.Arbitrary<string> {
  const words = name.split('_')
  const letter = (character: string) =>
    fc.tuple(
      fc.oneof(
        { weight: 6, arbitrary: fc.constant(character) },
        { weight: 2, arbitrary: fc.constant(character.toUpperCase()) },
        { weight: 1, arbitrary: fc.constantFrom(character, ...(twins[character] ?? [])) },
      ),
      fc.oneof({ weight: 9, arbitrary: fc.constant('') }, { weight: 1, arbitrary: fc.constantFrom(...invisible) }),
    )
  const word = (text: string) => fc.tuple(...Array.from(text, letter)).map((parts) => parts.flat().join(''))
  return fc
    .tuple(
      fc.constantFrom(...separators),
      fc.tuple(...words.map(word)),
      fc.constantFrom(...endings),
      fc.boolean(),
      fc.boolean(),
    )
    .map(([separator, spelled, ending, isCamel, isKept]) => {
      const humps = isCamel
        ? spelled.map((each, index) => (index === 0 ? each : each.charAt(0).toUpperCase() + each.slice(1)))
        : spelled
      return humps.join(isKept ? '_' : separator) + ending
    })
    .filter((spelling) => spelling !== name && spelling.isWellFormed())
}

/** The name as a query may escape it, up to three times over; characters that mean something in a query always are. */
export function inQuery(spelling: string): fc.Arbitrary<string> {
  const escapeAll = (text: string): string =>
    Array.from(Buffer.from(text), (byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
  return fc
    .tuple(fc.array(fc.boolean(), { minLength: 40, maxLength: 40 }), fc.integer({ min: 0, max: 2 }))
    .map(([escaped, more]) => {
      const once = Array.from(spelling, (character, index) =>
        /[A-Za-z0-9_.[\]-]/.test(character) && escaped[index % 40] !== true ? character : escapeAll(character),
      ).join('')
      return Array.from({ length: more }).reduce<string>((text) => text.replaceAll('%', '%25'), once)
    })
}
