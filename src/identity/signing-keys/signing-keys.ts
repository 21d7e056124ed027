// The keys of one issuer: fetched in the background, kept while the issuer fails, asked for again when a token needs
// it. token-verifier.ts has one for each issuer, so that one issuer never affects the tokens of another.

import { counted } from '../../config/plural.ts'
import { TokenProblem } from '../rejection.ts'
import type { IssuerConfig } from '../../config/issuer-schema.ts'
import { FetchFailed, fetchJson, type FetchedJson, type JsonFetchOptions } from './json-fetch.ts'
import { parseKeySet, type KeySet, type SigningKey } from './key-set.ts'
import { findKeySetAddress } from './key-set-address.ts'
import { defaultKeyTimings, refreshDelayMs, retryDelayMs, type KeyTimings } from './timings.ts'

/** Where identity/ reports what operators should know. Never a token, never a claim. */
export interface IdentityLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export type IssuerStatus = SigningKeys['status']

/** A token without a key id is tried with this many keys at most, since each try costs a verification. */
const maxCandidates = 4
/** What a caller names as a key id is looked for up to this length; no issuer's is longer. */
const maxKidLength = 1_024
/** Requests that may wait for one fetch; each is held until the issuer has answered. */
const maxWaiting = 1_000
const mostWarnings = 10
const emptySet: KeySet = { keys: [], warnings: [] }

export interface SigningKeysOptions {
  readonly settings: IssuerConfig
  readonly timings?: Partial<KeyTimings>
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Monotonic clock, milliseconds, for ages and waits. */
  readonly monotonic: () => number
  readonly log: IdentityLog
  /** Called when a key is no longer trusted, so that nothing it signed stays remembered. */
  readonly onKeyRemoved: () => void
}

/** The current key set of one issuer. */
export class SigningKeys {
  readonly #options: SigningKeysOptions
  readonly #timings: KeyTimings
  readonly #closing = new AbortController()
  readonly #fetches = { fetched: 0, failed: 0 }
  #set: KeySet = emptySet
  #address: { readonly url: URL; readonly foundAtMs: number } | null = null
  /** By the monotonic clock, and by the wall clock for people. */
  #fetched: { readonly atMs: number; readonly wallMs: number; readonly freshForMs: number | null } | null = null
  #lastError: string | null = null
  #failures = 0
  #clockSkewMs: number | null = null
  #refreshing: Promise<void> | null = null
  /** When the last fetch ended that a token caused, by the monotonic clock. */
  #askedAtMs = -Infinity
  #waiting = 0
  #timer: NodeJS.Timeout | null = null

  constructor(options: SigningKeysOptions) {
    this.#options = options
    this.#timings = { ...defaultKeyTimings, ...options.timings }
  }

  /** How the issuer's keys stand, for the operators. */
  get status() {
    const fetched = this.#fetched
    const ageMs = fetched === null ? null : this.#options.monotonic() - fetched.atMs
    const isKept = this.#lastError !== null && this.#set.keys.length > 0 && ageMs !== null
    return {
      issuer: this.#options.settings.issuer,
      /** Usable keys, counted once for each algorithm they serve. */
      keys: this.#set.keys.length,
      /** When the set was last fetched, milliseconds since the epoch, or null. */
      fetchedAtMs: fetched?.wallMs ?? null,
      ageMs,
      /** Why the latest fetch failed, or null when it did not. */
      lastError: this.#lastError,
      /** While fetches fail: how long the known keys are still believed. */
      givenUpInMs: isKept ? Math.max(0, this.#timings.maxAgeMs - ageMs) : null,
      /** Since the start, by result. */
      fetches: { ...this.#fetches },
      /** How far the issuer's clock is ahead, by its latest answer. */
      clockSkewMs: this.#clockSkewMs,
    }
  }

  /** Fetches now, and from here on in the background. Never rejects; resolves when the first attempt has ended. */
  start(): Promise<void> {
    return this.#refresh()
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
   * Asks the issuer for a key nobody knows, at most once per cool-down, whoever asks; look again afterwards.
   * Null, or `identity-provider-unavailable` when it is not known which keys the issuer has. Never rejects.
   *
   * Which ids the issuer did not know is not remembered: a forged token could name the id of its next key.
   */
  async findUnknown(kid: string | null): Promise<TokenProblem | null> {
    if (kid !== null && kid.length > maxKidLength) return null
    const asked = this.#ask()
    if (asked === 'fetching') await this.#wait()
    return this.#lastError !== null || this.#set.keys.length === 0 || asked === 'full' ? this.#unavailable() : null
  }

  /**
   * Asks the issuer whether it has replaced a key under its key id, because a signature does not fit the known one. Null
   * when it was asked a moment ago: anybody can send wrong signatures, and the issuer must not notice.
   */
  replacementOf(): Promise<void> | null {
    return this.#ask() === 'fetching' ? this.#wait() : null
  }

  /** Whether a fetch runs that the caller may wait for. `full`: too many wait already. */
  #ask(): 'fetching' | 'cooling-down' | 'full' {
    const { monotonic } = this.#options
    if (this.#waiting >= maxWaiting) return 'full'
    if (this.#refreshing !== null) return 'fetching'
    if (monotonic() - this.#askedAtMs < this.#timings.coolDownMs) return 'cooling-down'
    // From the end of the fetch on, so that an issuer that hangs does not hold up caller after caller.
    void this.#refresh(() => (this.#askedAtMs = monotonic()))
    return 'fetching'
  }

  async #wait(): Promise<void> {
    this.#waiting += 1
    await this.#refreshing
    this.#waiting -= 1
  }

  /** One fetch at a time, shared by everybody who waits for it. Never rejects; `ended` runs before the next can begin. */
  #refresh(ended: () => void = () => {}): Promise<void> {
    this.#refreshing ??= this.#load().finally(() => {
      this.#refreshing = null
      ended()
      this.#schedule()
    })
    return this.#refreshing
  }

  #schedule(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    if (this.#closing.signal.aborted) return
    const delayMs =
      this.#failures === 0
        ? refreshDelayMs(this.#fetched?.freshForMs ?? null, this.#timings)
        : retryDelayMs(this.#failures, this.#timings)
    this.#timer = setTimeout(() => void this.#refresh(), delayMs)
    this.#timer.unref()
  }

  async #load(): Promise<void> {
    const { settings, now } = this.#options
    const { fetchTimeoutMs: timeoutMs } = this.#timings
    // One deadline for both documents: a slow issuer must not be waited for twice.
    const deadline = AbortSignal.any([AbortSignal.timeout(timeoutMs), this.#closing.signal])
    try {
      const options = { deadline, timeoutMs, ca: settings.ca, now }
      const url = await this.#findAddress(options)
      const fetched = await fetchJson(url, options)
      this.#clockSkewMs = fetched.clockSkewMs ?? this.#clockSkewMs
      const set = await parseKeySet(fetched.document, settings.algorithms)
      // An empty set is a mistake of the issuer: accepting it would reject every token.
      const fault = set === null ? 'not a key set' : set.keys.length === 0 ? 'no usable key in it' : null
      if (set === null || fault !== null) {
        const warnings = set === null ? [] : set.warnings.slice(0, mostWarnings)
        throw new FetchFailed(`GET ${url.origin}${url.pathname}: ${[fault, ...warnings].join('; ')}`, true)
      }
      this.#replace(set, fetched)
    } catch (error) {
      this.#fail(error instanceof FetchFailed ? error.message : 'the key set could not be read')
    }
  }

  /** The metadata document is read again after a failure, and from time to time: the key set may have moved. */
  async #findAddress(options: JsonFetchOptions): Promise<URL> {
    const { settings, monotonic } = this.#options
    const known = this.#address
    if (known !== null && monotonic() - known.foundAtMs < this.#timings.refreshIntervalMs / 2) return known.url
    const url = await findKeySetAddress(settings, options)
    this.#address = { url, foundAtMs: monotonic() }
    return url
  }

  #replace(set: KeySet, { freshForMs }: FetchedJson): void {
    const { log, monotonic, now } = this.#options
    const { issuer } = this.#options.settings
    const before = this.#set
    const added = without(set.keys, before.keys)
    const removed = without(before.keys, set.keys)
    const hasRecovered = this.#lastError !== null
    const kept = new Map(before.keys.map((key) => [key.identity, key]))
    this.#set = { ...set, keys: set.keys.map((key) => kept.get(key.identity) ?? key) }
    this.#fetched = { atMs: monotonic(), wallMs: now(), freshForMs }
    this.#fetches.fetched += 1
    this.#lastError = null
    this.#failures = 0
    if (removed.length > 0) this.#options.onKeyRemoved()
    if (added.length > 0 || removed.length > 0 || hasRecovered) {
      const fields = {
        event: 'signing-keys',
        issuer,
        keys: set.keys.length,
        added: kids(added),
        removed: kids(removed),
      }
      log.info(fields, 'signing keys fetched')
    }
    if (set.warnings.join() === before.warnings.join()) return
    for (const warning of set.warnings.slice(0, mostWarnings)) {
      log.warn({ event: 'signing-key-ignored', issuer }, `signing keys: ${warning}`)
    }
  }

  #fail(reason: string): void {
    const { log, monotonic } = this.#options
    const { issuer } = this.#options.settings
    if (this.#closing.signal.aborted) return
    this.#failures += 1
    this.#fetches.failed += 1
    this.#address = null
    if (reason !== this.#lastError) {
      const fields = { event: 'signing-keys-failed', issuer, keys: this.#set.keys.length, reason }
      log.warn(fields, 'signing keys could not be fetched; the known ones stay')
    }
    this.#lastError = reason
    if (this.#set.keys.length === 0 || this.#fetched === null) return
    if (monotonic() - this.#fetched.atMs < this.#timings.maxAgeMs) return
    this.#set = emptySet
    this.#options.onKeyRemoved()
    log.error({ event: 'signing-keys-dropped', issuer }, 'signing keys are too old to be believed, and are dropped')
  }

  #unavailable(): TokenProblem {
    const seconds = Math.max(1, Math.ceil(this.#timings.coolDownMs / 1000))
    return new TokenProblem(
      'identity-provider-unavailable',
      `The token cannot be checked at the moment, because the signing keys of its issuer could not be fetched. Try again in ${counted(seconds, 'second')}.`,
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
