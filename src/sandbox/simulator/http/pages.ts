// Pages of lists and the bounds in queries: `first` and `after` with opaque cursors, and time windows.

import { createHash } from 'node:crypto'
import { ApiError, invalid, wrong } from './answers.ts'
import type { Call } from '../state/call.ts'
import { isItem } from '../state/item.ts'

/** The envelope of nearly all lists. */
export interface Page<T> {
  readonly items: readonly T[]
  readonly end_cursor: string | null
  readonly has_next_page: boolean
  readonly total: number
}

/** An integer of the query, or null when it is absent. Throws 422 for anything else, and outside the bounds. */
export function integerOf(call: Call, name: string, least = -Infinity, most = Infinity): number | null {
  const value = call.query.get(name)
  if (value === null) return null
  const parsed = /^-?\d{1,15}$/.test(value) ? Number(value) : Number.NaN
  if (Number.isNaN(parsed)) {
    throw wrong(['query', name], 'Input should be a valid integer', 'int_parsing')
  }
  if (parsed >= least && parsed <= most) return parsed
  throw wrong(['query', name], `Input should be from ${least} to ${most}`, 'out_of_range')
}

/** A boolean of the query, or null when it is absent. */
export function booleanOf(call: Call, name: string): boolean | null {
  const value = call.query.get(name)?.toLowerCase()
  if (value === undefined) return null
  if (['true', '1', 'yes', 'on'].includes(value)) return true
  if (['false', '0', 'no', 'off'].includes(value)) return false
  throw wrong(['query', name], 'Input should be a valid boolean', 'bool_parsing')
}

/** The page that `first` (default 100) and `after` ask for. Cursors belong to one list and filter and refuse another. */
export function page<T>(call: Call, all: readonly T[], most = 200): Page<T> {
  const first = integerOf(call, 'first', 1, most) ?? Math.min(100, most)
  const after = call.query.get('after')
  const start = after === null || after === '' ? 0 : positionAfter(call, after, all)
  const items = all.slice(start, start + first)
  const end = start + items.length
  const last = items.at(-1)
  return {
    items,
    end_cursor: last === undefined ? null : cursorOf(call, end, identity(last)),
    has_next_page: end < all.length,
    total: all.length,
  }
}

// A cursor starts with bytes that give `+` and `/` in base64 and is padded to end in `=`: clients that forget to escape it
// in a query fail here at once, and not only on the unlucky page.
const MARK = Buffer.from([0xfb, 0xff, 0xbf])

function cursorOf(call: Call, position: number, last: string): string {
  const text = JSON.stringify([listOf(call), position, last])
  const padding = ' '.repeat((4 - (Buffer.byteLength(text) % 3)) % 3)
  return Buffer.concat([MARK, Buffer.from(text + padding)]).toString('base64')
}

/** Position behind the last item seen; found again by its identity when items came or went meanwhile. */
function positionAfter(call: Call, cursor: string, all: readonly unknown[]): number {
  const [list, position, last] = readCursor(cursor)
  if (list !== listOf(call) || typeof position !== 'number') throw new ApiError(400, 'Invalid cursor')
  if (position > 0 && position <= all.length && identity(all[position - 1]) === last) return position
  const found = all.findIndex((item) => identity(item) === last)
  return found === -1 ? Math.max(0, position - 1) : found + 1
}

function readCursor(cursor: string): unknown[] {
  try {
    const read: unknown = JSON.parse(Buffer.from(cursor, 'base64').subarray(MARK.length).toString('utf8'))
    return Array.isArray(read) ? read : []
  } catch {
    return []
  }
}

function listOf(call: Call): string {
  const filter = new URLSearchParams(call.query)
  filter.delete('after')
  filter.delete('first')
  filter.sort()
  return createHash('sha256')
    .update(`${call.operation.id} ${call.owner} ${filter.toString()}`)
    .digest('hex')
    .slice(0, 8)
}

/** Listed objects name themselves in their first member. */
function identity(item: unknown): string {
  return isItem(item) ? String(Object.values(item)[0]) : String(item)
}

/** A span of time asked for. */
export interface Window {
  /** Unix seconds, inclusive; -Infinity and Infinity where the query sets no bound. */
  readonly after: number
  readonly before: number
}

/** The window `time_after`..`time_before`. Throws 422 when a required bound is missing or the span is too long. */
export function windowOf(call: Call, rules: { readonly required?: boolean; readonly maxDays?: number } = {}): Window {
  const after = integerOf(call, 'time_after')
  const before = integerOf(call, 'time_before')
  const missing = [after === null ? 'time_after' : null, before === null ? 'time_before' : null].filter(
    (name) => name !== null,
  )
  if (rules.required === true && missing.length > 0) {
    throw invalid(missing.map((name) => ({ loc: ['query', name], msg: 'Field required', type: 'missing' })))
  }
  if (after !== null && before !== null && after > before) {
    throw wrong(['query', 'time_before'], 'time_before must not lie before time_after', 'value_error')
  }
  if (rules.maxDays !== undefined) checkSpan(after, before, call.seconds, rules.maxDays)
  return { after: after ?? -Infinity, before: before ?? Infinity }
}

function checkSpan(after: number | null, before: number | null, now: number, maxDays: number): void {
  const issue = (msg: string): ApiError => wrong(['query', 'time_after'], msg, 'value_error')
  if (after === null && before !== null) throw issue('time_before needs time_after')
  if (after !== null && (before ?? now) - after > maxDays * 86_400) {
    throw issue(`The time range must not exceed ${maxDays} days`)
  }
}

/** Whether a list filter of the query (a repeated key) is absent or holds one of the values. */
export function passes(call: Call, name: string, values: readonly (string | null)[]): boolean {
  const wanted = call.query.getAll(name)
  return wanted.length === 0 || values.some((value) => value !== null && wanted.includes(value))
}
