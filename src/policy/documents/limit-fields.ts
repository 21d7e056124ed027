// How limits and budgets are written in policies, wherever they may stand: `600/min`, `{ rate, burst }`, `500/month`,
// `{ hard: 500/month, soft: 400/month }`, `10`.

import { z } from 'zod'
import { rate, textAs, type Words } from '../../config/fields.ts'
import { didYouMean } from '../../config/nearest.ts'
import { calendarRateForm, parseRate, type Rate } from '../../config/units.ts'

/** Limits of one scope: a team, an app of it, all teams together. An absent limit is none. */
export interface LimitsDocument {
  readonly requests: QuotaDocument | null
  readonly writes: QuotaDocument | null
  readonly concurrent: number | null
  /** Creates in a sliding span of time; per day, week or month they are a budget. */
  readonly sessionRate: QuotaDocument | null
  readonly acus: BudgetDocument | null
  readonly sessions: BudgetDocument | null
  readonly openSessions: BudgetDocument | null
}

/** A rate, and the most at once where the policy states one. */
export interface QuotaDocument {
  readonly rate: Rate
  readonly burst: number | null
}

/** Bounds on one measure; at least one of them is set. */
export interface BudgetDocument {
  readonly hard: number | null
  readonly soft: number | null
  /** Null for what is bounded at the same time. */
  readonly calendar: 'day' | 'week' | 'month' | null
}

/** A whole number of at least 1. */
export const count = (what: string) => z.int().min(1, `${what} must be at least 1`)

/** `attempts`: of one caller. */
export const attempts = () =>
  quota()
    .optional()
    .describe(
      'Requests of one caller whose body the gateway must read before it decides, allowed or not, like 120/min. They are never given back. Each instance counts by itself. Default: twice `writes`, or 120/min.',
    )

const plainQuota = () => rate().transform((value): QuotaDocument => ({ rate: value, burst: null }))

const burstQuota = () =>
  z
    .strictObject({
      rate: rate().describe('The rate, like 600/min.'),
      burst: count('burst')
        .optional()
        .describe(
          'The most at once; then never more than rate and burst together in any window. Not for calendar windows.',
        ),
    })
    .refine(({ rate: { calendar }, burst }) => calendar === null || burst === undefined, {
      error:
        'a window of the calendar lets its whole amount through at once and takes no burst: leave it out, or write s, min or h',
      path: ['burst'],
    })
    .transform((written): QuotaDocument => ({ rate: written.rate, burst: written.burst ?? null }))

/** A rate, alone or with a burst. */
const quota = () => z.union([plainQuota(), burstQuota()])

/** Whether limits are applied. */
export const limitsMode = () =>
  z
    .enum(['enforce', 'shadow'])
    .default('enforce')
    .describe('`enforce`: applied; `shadow`: evaluated and reported, not applied.')

/** The time zone of calendar windows. */
export const timeZone = () =>
  z
    .string()
    .refine(isTimeZone, { error: ({ input }) => unknownTimeZone(input) })
    .meta({ words: 'time-zones' satisfies Words })
    .default('UTC')
    .describe('Time zone whose midnight turns days, weeks and months; those of ACUs turn at 08:00 UTC.')

/** So many in a window of the calendar. */
export const calendarRate = (what: string) =>
  textAs((text) => parseRate(text, 'month'), { pattern: calendarRateForm }).refine(
    ({ calendar }) => calendar !== null,
    {
      error: `${what} needs a window of the calendar: write day, week or month, like 50/day or 500/month`,
    },
  )

const bothBounds = {
  error: 'name a hard bound, a soft one, or both: without one nothing is bounded',
}

/** `{ hard, soft }` in calendar windows; both in the same one, and the soft bound not above the hard one. */
export const calendarBudget = () =>
  z
    .strictObject({
      hard: calendarRate('a budget').optional().describe('Nothing is let through beyond this, like 500/month.'),
      soft: calendarRate('a budget').optional().describe('Beyond this the log and the metrics warn, like 400/month.'),
    })
    .refine(({ hard, soft }) => hard !== undefined || soft !== undefined, bothBounds)
    .refine(({ hard, soft }) => hard === undefined || soft === undefined || hard.calendar === soft.calendar, {
      error: 'the hard and the soft bound must be of the same window',
      path: ['soft'],
    })
    .refine(
      ({ hard, soft }) =>
        hard === undefined || soft === undefined || hard.calendar !== soft.calendar || soft.amount <= hard.amount,
      { error: 'the soft bound must not be above the hard one', path: ['soft'] },
    )

const openSessions = () => count('open_sessions')

const countBudget = () =>
  z
    .strictObject({
      hard: openSessions().optional().describe('Nothing is let through beyond this.'),
      soft: openSessions().optional().describe('Beyond this the log and the metrics warn.'),
    })
    .refine(({ hard, soft }) => hard !== undefined || soft !== undefined, bothBounds)
    .refine(({ hard, soft }) => hard === undefined || soft === undefined || soft <= hard, {
      error: 'the soft bound must not be above the hard one',
      path: ['soft'],
    })

/** The limits of one scope. */
export const limitFields = {
  requests: quota().optional().describe('Requests, like 600/min, or { rate: 600/min, burst: 50 }.'),
  writes: quota().optional().describe('Requests that change something, like 60/min.'),
  concurrent: count('concurrent').optional().describe('Requests under way at the same time.'),
  sessions: z
    .union([plainQuota(), burstQuota(), calendarBudget()])
    .optional()
    .describe('Successful session creates, like 50/day, or { hard: 50/day, soft: 40/day }.'),
  acus: z
    .union([calendarRate('acus'), calendarBudget()])
    .optional()
    .describe('Cost budget in ACUs, like 500/month, or { hard: 500/month, soft: 400/month }.'),
  open_sessions: z
    .union([openSessions(), countBudget()])
    .optional()
    .describe('Sessions that have not ended, at the same time, like 10, or { hard: 10, soft: 8 }.'),
}

type WrittenLimits = Omit<z.output<z.ZodObject<typeof limitFields>>, 'sessions'> & {
  readonly sessions?: QuotaDocument | Written
}

/** Limits as they were written, in one form. */
export function limitsOf(written: WrittenLimits): LimitsDocument {
  return {
    requests: written.requests ?? null,
    writes: written.writes ?? null,
    concurrent: written.concurrent ?? null,
    sessionRate: rateOf(written.sessions),
    acus: budgetOf(written.acus),
    sessions: budgetOf(written.sessions),
    openSessions: budgetOf(written.open_sessions),
  }
}

/** Sessions in a span of time are a rate; a calendar window is kept by budgets, which survive a restart. */
function rateOf(written: WrittenLimits['sessions']): QuotaDocument | null {
  return typeof written !== 'object' || !('rate' in written) || written.rate.calendar !== null ? null : written
}

type Written =
  | Rate
  | number
  | QuotaDocument
  | { readonly hard?: Rate | number | undefined; readonly soft?: Rate | number | undefined }
  | undefined

/** A budget as it was written, in one form; null for none, and for a rate in a sliding span of time. */
function budgetOf(written: Written): BudgetDocument | null {
  if (written === undefined) return null
  if (typeof written === 'number' || 'amount' in written) return budgetOf({ hard: written })
  if ('rate' in written) return written.rate.calendar === null ? null : budgetOf({ hard: written.rate })
  const { hard, soft } = written
  const bound = hard ?? soft
  return {
    hard: amountOf(hard),
    soft: amountOf(soft),
    calendar: typeof bound === 'object' ? bound.calendar : null,
  }
}

function amountOf(bound: Rate | number | undefined): number | null {
  return bound === undefined ? null : typeof bound === 'number' ? bound : bound.amount
}

/** With the nearest name, also where only its city was written. */
function unknownTimeZone(written: unknown): string {
  const names = Intl.supportedValuesOf('timeZone')
  const text = typeof written === 'string' ? written : ''
  const city = names.find((name) => name.toLowerCase().endsWith(`/${text.toLowerCase().replaceAll(' ', '_')}`))
  return `must be the name of a time zone, like UTC or Europe/Berlin${city === undefined ? didYouMean(text, names) : `; did you mean "${city}"?`}`
}

function isTimeZone(name: string): boolean {
  try {
    Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}
