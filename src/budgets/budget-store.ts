// The interface between budgets and their storage: accounts are counted against, reservations say what for.
// file-budget-store.ts keeps them on the disk of one instance, valkey-budget-store.ts in a store that several share.
// Types only.

import type { AccountChange, BudgetAccount, SessionReservation } from './budget-model.ts'

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
