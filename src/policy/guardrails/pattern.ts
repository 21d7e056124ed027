// Patterns of `matches` and `each_matches`: `*` for some characters, or a regular expression between ^ and $. Both take time
// linear in the text, whatever a caller sends and whatever an author writes.

import { RE2JS } from 're2js'

/** Characters of one request that are looked at closely; callers choose how many there are. */
export const mostCloseCharacters = 65_536
/** Steps of a regular expression. Each character of a text may take as long as all of them, and compiling them is one step of ours. */
const mostSteps = 1024
/** An expression of so many may look at all of these characters. */
const usualSteps = 16

/** How much of one request was looked at closely: by regular expressions, and odd texts by patterns of paths. */
export class Effort {
  #left = mostCloseCharacters

  get isSpent(): boolean {
    return this.#left < 0
  }

  /** Whether this text may be looked at as well; `weight`: how much dearer a character is than usual. */
  take(text: string, weight = 1): boolean {
    this.#left -= text.length * weight
    return !this.isSpent
  }
}

/** A pattern, and how it was written. */
export interface Pattern {
  readonly text: string
  /** Whether a whole text matches. False also where the effort is spent. */
  test(text: string, effort: Effort): boolean
}

/**
 * Compiles a pattern. One that begins with `^` is a regular expression in the syntax of RE2 (no look-around, no back
 * references) and ends with `$`; it sees texts as they are. In anything else `*` stands for one or more characters, line
 * breaks and other controls excepted, and the rest for itself; with a slash it matches paths, and no path with a segment that
 * leads elsewhere. Both must match the whole text. Gives a sentence where it is neither.
 */
export function compilePattern(pattern: string): Pattern | { readonly error: string } {
  if (!pattern.startsWith('^')) return starPattern(pattern)
  if (!pattern.endsWith('$'))
    return { error: 'a regular expression begins with ^ and ends with $, so that it bounds the whole text' }
  try {
    const expression = RE2JS.compile(pattern.slice(1, -1), RE2JS.DOTALL)
    const steps = expression.programSize()
    if (steps > mostSteps)
      return {
        error: `a regular expression of ${steps} steps, more than the ${mostSteps} that are taken: repeat less in it, and bound the length with max_length`,
      }
    const weight = Math.max(1, steps / usualSteps)
    // Not `testExact`: a caller chooses the text, and can make it build a new state of its automaton for each character.
    return { text: pattern, test: (text, effort) => effort.take(text, weight) && expression.matcher(text).matches() }
  } catch (error) {
    const why =
      error instanceof Error
        ? error.message.replace(/^error parsing regexp: /, '').replace('`(?s)', '`')
        : 'it cannot be read'
    return { error: `not a regular expression that runs in linear time (the syntax of RE2): ${why}` }
  }
}

/** Controls, line and paragraph separators, and what turns the direction of a text around. */
const unseen = /[\p{Cc}\u2028\u2029\p{Bidi_Control}]/u

function starPattern(pattern: string): Pattern | { readonly error: string } {
  if (unseen.test(pattern)) return { error: 'a pattern holds no line breaks or other control characters' }
  const isMatch = partsTest(pattern)
  const isPath = pattern.includes('/') ? pathTest(pattern) : null
  return {
    text: pattern,
    test: (text, effort) =>
      isMatch(text) &&
      // Nearly every text is ASCII, and found to be so in a fraction of the time.
      (printable.test(text) || !unseen.test(text)) &&
      (isPath === null || isPath(text, effort)),
  }
}

const printable = /^[ -~]*$/

/** Each literal part is looked for behind the one before: leftmost is enough, so nothing is tried twice. */
function partsTest(pattern: string): (text: string) => boolean {
  const [first = '', ...others] = pattern.split('*')
  const last = others.pop()
  if (last === undefined) return (text) => text === first
  return (text) => {
    if (!text.startsWith(first) || !text.endsWith(last)) return false
    const end = text.length - last.length
    let at = first.length
    for (const part of others) {
      const found = text.indexOf(part, at + 1)
      if (found === -1) return false
      at = found + part.length
    }
    return at < end
  }
}

/** Whether no segment of a path leads elsewhere, however a reader may take it: escaped, with backslashes, in other letters. */
function pathTest(pattern: string): (text: string, effort: Effort) => boolean {
  const start = /^(?:[A-Za-z][A-Za-z0-9+.-]*:\/\/|\/)?/.exec(pattern)?.[0].length ?? 0
  const isFolder = pattern.endsWith('/')
  return (text, effort) => {
    const path = text.slice(start, isFolder ? -1 : undefined)
    // In a path of letters, digits and their like only dots and slashes say where it leads.
    if (/^[\w./-]*$/.test(path)) return !/(?:^|\/)\.*(?:\/|$)/.test(path)
    return effort.take(text) && segmentsOf(path).every((segment) => !leadsElsewhere(segment))
  }
}

function segmentsOf(path: string): readonly string[] {
  let plain = path
  for (let layers = 0; layers < mostLayers && plain.includes('%'); layers += 1)
    plain = plain.replaceAll(/%([0-7][0-9a-f])/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
  return plain.normalize('NFKC').split(/[/\\]/)
}

const mostLayers = 4

/** Some readers cut parameters off behind a semicolon, trim a segment, or skip what is invisible. */
function leadsElsewhere(segment: string): boolean {
  const seen = segment.replace(/;.*$/s, '').replaceAll(/[\s\p{C}\p{Default_Ignorable_Code_Point}]/gu, '')
  return seen === '' || /^\.+$/.test(seen)
}
