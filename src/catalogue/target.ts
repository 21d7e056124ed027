// The one reading of a request target (RFC 9112 section 3.2): the path by raw segments and the query, or a refusal.
// Matching, decision, cache and forwarding all use this reading, and the bytes that were read are the bytes that go on.

import { Problem } from '../problems.ts'

export interface Target {
  /** As received and as forwarded, without query. */
  readonly path: string
  /** Raw, still escaped segments; empty for `/`. */
  readonly segments: readonly string[]
  /** As received and as forwarded, without the question mark; empty when there is none. */
  readonly query: string
}

/** Reasons for `ambiguous-path`, as records show them. */
const outsideGrammar = /[^!-~]|#/
const ambiguousRaw = /[\\;]|\/\/|\/\.{1,2}(?:\/|$)/
const absoluteForm = /^https?:\/\/([^/?#]*)(.*)$/is
const ownPath = /^\/gateway(?:[/?]|$)/
const malformedEscape = /%(?![0-9A-Fa-f]{2})/
const escape = /%[0-9A-Fa-f]{2}/
// Control bytes are what this looks for.
// oxlint-disable-next-line no-control-regex
const ambiguousDecoded = /[\\;\u0000-\u001f\u007f-\u009f]/

/**
 * Reads a request target. `authority` is the Host field, which an absolute-form target has to match. Throws
 * `ambiguous-path` for anything that two servers could read differently (contract, "Paths").
 */
export function readTarget(rawTarget: string, authority: string | undefined): Target {
  const target = rawTarget.startsWith('/') ? rawTarget : originForm(rawTarget, authority)
  if (outsideGrammar.test(target)) throw ambiguous('it holds a byte outside "!" to "~" or a fragment')
  const mark = target.indexOf('?')
  const path = mark === -1 ? target : target.slice(0, mark)
  const query = mark === -1 ? '' : target.slice(mark + 1)
  if (path === '/') return { path, segments: [], query }
  if (ambiguousRaw.test(path)) throw ambiguous('it holds a dot segment, an empty segment, a backslash or a semicolon')
  if (path.endsWith('/')) throw ambiguous('it ends in a slash, which makes an empty segment')
  const segments = path.slice(1).split('/')
  if (path.includes('%')) for (const segment of segments) checkEscapes(segment)
  return { path, segments, query }
}

/** Whether a target that was not read yet is one of the gateway's own. For each that `readTarget` accepts: its first segment says so. */
export function isOwnTarget(rawTarget: string): boolean {
  if (rawTarget.startsWith('/')) return ownPath.test(rawTarget)
  const found = absoluteForm.exec(rawTarget)
  return found !== null && ownPath.test(found[2] ?? '')
}

/** Target of a method and path that a person typed (`explain`, policy tests). */
export function parseTarget(text: string): Target {
  return readTarget(text, undefined)
}

/** Path and query as one text, as the upstream gets them: a question mark with nothing behind it is not sent. */
export function addressOf({ path, query }: Target): string {
  return query === '' ? path : `${path}?${query}`
}

function originForm(target: string, authority: string | undefined): string {
  const found = absoluteForm.exec(target)
  if (found === null) throw ambiguous('it does not start with a slash')
  const [, host = '', rest = ''] = found
  if (authority === undefined || host.toLowerCase() !== authority.toLowerCase()) {
    throw ambiguous('it is an absolute address of another authority than the Host field names')
  }
  return rest.startsWith('/') ? rest : `/${rest}`
}

function checkEscapes(segment: string): void {
  if (!segment.includes('%')) return
  if (malformedEscape.test(segment)) throw ambiguous('it holds a malformed percent escape')
  const decoded = decodeOrNull(segment)
  if (decoded === null) throw ambiguous('it holds an escape that is not UTF-8')
  if (escape.test(decoded)) throw ambiguous('it is escaped twice')
  if (ambiguousDecoded.test(decoded)) throw ambiguous('it holds an escaped backslash, semicolon or control byte')
  if (decoded.split('/').some((part) => part === '' || part === '.' || part === '..')) {
    throw ambiguous('it holds an escaped dot segment or an empty segment')
  }
}

function decodeOrNull(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}

function ambiguous(why: string): Problem {
  return new Problem(
    'ambiguous-path',
    `The path is refused because ${why}. Send the operation's path as the API reference spells it.`,
  )
}

/** Name and value of each query parameter, decoded, in order. */
export function queryParameters(query: string): [name: string, value: string][] {
  if (query === '') return []
  return query.split('&').map((pair) => {
    const equals = pair.indexOf('=')
    const name = equals === -1 ? pair : pair.slice(0, equals)
    const value = equals === -1 ? '' : pair.slice(equals + 1)
    return [decodeParameter(name), decodeParameter(value)]
  })
}

function decodeParameter(text: string): string {
  const spaced = text.replaceAll('+', ' ')
  return spaced.includes('%') ? (decodeOrNull(spaced) ?? text) : spaced
}
