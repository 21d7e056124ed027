// How often callers can make the gateway ask an issuer for keys it did not name before. signing-keys.ts has one of these
// for each issuer. It knows the clock and what was asked, and fetches nothing.

import { LRUCache } from 'lru-cache'

/** Key ids are remembered by the text callers sent, so both their number and their length are bounded. */
const maxAbsentKeys = 1_000
const maxKidLength = 1_024

export interface SeekLimitOptions {
  readonly now: () => number
  /** Between two fetches that unknown key ids cause. */
  readonly coolDownMs: number
  /** How long a key id that the issuer did not know causes no further fetch. */
  readonly absentKeyMs: number
}

export class SeekLimit {
  readonly #options: SeekLimitOptions
  readonly #absent: LRUCache<string, number> = new LRUCache({ max: maxAbsentKeys })
  #endedAtMs: number | null = null

  constructor(options: SeekLimitOptions) {
    this.#options = options
  }

  /** Whether the issuer is known not to have this key, so that asking again is pointless. */
  isAbsent(kid: string): boolean {
    if (kid.length > maxKidLength) return true
    const sinceMs = this.#absent.get(kid)
    return sinceMs !== undefined && this.#isWithin(sinceMs, this.#options.absentKeyMs)
  }

  isCoolingDown(): boolean {
    return this.#endedAtMs !== null && this.#isWithin(this.#endedAtMs, this.#options.coolDownMs)
  }

  /** Begins the cool-down. Called when a fetch has ended, so that an issuer that hangs does not hold up caller after caller. */
  hasAsked(): void {
    this.#endedAtMs = this.#options.now()
  }

  rememberAbsent(kid: string): void {
    this.#absent.set(kid, this.#options.now())
  }

  /** False also when the clock was set back, so that no wait becomes longer than it was meant to be. */
  #isWithin(sinceMs: number, periodMs: number): boolean {
    const elapsedMs = this.#options.now() - sinceMs
    return elapsedMs >= 0 && elapsedMs < periodMs
  }
}
