// Patterns of `matches` and `each_matches`: `*` for any characters, or a regular expression between ^ and $. Both take
// time linear in the text they are held against, whatever a caller sends and whatever an author writes.

import { RE2JS } from 're2js'

/** Whether a whole text matches. */
export type TextTest = (text: string) => boolean

/**
 * Compiles a pattern. One that begins with `^` is a regular expression in the syntax of RE2 (no look-around, no back
 * references) and ends with `$`; in anything else `*` stands for any characters, none included, and the rest for itself.
 * Both must match the whole text. Gives a sentence where it is neither.
 */
export function compilePattern(pattern: string): TextTest | { readonly error: string } {
  if (!pattern.startsWith('^')) return glob(pattern)
  if (!pattern.endsWith('$'))
    return { error: 'a regular expression begins with ^ and ends with $, so that it bounds the whole text' }
  try {
    const expression = RE2JS.compile(pattern.slice(1, -1), RE2JS.DOTALL)
    return (text) => expression.testExact(text)
  } catch (error) {
    const why =
      error instanceof Error
        ? error.message.replace(/^error parsing regexp: /, '').replace('`(?s)', '`')
        : 'it cannot be read'
    return { error: `not a regular expression that runs in linear time (the syntax of RE2): ${why}` }
  }
}

/** Each literal part is looked for behind the one before: leftmost is enough, so nothing is tried twice. */
function glob(pattern: string): TextTest {
  const [first = '', ...others] = pattern.split('*')
  const last = others.pop()
  if (last === undefined) return (text) => text === first
  return (text) => {
    if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false
    const end = text.length - last.length
    let at = first.length
    for (const part of others) {
      const found = text.indexOf(part, at)
      if (found === -1 || found + part.length > end) return false
      at = found + part.length
    }
    return true
  }
}
