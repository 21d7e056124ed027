// Dropping what a write made stale, and keeping reads that were under way meanwhile from bringing it back.

import type { Flight } from './flight.ts'
import type { Store } from './store.ts'

export interface Invalidation {
  /** Drops all entries with one of these names and bars the reads under way that have one. Returns the count of entries. */
  drop(names: readonly string[]): number
  /** A write may still be going on: for some time nothing with these names is kept. */
  unsettle(names: readonly string[]): void
  /** Whether what this flight brings may be kept. */
  allows(flight: Flight): boolean
}

const maxUnsettled = 1_000

/** `close` takes a flight out of reach for those who come after the write: they must see its effect. */
export function createInvalidation(
  store: Store,
  underWay: ReadonlySet<Flight>,
  close: (flight: Flight) => void,
  now: () => number,
  unsettledMs: number,
): Invalidation {
  let unsettled: { readonly names: ReadonlySet<string>; readonly untilMs: number }[] = []

  return {
    drop(names) {
      let dropped = 0
      for (const name of names) dropped += store.drop(name)
      const barred = new Set(names)
      for (const flight of underWay) {
        if (!flight.plan.names.some((name) => barred.has(name))) continue
        flight.barred = true
        close(flight)
      }
      return dropped
    },
    unsettle(names) {
      const nowMs = now()
      unsettled = unsettled.filter(({ untilMs }) => untilMs > nowMs).slice(-maxUnsettled + 1)
      unsettled.push({ names: new Set(names), untilMs: nowMs + unsettledMs })
    },
    allows({ barred, plan }) {
      if (barred) return false
      if (unsettled.length === 0) return true
      const nowMs = now()
      unsettled = unsettled.filter(({ untilMs }) => untilMs > nowMs)
      return !unsettled.some(({ names }) => plan.names.some((name) => names.has(name)))
    },
  }
}
