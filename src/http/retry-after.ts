// How long an upstream that answered 429 asks to wait. Pure.

import { firstValue } from './field-list.ts'
import { parseHttpDate } from './date.ts'

/** Where it does not say how long; and the longest time that it is believed. */
const unsaidMs = 1_000
const mostMs = 600_000

/**
 * Milliseconds from the fields of an answer (names in lower case, name and value alternating): `retry-after-ms`, or
 * `Retry-After` in seconds or as a date, which counts from the answer's own `Date`.
 */
export function restMs(fields: readonly string[]): number {
  const exact = digits(firstValue(fields, 'retry-after-ms'))
  const seconds = digits(firstValue(fields, 'retry-after'))
  const said = exact ?? (seconds === null ? untilDateMs(fields) : seconds * 1000)
  return Math.min(said ?? unsaidMs, mostMs)
}

function untilDateMs(fields: readonly string[]): number | null {
  const [retry, date] = [firstValue(fields, 'retry-after'), firstValue(fields, 'date')]
  if (retry === null || date === null) return null
  const dateMs = parseHttpDate(date, 0)
  const retryMs = parseHttpDate(retry, dateMs ?? 0)
  return dateMs === null || retryMs === null ? null : Math.max(0, retryMs - dateMs)
}

function digits(value: string | null): number | null {
  return value !== null && /^\d{1,12}$/.test(value.trim()) ? Number(value) : null
}
