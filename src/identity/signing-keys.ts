// The keys of one issuer: fetched in the background, kept through an outage, asked again for a key id nobody knows.
// token-verifier.ts has one of these for each issuer; requests only ever read what is here already.

import { Problem } from '../problems.ts'
import type { IssuerConfig } from '../config/issuer-schema.ts'
import { FetchFailed, fetchJson, type JsonFetchOptions } from './json-fetch.ts'
import { parseKeySet, type KeySet, type SigningKey } from './key-set.ts'
import { findKeySetAddress } from './key-source.ts'
import { SeekLimit } from './seek-limit.ts'

/** Where identity/ reports what operators should know. Never a token, never a claim. */
export interface IdentityLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** How one issuer's keys stand, for the operators' status. */
export interface IssuerStatus {
  readonly issuer: string
  /** Usable keys, counted once for each algorithm they serve. */
  readonly keys: number
  /** When the set was last fetched, milliseconds since the epoch, or null. */
  readonly fetchedAtMs: number | null
  /** Why the latest fetch failed, or null when it did not. */
  readonly lastError: string | null
}

export interface KeyTimings {
  /** Between two fetches in the background. Default 5 min, spread by ±10 % so that instances do not march in step. */
  readonly refreshIntervalMs: number
  /** First wait after a failed fetch; it doubles up to `refreshIntervalMs`, or 30 s while there is no set. Default 1 s. */
  readonly retryDelayMs: number
  /** Between two fetches that unknown key ids cause. Default 5 s. */
  readonly coolDownMs: number
  /** How long a key id that the issuer did not know causes no further fetch. Default 30 s. */
  readonly absentKeyMs: number
  /** For each of the fetches. Default 5 s. */
  readonly fetchTimeoutMs: number
  /** Age at which a set that could not be renewed is no longer believed. Default 24 h. */
  readonly maxAgeMs: number
}

export const defaultKeyTimings: KeyTimings = {
  refreshIntervalMs: 5 * 60_000,
  retryDelayMs: 1_000,
  coolDownMs: 5_000,
  absentKeyMs: 30_000,
  fetchTimeoutMs: 5_000,
  maxAgeMs: 24 * 60 * 60_000,
}

const retryCapWithoutKeysMs = 30_000
/** A token without a key id is tried with this many keys at most, since each try costs a verification. */
const maxCandidates = 4
const emptySet: KeySet = { keys: [], warnings: [] }

export interface SigningKeysOptions {
  readonly settings: IssuerConfig
  readonly timings: KeyTimings
  readonly now: () => number
  readonly log: IdentityLog
  /** Called when a key is no longer trusted, so that nothing it signed stays remembered. */
  readonly onKeyRemoved: () => void
}

/** The living key set of one issuer. */
export class SigningKeys {
  readonly #options: SigningKeysOptions
  readonly #closing = new AbortController()
  readonly #limit: SeekLimit
  #set: KeySet = emptySet
  #address: URL | null = null
  #fetchedAtMs: number | null = null
  #lastError: string | null = null
  #failures = 0
  #refreshing: Promise<void> | null = null
  #timer: NodeJS.Timeout | null = null

  constructor(options: SigningKeysOptions) {
    this.#options = options
    const { now, timings } = options
    this.#limit = new SeekLimit({ now, coolDownMs: timings.coolDownMs, absentKeyMs: timings.absentKeyMs })
  }

  get status(): IssuerStatus {
    const { issuer } = this.#options.settings
    return { issuer, keys: this.#set.keys.length, fetchedAtMs: this.#fetchedAtMs, lastError: this.#lastError }
  }

  /** Fetches now and from here on in the background. Never rejects; resolves when the first attempt has ended. */
  async start(): Promise<void> {
    this.#address = null
    await this.#refresh()
    if (this.#closing.signal.aborted) return
    this.#timer = setTimeout(() => void this.start(), this.#nextDelayMs())
    this.#timer.unref()
  }

  close(): void {
    this.#closing.abort()
    if (this.#timer !== null) clearTimeout(this.#timer)
  }

  /** The keys that could have made a signature, from what is known now; a null `kid` is any key of the algorithm. */
  candidates(alg: string, kid: string | null): readonly SigningKey[] {
    return this.#set.keys.filter((key) => key.alg === alg && (kid === null || key.kid === kid)).slice(0, maxCandidates)
  }

  /**
   * Asks the issuer for keys it did not name before, at most once per cool-down, whoever asks; look again afterwards.
   * Null, or `identity-provider-unavailable` when it is not known which keys the issuer has. Never rejects.
   */
  async seek(kid: string | null): Promise<Problem | null> {
    if (kid !== null && this.#limit.isAbsent(kid)) return null
    // A fetch that others began may be older than the key, so it neither proves an absence nor begins a cool-down.
    if (this.#refreshing !== null) await this.#refreshing
    else if (!this.#limit.isCoolingDown()) await this.#ask(kid)
    return this.#lastError !== null || this.#set.keys.length === 0 ? this.#unavailable() : null
  }

  async #ask(kid: string | null): Promise<void> {
    await this.#refresh(() => this.#limit.hasAsked())
    if (kid === null || this.#lastError !== null || this.#set.keys.some((key) => key.kid === kid)) return
    this.#limit.rememberAbsent(kid)
  }

  /** One fetch at a time, shared by everybody who waits for it. Never rejects; `ended` runs before the next can begin. */
  #refresh(ended: () => void = () => {}): Promise<void> {
    this.#refreshing ??= this.#load().finally(() => {
      this.#refreshing = null
      ended()
    })
    return this.#refreshing
  }

  async #load(): Promise<void> {
    const { settings, timings } = this.#options
    const fetchOptions: JsonFetchOptions = { timeoutMs: timings.fetchTimeoutMs, signal: this.#closing.signal }
    try {
      const address = this.#address ?? (await findKeySetAddress(settings, fetchOptions))
      this.#address = address
      const set = await parseKeySet(await fetchJson(address, fetchOptions), settings.algorithms)
      if (set === null) throw new FetchFailed(`GET ${address.origin}${address.pathname}: not a key set`, true)
      this.#replace(set)
    } catch (error) {
      this.#fail(error instanceof FetchFailed ? error.message : 'the key set could not be read')
    }
  }

  #replace(set: KeySet): void {
    const { log, settings } = this.#options
    const before = this.#set
    const added = without(set.keys, before.keys)
    const removed = without(before.keys, set.keys)
    const recovered = this.#lastError !== null
    const kept = new Map(before.keys.map((key) => [key.identity, key]))
    this.#set = { ...set, keys: set.keys.map((key) => kept.get(key.identity) ?? key) }
    this.#fetchedAtMs = this.#options.now()
    this.#lastError = null
    this.#failures = 0
    if (removed.length > 0) this.#options.onKeyRemoved()
    if (added.length > 0 || removed.length > 0 || recovered) {
      log.info(
        { issuer: settings.issuer, keys: set.keys.length, added: kids(added), removed: kids(removed) },
        'signing keys fetched',
      )
    }
    if (set.warnings.join() !== before.warnings.join()) {
      for (const warning of set.warnings) log.warn({ issuer: settings.issuer }, `signing keys: ${warning}`)
    }
    if (set.keys.length === 0) log.error({ issuer: settings.issuer }, 'the issuer publishes no usable signing key')
  }

  #fail(reason: string): void {
    const { log, settings, timings } = this.#options
    this.#failures += 1
    // The set may have moved: the next attempt reads the metadata again.
    this.#address = null
    if (reason !== this.#lastError && !this.#closing.signal.aborted) {
      log.warn({ issuer: settings.issuer, keys: this.#set.keys.length, reason }, 'signing keys could not be fetched')
    }
    this.#lastError = reason
    if (this.#set.keys.length === 0 || this.#fetchedAtMs === null) return
    if (this.#options.now() - this.#fetchedAtMs < timings.maxAgeMs) return
    this.#set = emptySet
    this.#options.onKeyRemoved()
    log.error({ issuer: settings.issuer }, 'signing keys are too old to be believed, and are dropped')
  }

  #nextDelayMs(): number {
    const { refreshIntervalMs, retryDelayMs } = this.#options.timings
    const jitter = 0.9 + Math.random() * 0.2
    if (this.#failures === 0) return refreshIntervalMs * jitter
    const capMs = this.#set.keys.length === 0 ? Math.min(retryCapWithoutKeysMs, refreshIntervalMs) : refreshIntervalMs
    return Math.min(retryDelayMs * 2 ** (this.#failures - 1), capMs) * jitter
  }

  #unavailable(): Problem {
    const seconds = Math.max(1, Math.ceil(this.#options.timings.coolDownMs / 1000))
    return new Problem(
      'identity-provider-unavailable',
      `The token cannot be checked at the moment, because the signing keys of its issuer could not be fetched. Try again in ${seconds} seconds.`,
      { reason: 'signing-keys-unavailable', fields: { 'retry-after': String(seconds) } },
    )
  }
}

function without(keys: readonly SigningKey[], others: readonly SigningKey[]): readonly SigningKey[] {
  const identities = new Set(others.map((key) => key.identity))
  return keys.filter((key) => !identities.has(key.identity))
}

function kids(keys: readonly SigningKey[]): readonly (string | null)[] {
  return [...new Set(keys.map((key) => key.kid))]
}
