// Cache-Control of requests and answers (RFC 9111 section 5.2) and its targeted form (RFC 9213), as typed directives.

import { fieldValue, listMembers } from '../../http/field-list.ts'

/** Response directives. Ages in seconds; null when absent. */
export interface AnswerDirectives {
  readonly noStore: boolean
  /** `no-cache` without arguments. */
  readonly noCache: boolean
  /** `private` without arguments. */
  readonly private: boolean
  readonly public: boolean
  /** `must-revalidate`, `proxy-revalidate`, or `s-maxage`, which implies it. */
  readonly mustRevalidate: boolean
  readonly mustUnderstand: boolean
  /** Names listed by `no-cache="…"` and `private="…"`: not kept with the rest. */
  readonly withheld: readonly string[]
  /** `s-maxage`, else `max-age`; 0 when it is malformed (section 4.2.1). */
  readonly maxAgeS: number | null
  readonly staleWhileRevalidateS: number | null
  readonly staleIfErrorS: number | null
  /** A targeted field governs: Expires does not count (RFC 9213 section 2.2). */
  readonly targeted: boolean
}

/** Request directives. Seconds; null when absent. */
export interface RequestDirectives {
  readonly noStore: boolean
  readonly noCache: boolean
  readonly onlyIfCached: boolean
  readonly maxAgeS: number | null
  readonly minFreshS: number | null
  /** Infinity when it has no argument. */
  readonly maxStaleS: number | null
}

type Directives = ReadonlyMap<string, readonly (string | null)[]>

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const deltaSeconds = /^\d+$/
/** Section 1.2.2: a value that overflows counts as this. */
const mostSeconds = 2 ** 31

/** Reads the answer's Cache-Control, or in its place CDN-Cache-Control where it is well-formed (RFC 9213). */
export function answerDirectives(fields: readonly string[]): AnswerDirectives {
  const targeted = fieldValue(fields, 'cdn-cache-control')
  const dictionary = targeted === null ? null : parseDictionary(targeted)
  if (dictionary !== null && dictionary.size > 0) return interpret(dictionary, true)
  return interpret(parse(fieldValue(fields, 'cache-control')), false)
}

/** Reads a request's Cache-Control; `pragma` counts only where there is none (section 5.4). Null when it says nothing. */
export function requestDirectives(cacheControl: string | null, pragma: string | null): RequestDirectives | null {
  if (cacheControl === null && pragma === null) return null
  const directives =
    cacheControl === null ? parse(pragma?.toLowerCase() === 'no-cache' ? pragma : null) : parse(cacheControl)
  const maxStale = directives.get('max-stale')
  const read: RequestDirectives = {
    noStore: directives.has('no-store'),
    noCache: directives.has('no-cache'),
    onlyIfCached: directives.has('only-if-cached'),
    maxAgeS: seconds(directives, 'max-age', 0),
    minFreshS: seconds(directives, 'min-fresh', null),
    maxStaleS: maxStale?.[0] === null ? Infinity : seconds(directives, 'max-stale', null),
  }
  const { noStore, noCache, onlyIfCached, maxAgeS, minFreshS, maxStaleS } = read
  const silent = !noStore && !noCache && !onlyIfCached && maxAgeS === null && minFreshS === null && maxStaleS === null
  return silent ? null : read
}

function interpret(directives: Directives, targeted: boolean): AnswerDirectives {
  const sMaxAgeS = seconds(directives, 's-maxage', 0)
  return {
    noStore: directives.has('no-store'),
    noCache: isBare(directives, 'no-cache'),
    private: isBare(directives, 'private'),
    public: directives.has('public'),
    mustRevalidate: directives.has('must-revalidate') || directives.has('proxy-revalidate') || sMaxAgeS !== null,
    mustUnderstand: directives.has('must-understand'),
    withheld: [...names(directives, 'no-cache'), ...names(directives, 'private')],
    maxAgeS: sMaxAgeS ?? seconds(directives, 'max-age', 0),
    staleWhileRevalidateS: seconds(directives, 'stale-while-revalidate', null),
    staleIfErrorS: seconds(directives, 'stale-if-error', null),
    targeted,
  }
}

function parse(value: string | null): Directives {
  const directives = new Map<string, (string | null)[]>()
  for (const member of value === null ? [] : listMembers(value)) {
    const equals = member.indexOf('=')
    const name = equals === -1 ? member : member.slice(0, equals)
    if (!token.test(name)) continue
    const known = directives.get(name.toLowerCase())
    const argument = equals === -1 ? null : unquoted(member.slice(equals + 1))
    if (known === undefined) directives.set(name.toLowerCase(), [argument])
    else known.push(argument)
  }
  return directives
}

const dictionaryMember =
  /^([a-z*][a-z0-9_.*-]*)(?:=("(?:[\u0020-\u0021\u0023-\u005b\u005d-\u007e]|\\["\\])*"|-?\d{1,15}(?:\.\d{1,3})?|[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*|\?[01]|:[A-Za-z0-9+/=]*:))?(?:;[^;,"]+)*$/

/** A Structured Field dictionary without inner lists (RFC 9651); null when it is malformed: then it counts as absent. */
function parseDictionary(value: string): Directives | null {
  const directives = new Map<string, (string | null)[]>()
  for (const member of listMembers(value)) {
    const [, name, argument] = dictionaryMember.exec(member) ?? []
    if (name === undefined) return null
    // A number in quotes is a string, and no number.
    const isText = argument?.startsWith('"') === true && deltaSeconds.test(argument.slice(1, -1))
    if (argument === '?0' || isText) directives.delete(name)
    else directives.set(name, [argument === undefined || argument === '?1' ? null : unquoted(argument)])
  }
  return directives
}

function unquoted(argument: string): string {
  const quoted = argument.length > 1 && argument.startsWith('"') && argument.endsWith('"')
  return quoted ? argument.slice(1, -1).replaceAll(/\\(.)/g, '$1') : argument
}

/** The first argument counts (section 4.2.1); `malformed` is what a bad one stands for. */
function seconds<T extends number | null>(directives: Directives, name: string, malformed: T): number | T | null {
  const [first] = directives.get(name) ?? []
  if (first === undefined) return null
  return first !== null && deltaSeconds.test(first) ? Math.min(Number(first), mostSeconds) : malformed
}

function isBare(directives: Directives, name: string): boolean {
  return directives.get(name)?.some((argument) => argument === null || argument === '') ?? false
}

function names(directives: Directives, name: string): string[] {
  const given = directives.get(name) ?? []
  return given.flatMap((argument) => (argument === null ? [] : listMembers(argument.toLowerCase())))
}
