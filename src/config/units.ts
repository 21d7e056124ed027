// Parses durations, sizes and rates into numbers, and says what their texts look like, for schemas. Pure.

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

/** Units as people write them elsewhere, in small letters. */
const durationsElsewhere: Readonly<Record<string, string>> = {
  msec: 'ms',
  sec: 's',
  second: 's',
  min: 'm',
  minute: 'm',
  hr: 'h',
  hour: 'h',
  day: 'd',
}

/** What a duration between two bounds looks like, by the number of digits that each unit leaves room for. */
export function durationForm(leastMs: number, mostMs: number): string {
  const amount = leastMs > 0 ? '(?=\\d*[1-9])' : ''
  const forms = [...durations].flatMap(([unit, ms]) => {
    const most = Math.floor(mostMs / ms)
    const zero = leastMs > 0 ? [] : [`0+${unit}`]
    return most === 0 ? zero : [`0*\\d{1,${String(most).length}}${unit}`]
  })
  return `^${amount}(${forms.join('|')})$`
}

/** `250ms`, `5s`, `5m`, `24h`, `1d` → milliseconds. Whole numbers only. */
export function parseDuration(text: string): Parsed<number> {
  return parseQuantity(text, {
    units: durations,
    elsewhere: durationsElsewhere,
    what: 'a duration',
    form: 'write a whole number and a unit, like 250ms, 5s, 5m, 24h or 1d',
  })
}

const sizes: ReadonlyMap<string, number> = new Map([
  ['B', 1],
  ['kB', 1000],
  ['KB', 1000],
  ['MB', 1000 ** 2],
  ['GB', 1000 ** 3],
  ['KiB', 1024],
  ['MiB', 1024 ** 2],
  ['GiB', 1024 ** 3],
])

const sizesElsewhere: Readonly<Record<string, string>> = {
  byte: 'B',
  k: 'KiB',
  m: 'MiB',
  g: 'GiB',
  ki: 'KiB',
  mi: 'MiB',
  gi: 'GiB',
}

/** A smaller number without a unit is a forgotten unit. */
export const fewestPlainBytes = 1000

/** What a size looks like as a text. */
export const sizeForm = `^(0|\\d{4,}|${quantityForm(sizes).slice(1, -1)})$`

/** `64MiB`, `512KiB`, `10MB`, `1048576` → bytes. Whole numbers only; KiB and its kin are powers of 1024. */
export function parseSize(text: string): Parsed<number> {
  const bytes = /^\d+$/.test(text) ? Number(text) : null
  if (bytes !== null && bytes > 0 && bytes < fewestPlainBytes)
    return {
      error: `${quoted(text)} has no unit: write ${bytes}MiB or ${bytes}KiB, or ${bytes}B where so few bytes are meant`,
    }
  return parseQuantity(bytes === null ? text : `${text}B`, {
    units: sizes,
    elsewhere: sizesElsewhere,
    what: 'a size',
    form: 'write a number of bytes, or a whole number and a unit, like 512KiB, 64MiB, 1GiB or 10MB',
  })
}

const spans: ReadonlyMap<string, number> = new Map([
  ['s', 1000],
  ['min', 60_000],
  ['h', 3_600_000],
])
const calendars = ['day', 'week', 'month'] as const
const spansElsewhere: Readonly<Record<string, string>> = {
  sec: 's',
  second: 's',
  m: 'min',
  minute: 'min',
  hr: 'h',
  hour: 'h',
  d: 'day',
  w: 'week',
  mo: 'month',
}
const rateWords =
  'write a whole number, a slash and s, min, h, day, week or month, like 10/s, 600/min, 5/h, 50/day or 500/month'

/** What a rate looks like, and one in a window of the calendar. */
export const rateForm = `^0*[1-9]\\d*/(${[...spans.keys(), ...calendars].join('|')})$`
export const calendarRateForm = `^0*[1-9]\\d*/(${calendars.join('|')})$`

/** `10/s`, `600/min`, `5/h`, `50/day`, `20/week`, `500/month` → a rate. The amount is at least 1. `usual`: the unit that a bare number most likely means. */
export function parseRate(text: string, usual: 'min' | 'month' = 'min'): Parsed<Rate> {
  const [, digits = '', unit = ''] = /^(\d+)\/([a-zA-Z]+)$/.exec(text) ?? []
  const amount = Number(digits)
  const calendar = calendars.find((name) => name === unit) ?? null
  const perMs = spans.get(unit)
  if (digits === '' || (calendar === null && perMs === undefined)) {
    const known = [...spans.keys(), ...calendars]
    const [, amountMeant = '', unitMeant = usual] = /^\s*(\d+)(?:\s*(?:\/|per)?\s*([a-z]+))?\s*$/i.exec(text) ?? []
    const meant = unitNear(unitMeant, known, spansElsewhere)
    const hint =
      amountMeant !== '' && meant !== null
        ? `; did you mean "${amountMeant}/${meant}"?`
        : unit === ''
          ? ''
          : didYouMean(unit, known)
    return { error: `${quoted(text)} is not a rate: ${rateWords}${hint}` }
  }
  if (amount < 1 || !Number.isSafeInteger(amount))
    return { error: `${quoted(text)} is not a rate: the amount must be at least 1 and at most 2^53-1` }
  if (calendar !== null) return { value: { amount, perMs: null, calendar } }
  return perMs === undefined ? { error: rateWords } : { value: { amount, perMs, calendar: null } }
}

interface Quantity {
  readonly units: ReadonlyMap<string, number>
  readonly elsewhere: Readonly<Record<string, string>>
  readonly what: string
  readonly form: string
}

function parseQuantity(text: string, { units, elsewhere, what, form }: Quantity): Parsed<number> {
  const [, digits = '', unit = ''] = /^(\d+)([a-zA-Z]*)$/.exec(text) ?? []
  const factor = units.get(unit)
  if (digits === '' || factor === undefined) {
    const [, amount = '', written = ''] = /^\s*(\d+)\s*([a-z]+)\s*$/i.exec(text) ?? []
    const meant = unitNear(written, [...units.keys()], elsewhere)
    const hint = amount === '' || meant === null ? '' : `; did you mean "${amount}${meant}"?`
    return { error: `${quoted(text)} is not ${what}: ${form}${hint}` }
  }
  const value = Number(digits) * factor
  return Number.isSafeInteger(value) ? { value } : { error: `${quoted(text)} is too large` }
}

/** The unit that a word in other letters, or of other programs, most likely means. */
function unitNear(word: string, units: readonly string[], elsewhere: Readonly<Record<string, string>>): string | null {
  const small = word.toLowerCase()
  const singular = small.length > 2 ? small.replace(/s$/, '') : small
  for (const each of [small, singular]) {
    const same = units.includes(word) ? word : units.find((unit) => unit.toLowerCase() === each)
    if (same !== undefined) return same
    if (Object.hasOwn(elsewhere, each)) return elsewhere[each] ?? null
  }
  return null
}

function quantityForm(units: ReadonlyMap<string, number>): string {
  return `^\\d+(${[...units.keys()].join('|')})$`
}

/** A value as messages show it: in quotes, and shortened. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}…` : text)
}
