// Parses durations, sizes and rates into numbers. Pure.

import { didYouMean } from './nearest.ts'

/** A value, or a sentence that says which spellings are accepted. */
export type Parsed<T> = { readonly value: T } | { readonly error: string }

/** So many in a sliding span of time, or in a calendar day, week or month. */
export type Rate =
  | { readonly amount: number; readonly perMs: number; readonly calendar: null }
  | { readonly amount: number; readonly perMs: null; readonly calendar: 'day' | 'week' | 'month' }

const durations: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
])

/** `250ms`, `5s`, `5m`, `24h`, `1d` → milliseconds. Whole numbers only. */
export function parseDuration(text: string): Parsed<number> {
  return parseQuantity(text, durations, 'a duration', 'write a whole number and a unit, like 250ms, 5s, 5m, 24h or 1d')
}

const sizes: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['B', 1],
  ['kB', 1000],
  ['KB', 1000],
  ['MB', 1000 ** 2],
  ['GB', 1000 ** 3],
  ['KiB', 1024],
  ['MiB', 1024 ** 2],
  ['GiB', 1024 ** 3],
])

/** `64MiB`, `512KiB`, `10MB`, `1048576` → bytes. Whole numbers only; KiB and its kin are powers of 1024. */
export function parseSize(text: string): Parsed<number> {
  return parseQuantity(
    text,
    sizes,
    'a size',
    'write a number of bytes, or a whole number and a unit, like 512KiB, 64MiB, 1GiB or 10MB',
  )
}

const spans: ReadonlyMap<string, number> = new Map([
  ['s', 1000],
  ['min', 60_000],
  ['h', 3_600_000],
])
const calendars = ['day', 'week', 'month'] as const
const rateForm =
  'write a whole number, a slash and s, min, h, day, week or month, like 10/s, 600/min, 5/h, 50/day or 500/month'

/** `10/s`, `600/min`, `5/h`, `50/day`, `20/week`, `500/month` → a rate. The amount is at least 1. */
export function parseRate(text: string): Parsed<Rate> {
  const [, digits = '', unit = ''] = /^(\d+)\/([a-zA-Z]+)$/.exec(text) ?? []
  const amount = Number(digits)
  const calendar = calendars.find((name) => name === unit) ?? null
  const perMs = spans.get(unit)
  if (digits === '' || (calendar === null && perMs === undefined)) {
    return {
      error: `${quoted(text)} is not a rate: ${rateForm}${unit === '' ? '' : didYouMean(unit, [...spans.keys(), ...calendars])}`,
    }
  }
  if (amount < 1 || !Number.isSafeInteger(amount))
    return { error: `${quoted(text)} is not a rate: the amount must be at least 1 and at most 2^53-1` }
  if (calendar !== null) return { value: { amount, perMs: null, calendar } }
  return perMs === undefined ? { error: rateForm } : { value: { amount, perMs, calendar: null } }
}

function parseQuantity(text: string, units: ReadonlyMap<string, number>, what: string, form: string): Parsed<number> {
  const [, digits = '', unit = ''] = /^(\d+)([a-zA-Z]*)$/.exec(text) ?? []
  const factor = units.get(unit)
  if (digits === '' || factor === undefined) return { error: `${quoted(text)} is not ${what}: ${form}` }
  const value = Number(digits) * factor
  return Number.isSafeInteger(value) ? { value } : { error: `${quoted(text)} is too large` }
}

/** A value as messages show it: in quotes, and shortened. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}…` : text)
}
