// Bounds the work for requests without a valid token: of each client address, and in all. Who was verified before on the same
// connection, or sends a token that is remembered, is not held up by others.

import { LRUCache } from 'lru-cache'
import type { ConnectionHistory } from './connection-history.ts'

export interface AnonymousBounds {
  /** Requests a minute; 0: no bound. */
  readonly maxAnonymous: number
  readonly maxAnonymousPerAddress: number
}

export type AnonymousBound = 'address' | 'all'

/** A caller whose token has just ended tries it once or twice, gets a new one, and goes on. */
const forgivenFailures = 2
/** The share of a bound that is kept for connections with no more failures than that. */
const reservedShare = 0.25
const mostAddresses = 10_000
const minuteMs = 60_000

/** Not more failures in a row than honest callers have. */
export function isTrusted({ failuresInRow }: ConnectionHistory): boolean {
  return failuresInRow <= forgivenFailures
}

/** A token bucket that holds a minute's worth. It goes below zero by what was begun at the same time. */
class Allowance {
  readonly #perMinute: number
  #left: number
  #atMs: number

  constructor(perMinute: number, nowMs: number) {
    this.#perMinute = perMinute
    this.#left = perMinute
    this.#atMs = nowMs
  }

  /** As a share of the whole. */
  left(nowMs: number): number {
    this.#left = Math.min(this.#perMinute, this.#left + ((nowMs - this.#atMs) / minuteMs) * this.#perMinute)
    this.#atMs = nowMs
    return this.#left / this.#perMinute
  }

  take(nowMs: number): void {
    this.left(nowMs)
    this.#left = Math.max(-this.#perMinute, this.#left - 1)
  }
}

export class AnonymousWork {
  readonly #now: () => number
  readonly #perAddress: number
  readonly #ofAddress = new LRUCache<string, Allowance>({ max: mostAddresses })
  readonly #inAll: Allowance | null

  /** `now`: monotonic. */
  constructor({ maxAnonymous, maxAnonymousPerAddress }: AnonymousBounds, now: () => number) {
    this.#now = now
    this.#perAddress = maxAnonymousPerAddress
    this.#inAll = maxAnonymous === 0 ? null : new Allowance(maxAnonymous, now())
  }

  /** The bound that a request would pass unless its token is remembered; null where it may go on. */
  exceeded(history: ConnectionHistory): AnonymousBound | null {
    const { address, wasVerified } = history
    const mayUseAll = isTrusted(history)
    if (mayUseAll && wasVerified) return null
    const nowMs = this.#now()
    const least = mayUseAll ? 0 : reservedShare
    const allowance = this.#perAddress === 0 ? undefined : this.#ofAddress.get(address)
    if (allowance !== undefined && allowance.left(nowMs) <= least) return 'address'
    return this.#inAll !== null && this.#inAll.left(nowMs) <= least ? 'all' : null
  }

  /** A request has ended with a verified token. */
  verified(history: ConnectionHistory): void {
    history.failuresInRow = 0
    history.wasVerified = true
  }

  /** A request has ended without a valid token. `wasRefused`: because of a bound, so it has cost little. */
  failed(history: ConnectionHistory, wasRefused: boolean): void {
    history.failuresInRow += 1
    if (wasRefused) return
    const nowMs = this.#now()
    this.#inAll?.take(nowMs)
    if (this.#perAddress === 0) return
    let allowance = this.#ofAddress.get(history.address)
    if (allowance === undefined) {
      allowance = new Allowance(this.#perAddress, nowMs)
      this.#ofAddress.set(history.address, allowance)
    }
    allowance.take(nowMs)
  }
}
