// What a budget is: whose usage it bounds, how much it lets through, and when it begins anew. Made by policy/, read by
// everybody who reserves, settles or shows. Amounts are whole numbers of the smallest unit, so that sums are exact.

import { calendarEndMs } from '../limits/calendar.ts'

export type Measure = 'acus' | 'sessions' | 'open_sessions'

/** A calendar window that turns at an hour of a time zone. */
export interface Period {
  readonly calendar: 'day' | 'week' | 'month'
  /** IANA name. */
  readonly timeZone: string
  /** Whole hours after midnight. */
  readonly turnsAtHour: number
}

export interface Budget {
  /** Stable name of whose usage this is; two policies with the same name go on with the same usage. */
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
  /** BroadcastResult in log and metrics, never refused; in units of the measure. */
  readonly soft: number | null
  /** Null for what never begins anew: sessions that are open. */
  readonly period: Period | null
  /** Shadow: counted and told, not applied. */
  readonly shadow: boolean
  /** File of the policy, whose owner may change it. */
  readonly file: string
}

/** Units of one ACU. The API tells fractions of an ACU; a millionth is far below what it rounds to. */
export const unitsPerAcu = 1_000_000

/** Units of one of a measure. */
export function unitsOf(measure: Measure): number {
  return measure === 'acus' ? unitsPerAcu : 1
}

/** ACUs as the API tells them → units, rounded up: a budget errs on the safe side. Negative and broken figures count as 0. */
export function unitsOfAcus(acus: number): number {
  // Figures have a few decimals; what binary fractions add to them is no consumption.
  const units = Math.ceil(Number((acus * unitsPerAcu).toFixed(3)))
  return acus > 0 ? Math.min(units, mostUnits) : 0
}

/** More than anybody has, and sums of it stay exact. */
const mostUnits = 1_000_000_000 * unitsPerAcu

/** Devin's billing days turn at 08:00 UTC, and so do weeks and months of ACUs. */
export function billingPeriod(calendar: Period['calendar']): Period {
  return { calendar, timeZone: 'UTC', turnsAtHour: 8 }
}

/** The window of a period that holds an instant, both ends in milliseconds since the epoch; the end is outside. */
export function windowAt(period: Period, nowMs: number): { readonly startMs: number; readonly endMs: number } {
  const endMs = endAfter(period, nowMs)
  // The longest window has 31 days and an hour. The last turn before this one is the window's beginning.
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

/** When the window ends in which a use at an instant counts; null for what never begins anew. */
export function windowEnd(budget: Budget, nowMs: number): number | null {
  return budget.period === null ? null : endAfter(budget.period, nowMs)
}

/** Name of the account of one window: usage of another window is another account. */
export function accountOf(budget: Budget, endMs: number | null): string {
  return endMs === null ? budget.account : `${budget.account} ${new Date(endMs).toISOString().slice(0, 16)}Z`
}
