// What budgets are counted in, and the interface to where it is stored: accounts are counted against, reservations of
// sessions say what for. file-budget-store.ts keeps them on the disk of one instance, valkey-budget-store.ts in a store
// that several share.

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

/** One atomic change of one reservation and of all accounts it touches. */
export interface BudgetChange {
  readonly id: string
  /** The version of the reservation that this change replaces; 0 when there must be none. */
  readonly version: number
  /** Null: the reservation is removed. */
  readonly after: SessionReservation | null
  readonly steps: readonly AccountChange[]
}

/**
 * `done`: it is kept, and survives a crash. `full`: an account has no room, and nothing was changed. `stale`: somebody else
 * has changed the reservation. Accounts are those of the steps: after the change, or as they stand when it was refused.
 */
export interface ChangeResult {
  readonly result: 'done' | 'full' | 'stale'
  readonly accounts: ReadonlyMap<string, BudgetAccount>
}

/** The store cannot be read or written at the moment, so what is left is unknown. */
export class BudgetsUnavailable extends Error {
  override readonly name = 'BudgetsUnavailable'
  /** False when the change was certainly not made; true when it may be made, now or later. */
  readonly begun: boolean

  constructor(message: string, { begun = true, ...options }: ErrorOptions & { readonly begun?: boolean } = {}) {
    super(message, options)
    this.begun = begun
  }
}

/** Every method may reject with `BudgetsUnavailable`. */
export interface BudgetStore {
  /** Reads the stored state. Rejects when it cannot be read: nothing may be counted before that. */
  ready(): Promise<void>
  /** Checks and makes one change. Resolves when it is as durable as this store can make it. */
  change(change: BudgetChange): Promise<ChangeResult>
  /**
   * After a change with version 0 that was rejected: once this resolves, either that change is made and the reservation can be
   * found, or it will not be made.
   */
  withdraw(id: string): Promise<void>
  /** Resolves when a call that was rejected is worth repeating. */
  retryWait(): Promise<void>
  /** Accounts by name; an unused one has nothing spent and nothing reserved. */
  accounts(names: readonly string[]): Promise<ReadonlyMap<string, BudgetAccount>>
  find(id: string): Promise<SessionReservation | null>
  /** The reservation of a session, by the id the API gave it, with its prefix. */
  findSession(session: string): Promise<SessionReservation | null>
  reservations(): Promise<readonly SessionReservation[]>
  /** Whether this instance is the leader, which settles sessions. */
  isLeader(): boolean
  close(): Promise<void>
}

/** How long an account is kept after its window: a session lives thirty days at most, and may be settled until then. */
export const keptAfterMs = 40 * 86_400_000
