// A request read once: its cache key, and what its fields ask of a cache. One pass, as every read takes it.

import { requestDirectives, type RequestDirectives } from './rfc9111/directives.ts'
import { fieldValue, listMembers } from '../http/field-list.ts'
import type { CacheRequest } from './cache-request.ts'

export interface ParsedCacheRequest {
  /** Equal for two requests only if the upstream would see the same credential, target and fields. */
  readonly key: string
  /** The part of the key that holds the fields. */
  readonly fieldLines: string
  readonly directives: RequestDirectives | null
  readonly ifNoneMatch: string | null
  readonly ifModifiedSince: string | null
  readonly range: string | null
  readonly ifRange: string | null
  readonly acceptEncoding: string | null
  /** It has If-Match or If-Unmodified-Since, which only the origin can judge (RFC 9111 section 4.3.2). */
  readonly forOrigin: boolean
}

/** Fields that never go upstream with a read that others may share. The cache itself does what most of them ask for. */
const unsent = new Set([
  'accept-encoding',
  'authorization',
  'cache-control',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'pragma',
  'range',
  'traceparent',
  'tracestate',
  'user-agent',
])

/** Reads a request once. Pure. */
export function parseCacheRequest(request: CacheRequest): ParsedCacheRequest {
  const { fields } = request
  let cacheControl: string | null = null
  let pragma: string | null = null
  let ifNoneMatch: string | null = null
  let ifModifiedSince: string | null = null
  let range: string | null = null
  let ifRange: string | null = null
  let acceptEncoding: string | null = null
  let forOrigin = false
  for (let index = 0; index < fields.length; index += 2) {
    const value = fields[index + 1] ?? ''
    switch (fields[index]) {
      case 'cache-control':
        cacheControl = joined(cacheControl, value)
        break
      case 'pragma':
        pragma = joined(pragma, value)
        break
      case 'if-none-match':
        ifNoneMatch = joined(ifNoneMatch, value)
        break
      case 'if-modified-since':
        ifModifiedSince = value
        break
      case 'range':
        range = joined(range, value)
        break
      case 'if-range':
        ifRange = value
        break
      case 'accept-encoding':
        acceptEncoding = joined(acceptEncoding, value)
        break
      case 'if-match':
      case 'if-unmodified-since':
        forOrigin = true
        break
    }
  }
  const directives = requestDirectives(cacheControl, pragma)
  const fieldLines = keyedFields(fields)
  // Neither a target nor a field can hold a line break, so the parts cannot run into each other.
  const key = `${orderedTarget(request.target)}\n${fieldLines}\n${request.partition}`
  return { key, fieldLines, directives, ifNoneMatch, ifModifiedSince, range, ifRange, acceptEncoding, forOrigin }
}

function joined(before: string | null, value: string): string {
  return before === null ? value : `${before}, ${value}`
}

/** What goes upstream of a caller's fields where others may share the answer: what the key says, and nothing else. */
export function sharedFields({ fieldLines }: Pick<ParsedCacheRequest, 'fieldLines'>): string[] {
  const fields: string[] = []
  for (let start = 0; start < fieldLines.length;) {
    const colon = fieldLines.indexOf(':', start)
    const end = fieldLines.indexOf('\n', colon)
    fields.push(fieldLines.slice(start, colon), fieldLines.slice(colon + 1, end))
    start = end + 1
  }
  return fields
}

/** One line for each field that goes upstream: name, colon, value. */
function keyedFields(fields: readonly string[]): string {
  let lines = ''
  let before = ''
  for (let index = 0; index < fields.length; index += 2) {
    const name = fields[index] ?? ''
    if (unsent.has(name)) continue
    // Out of order or in several lines: the long way, which gives the same text for the same fields.
    if (name <= before) return keyedFieldsSorted(fields)
    before = name
    lines += keyedLine(name, fields[index + 1] ?? '')
  }
  return lines
}

function keyedFieldsSorted(fields: readonly string[]): string {
  const names = new Set(fields.filter((name, index) => index % 2 === 0 && !unsent.has(name)))
  return [...names]
    .sort()
    .map((name) => keyedLine(name, fieldValue(fields, name) ?? ''))
    .join('')
}

function keyedLine(name: string, value: string): string {
  // What many clients send by themselves means the same as no field (RFC 9110 sections 12.5.1 and 12.5.4).
  const silent = (name === 'accept' && value === '*/*') || (name === 'accept-language' && value === '*')
  return silent ? '' : `${name}:${normalised(name, value)}\n`
}

/** A field's value for comparison: without optional whitespace between members, language ranges without case. */
function normalised(name: string, value: string): string {
  const plain = value.includes(',') ? listMembers(value).join(',') : value
  return name === 'accept-language' ? plain.toLowerCase() : plain
}

/**
 * The target with its query parameters sorted by name; those of equal names keep their order. A query stays as it is when a
 * reader could take two of its names for one (escapes, brackets, letter case, separators), or could divide it otherwise.
 */
export function orderedTarget(target: string): string {
  const mark = target.indexOf('?')
  if (mark === -1 || !target.includes('&', mark)) return target
  const pairs = target.slice(mark + 1).split('&')
  let before = ''
  let sorted = true
  for (const pair of pairs) {
    const name = nameOf(pair)
    if (name < before) sorted = false
    before = name
  }
  if (sorted || target.includes(';', mark) || mayBeConfused(pairs.map(nameOf))) return target
  // The sort is stable.
  pairs.sort((one, other) => (nameOf(one) < nameOf(other) ? -1 : nameOf(one) > nameOf(other) ? 1 : 0))
  return `${target.slice(0, mark + 1)}${pairs.join('&')}`
}

const plainName = /^[A-Za-z0-9_-]+$/

/** Whether a server could read two differently spelled names as one, or a name is empty or not plain. */
function mayBeConfused(names: readonly string[]): boolean {
  const spellings = new Map<string, string>()
  return names.some((name) => {
    if (!plainName.test(name)) return true
    const folded = name.toLowerCase().replaceAll(/[_-]/g, '')
    const known = spellings.get(folded) ?? name
    spellings.set(folded, name)
    return known !== name
  })
}

function nameOf(pair: string): string {
  const equals = pair.indexOf('=')
  return equals === -1 ? pair : pair.slice(0, equals)
}

export function pathOf(target: string): string {
  const mark = target.indexOf('?')
  return mark === -1 ? target : target.slice(0, mark)
}
