// What a budget is: whose usage it bounds, how much it allows, and when it resets. Made by policy/. Amounts are whole
// numbers of the smallest unit, so that sums are exact.

import { calendarEndMs } from '../limits/calendar.ts'

export type Measure = 'acus' | 'sessions' | 'open_sessions'

/** A calendar window that starts at an hour of a time zone. */
export interface Period {
  readonly calendar: 'day' | 'week' | 'month'
  /** IANA name. */
  readonly timeZone: string
  /** Whole hours after midnight. */
  readonly turnsAtHour: number
}

export interface Budget {
  /** Stable name of whose usage this is. A changed policy with the same name continues with the same usage. */
  readonly account: string
  /** Name in the RateLimit fields and in refusals: `acus`, `app-sessions`, `organization-acus`… */
  readonly name: string
  /** Whose budget it is, for people: `team payments`, `app payments-bot of team payments`, `organization org-payments`. */
  readonly owner: string
  /** The team it belongs to; null for an organization's. */
  readonly team: string | null
  readonly measure: Measure
  /** In units of the measure; null bounds nothing. */
  readonly hard: number | null
  /** Reported in log and metrics, never refused; in units of the measure. */
  readonly soft: number | null
  /** Null when it never resets: open sessions. */
  readonly period: Period | null
  /** Shadow: counted and reported, not applied. */
  readonly shadow: boolean
  /** File of the policy, whose owner may change it. */
  readonly file: string
}

/** Units of one ACU. The API reports fractions of an ACU, rounded to more than a millionth. */
export const unitsPerAcu = 1_000_000

/** Units of one of a measure. */
export function unitsOf(measure: Measure): number {
  return measure === 'acus' ? unitsPerAcu : 1
}

/**
 * ACUs of the API → units, rounded up, so that a budget errs on the safe side. Negative and invalid figures count as
 * 0.
 */
export function unitsOfAcus(acus: number): number {
  // Figures have a few decimals; a rounding error of binary fractions is no consumption.
  const units = Math.ceil(Number((acus * unitsPerAcu).toFixed(3)))
  return acus > 0 ? Math.min(units, mostUnits) : 0
}

/** Above any real figure, and small enough that sums stay exact. */
const mostUnits = 1_000_000_000 * unitsPerAcu

/** Devin's billing days start at 08:00 UTC, and so do weeks and months of ACUs. */
export function billingPeriod(calendar: Period['calendar']): Period {
  return { calendar, timeZone: 'UTC', turnsAtHour: 8 }
}

/** The window of a period that holds an instant, both ends in milliseconds since the epoch; the end is outside. */
export function windowAt(period: Period, nowMs: number): { readonly startMs: number; readonly endMs: number } {
  const endMs = endAfter(period, nowMs)
  // The longest window has 31 days and an hour. The last start before this end is the window's beginning.
  let startMs = endAfter(period, nowMs - longestMs[period.calendar])
  for (let next = endAfter(period, startMs); next < endMs; next = endAfter(period, startMs)) startMs = next
  return { startMs, endMs }
}

const dayMs = 86_400_000
const longestMs = { day: 1.1 * dayMs, week: 7.1 * dayMs, month: 31.1 * dayMs }

function endAfter({ calendar, timeZone, turnsAtHour }: Period, nowMs: number): number {
  const shiftMs = turnsAtHour * 3_600_000
  return calendarEndMs(calendar, timeZone, nowMs - shiftMs) + shiftMs
}

/** When the window ends in which a use at an instant counts; null when it never resets. */
export function windowEnd(budget: Budget, nowMs: number): number | null {
  return budget.period === null ? null : endAfter(budget.period, nowMs)
}

/** Name of the account of one window: usage of another window is another account. */
export function accountOf(budget: Budget, endMs: number | null): string {
  return endMs === null ? budget.account : `${budget.account} ${new Date(endMs).toISOString().slice(0, 16)}Z`
}
