// What budgets are counted in: accounts, and the sessions that are charged to them. Types only.

import type { Measure } from './budget.ts'

/** Usage of one budget in one window, in units of its measure. */
export interface BudgetAccount {
  /** Reserved for what may still be used. */
  readonly reserved: number
  readonly spent: number
  /** When its window ends, milliseconds since the epoch; null when it never resets. */
  readonly endMs: number | null
}

/** What a change adds to one account. */
export interface AccountChange {
  readonly account: string
  readonly endMs: number | null
  readonly reserved: number
  readonly spent: number
  /** Upper bound of reserved plus spent after the change; null: unbounded. */
  readonly most: number | null
}

/**
 * `pending`: the create is under way. `unclear`: its outcome is unknown. `open`: the session works or waits.
 * `asleep`: it costs nothing until a message wakes it. `ended`: it cannot cost anything any more.
 */
export type ReservationState = 'pending' | 'unclear' | 'open' | 'asleep' | 'ended'

/** An account that a session is charged to. */
export interface Charge {
  /** The account of the window in which the session was created. */
  readonly account: string
  readonly measure: Measure
  /** When the window ends, milliseconds since the epoch; null when it never resets. */
  readonly endMs: number | null
  /** The hard bound at the time of the reservation, in units; null where nothing is bounded. */
  readonly most: number | null
}

export interface SessionReservation {
  /** The decision id of the create. */
  readonly id: string
  /** Counts changes from 1, so that two writers cannot both act on the same state. */
  readonly version: number
  /** When it was reserved, milliseconds since the epoch. */
  readonly atMs: number
  /** When it entered its state; for an open session, when the last message was sent, if that was later. */
  readonly sinceMs: number
  readonly organization: string
  readonly state: ReservationState
  /** Id of the session; null while it is not known. */
  readonly session: string | null
  /** True when settlement found the session by its time, because the answer to its create was lost. */
  readonly guessed: boolean
  /** The most it may consume, in units of ACUs; null when nothing bounds it. */
  readonly bound: number | null
  /** What it has consumed so far, in units of ACUs. */
  readonly consumed: number
  readonly charges: readonly Charge[]
}
