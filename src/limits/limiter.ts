// The limiter's interface: all limits of a request are checked together, and it is counted in all or in none. local/ is the limiter of one instance, shared/ that of several over a store.

/** So many in a span of time: sliding (`perMs`), sliding with a burst, or in a calendar day, week or month. */
export interface Quota {
  readonly amount: number
  readonly perMs: number | null
  readonly calendar: 'day' | 'week' | 'month' | null
  /** For sliding quotas: the most at once; a bucket of this size that refills at the rate. Null: an exact sliding window. */
  readonly burst: number | null
  /** IANA name; calendar windows turn at its midnight. */
  readonly timeZone: string
}

/** One limit that applies to a request. */
export interface Limit {
  /** Stable name of whose usage this is: two requests share a meter exactly when the name is equal. */
  readonly meter: string
  /** Name in the RateLimit fields and in refusals: `requests`, `writes`, `sessions`, `app-requests`… */
  readonly name: string
  /** `refundable`: a rate whose uses are given back when nothing came of the request, as `sessions` is. */
  readonly kind: 'rate' | 'concurrency' | 'refundable'
  /** Whose limit it is: the team's (its apps', callers' and operations' included), or that of all teams together. */
  readonly scope: 'team' | 'gateway'
  /** For rates; null for concurrency. */
  readonly quota: Quota | null
  /** For concurrency: the most at once. */
  readonly most: number
  /** Shadow: checked and reported, not applied. */
  readonly shadow: boolean
}

/** One limit after a request was judged. */
export interface LimitStatus {
  readonly limit: Limit
  readonly remaining: number
  /** Milliseconds until the full amount is there again. */
  readonly resetMs: number
}

export interface LimitDecision {
  readonly granted: boolean
  /** The limit that refused (of several the one with the longest wait), or in shadow mode would have; else null. */
  readonly exceeded: Limit | null
  /** Milliseconds until the request would be granted as far as rates go; 0 when granted. */
  readonly retryAfterMs: number
  /** One for each limit; none when the limits could not be judged. */
  readonly statuses: readonly LimitStatus[]
  /** Refused because `exceeded` is a limit of cost that cannot be judged: the shared store is away. */
  readonly storeAway: boolean
}

/** What a request counts in rates and budgets where nobody says more. It always holds one slot of a concurrency limit. */
export const costOfRequest = 1

/** A promise only where a shared store has to be asked. Nothing rejects. */
export interface Limiter {
  /** Judges and, when every limit has room, counts the cost. A refused request counts nowhere. */
  take(limits: readonly Limit[], cost?: number): LimitDecision | Promise<LimitDecision>
  /** How the limits stand, without counting. */
  peek(limits: readonly Limit[]): readonly LimitStatus[] | Promise<readonly LimitStatus[]>
  /** The request is over: frees its concurrency slots. Exactly once for each granted `take`. */
  release(limits: readonly Limit[]): void
  /** The call came to nothing (a create that failed): gives its budgets back, which counted this cost. */
  giveBack(limits: readonly Limit[], cost?: number): void
}

export interface LimitClocks {
  /** Milliseconds since the epoch: for calendar windows. */
  readonly now: () => number
  /** Monotonic clock, milliseconds: for everything else. */
  readonly monotonic: () => number
}
