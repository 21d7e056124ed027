// How often tokens can make the gateway ask an issuer for its keys. Fetches nothing; signing-keys.ts has one for each issuer.

import { LRUCache } from 'lru-cache'

/** Key ids are remembered by the text callers sent, so both their number and their length are bounded. */
const maxAbsentKeys = 1_000
const maxKidLength = 1_024

export interface RefreshLimitOptions {
  /** Monotonic clock, milliseconds. */
  readonly monotonic: () => number
  /** Between two fetches that tokens cause. */
  readonly coolDownMs: number
  /** How long a key id that the issuer did not know causes no further fetch. */
  readonly absentKeyMs: number
}

export class RefreshLimit {
  readonly #options: RefreshLimitOptions
  readonly #absentSinceMs: LRUCache<string, number> = new LRUCache({ max: maxAbsentKeys })
  #askedAtMs = -Infinity

  constructor(options: RefreshLimitOptions) {
    this.#options = options
  }

  /** Whether the issuer is known not to have this key, so that asking again is pointless. */
  isAbsent(kid: string): boolean {
    if (kid.length > maxKidLength) return true
    const sinceMs = this.#absentSinceMs.get(kid) ?? -Infinity
    return this.#options.monotonic() - sinceMs < this.#options.absentKeyMs
  }

  isCoolingDown(): boolean {
    return this.#options.monotonic() - this.#askedAtMs < this.#options.coolDownMs
  }

  /** Begins the cool-down. Called when a fetch has ended, so that an issuer that hangs does not hold up caller after caller. */
  hasAsked(): void {
    this.#askedAtMs = this.#options.monotonic()
  }

  rememberAbsent(kid: string): void {
    this.#absentSinceMs.set(kid, this.#options.monotonic())
  }
}
