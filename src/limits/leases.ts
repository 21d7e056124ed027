// Concurrency slots in the shared store are leases: they end by themselves when nobody renews them, so the slots of an
// instance that has crashed are free again after a few seconds. Used by shared-limiter.ts.

import type { Store } from '../store/store.ts'
import { renew } from './decision-scripts.ts'

/** How long a slot is held by an instance that says nothing. */
export const leaseMs = 6000
/** How often to renew: two renewals may fail before a slot is lost. */
export const renewEveryMs = 2000
/** Leases in one call; more take several. */
const batch = 1000

interface Lease {
  readonly keys: readonly string[]
  readonly takenAtMs: number
  /** The store does not know it yet: it was taken while the store was away. */
  unknown: boolean
}

export interface Leases {
  /** A name for the slots of one request. */
  next(): string
  /** They were granted. `unknown`: by this instance alone. */
  hold(lease: string, keys: readonly string[], nowMs: number, unknown: boolean): void
  /** They are free; they will not be renewed. */
  drop(lease: string): void
  /** Renews what is held for longer, and what the store has not heard of. */
  renew(): void
  /** The store may have been emptied: it has heard of none. */
  forgotten(): void
}

export function createLeases(store: Store, now: () => number): Leases {
  const held = new Map<string, Lease>()
  let count = 0

  function renewDue(): void {
    const byKey = new Map<string, string[]>()
    let size = 0
    for (const [name, lease] of held) {
      if (!lease.unknown && now() - lease.takenAtMs < renewEveryMs) continue
      for (const key of lease.keys) {
        const names = byKey.get(key)
        if (names === undefined) byKey.set(key, [name])
        else names.push(name)
      }
      lease.unknown = false
      size += 1
      if (size < batch) continue
      send(byKey)
      byKey.clear()
      size = 0
    }
    if (byKey.size > 0) send(byKey)
  }

  function send(byKey: ReadonlyMap<string, readonly string[]>): void {
    const values = [...byKey.values()].flatMap((names) => [names.length, ...names])
    // What fails is tried again with the next round.
    store.run(renew, [...byKey.keys()], [leaseMs, ...values]).catch(() => {})
  }

  return {
    next: () => `${store.instance}:${(count += 1).toString(36)}`,
    hold: (lease, keys, nowMs, unknown) => void held.set(lease, { keys, takenAtMs: nowMs, unknown }),
    drop: (lease) => void held.delete(lease),
    renew: renewDue,
    forgotten() {
      for (const lease of held.values()) lease.unknown = true
    },
  }
}
