// When signing keys are fetched: in the background, again after a failure, and because of tokens. Pure but for the jitter.

export interface KeyTimings {
  /** Between two fetches in the background, unless the issuer says less. Default 5 min. */
  readonly refreshIntervalMs: number
  /** The least of it, whatever the issuer says. Default 5 s. */
  readonly minRefreshIntervalMs: number
  /** First wait after a failed fetch; it doubles up to `maxRetryDelayMs`. Default 500 ms. */
  readonly retryDelayMs: number
  /** Together with a fetch that runs into its timeout it is less than ten seconds, in which recovery is noticed. Default 4 s. */
  readonly maxRetryDelayMs: number
  /** Between two fetches that tokens cause. Default 5 s. */
  readonly coolDownMs: number
  /** For metadata and key set together. Default 5 s. */
  readonly fetchTimeoutMs: number
  /** Age at which a set that could not be renewed is no longer believed. Default 24 h. */
  readonly maxAgeMs: number
}

export const defaultKeyTimings: KeyTimings = {
  refreshIntervalMs: 5 * 60_000,
  minRefreshIntervalMs: 5_000,
  retryDelayMs: 500,
  maxRetryDelayMs: 4_000,
  coolDownMs: 5_000,
  fetchTimeoutMs: 5_000,
  maxAgeMs: 24 * 60 * 60_000,
}

/** After a fetch that succeeded: when the answer is no longer fresh, within bounds. */
export function refreshDelayMs(freshForMs: number | null, timings: KeyTimings): number {
  const { refreshIntervalMs, minRefreshIntervalMs } = timings
  const wantedMs = Math.max(freshForMs ?? refreshIntervalMs, Math.min(minRefreshIntervalMs, refreshIntervalMs))
  return Math.min(wantedMs, refreshIntervalMs) * jitter()
}

/** After a fetch that failed, `failures` in a row. */
export function retryDelayMs(failures: number, { retryDelayMs: firstMs, maxRetryDelayMs }: KeyTimings): number {
  return Math.min(firstMs * 2 ** (failures - 1), maxRetryDelayMs) * jitter()
}

/** A little less, so that instances do not ask at the same moment and no answer is believed beyond its time. */
function jitter(): number {
  return 0.85 + Math.random() * 0.15
}
