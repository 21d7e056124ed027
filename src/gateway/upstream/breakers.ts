// Circuit breakers: an upstream that does not answer gets no requests for a while, then one probe at a time.

/**
 * The outcome of a request. `answered`: an answer began, of whatever status. `unsent`: there was no connection.
 * `unanswered`: it was sent, and no answer began. `abandoned`: it was given up before any of these.
 */
export type CallResult = 'answered' | 'unsent' | 'unanswered' | 'abandoned'

/** `probe`: the request shows whether the upstream is back. A number: it is refused; try again in so many milliseconds. */
export type Passage = 'pass' | 'probe' | number

export type BreakerEvent = 'opened' | 'closed' | 'probe'

interface Breaker {
  failures: number
  /** Callers whose requests were sent and not answered. */
  readonly callers: Set<string>
  retryAtMs: number | null
  pauseMs: number
  isProbing: boolean
}

/** So many failures in a row, with no answer between them. */
const failuresToOpen = 5
/** A failure that the request may have caused itself counts for all only when so many callers have met it. */
const callersToOpen = 3
const [firstPauseMs, longestPauseMs] = [1_000, 30_000]
/** The number of callers is unbounded, so the oldest are forgotten. */
const mostBreakers = 10_000

export interface BreakersOptions {
  readonly now: () => number
  readonly onEvent: (credential: string, event: BreakerEvent) => void
}

/**
 * One breaker for each credential, and one for each caller with it. A failed connection is no caller's fault and
 * counts for all. A request without an answer may have caused that itself: it blocks its own caller, and others only
 * when several callers meet the same. An answer of any status, from whomever, closes both.
 */
export function createBreakers({ now, onEvent }: BreakersOptions) {
  const breakers = new Map<string, Breaker>()

  function namesOf(credential: string, caller: string): readonly [string, string] {
    return [credential, `${credential}\n${caller}`]
  }

  function waitMs(name: string): number | null {
    const breaker = breakers.get(name)
    if (breaker === undefined || breaker.retryAtMs === null) return null
    const left = breaker.retryAtMs - now()
    if (left > 0) return left
    return breaker.isProbing ? firstPauseMs : null
  }

  function refusalMs(credential: string, caller: string): number | null {
    if (breakers.size === 0) return null
    const [first, second] = namesOf(credential, caller).map(waitMs)
    return first ?? second ?? null
  }

  function breakerOf(name: string): Breaker {
    const known = breakers.get(name)
    if (known !== undefined) return known
    const breaker = {
      failures: 0,
      callers: new Set<string>(),
      retryAtMs: null,
      pauseMs: firstPauseMs,
      isProbing: false,
    }
    const [oldest] = breakers.keys()
    if (breakers.size >= mostBreakers && oldest !== undefined) breakers.delete(oldest)
    breakers.set(name, breaker)
    return breaker
  }

  /** Opens it for the first time, or for longer where a probe has failed. */
  function open(breaker: Breaker, credential: string, failedProbe: boolean, isNews: boolean): void {
    if (breaker.retryAtMs !== null && !failedProbe) return
    if (breaker.retryAtMs === null) onEvent(credential, 'opened')
    else breaker.pauseMs = isNews ? Math.min(2 * breaker.pauseMs, longestPauseMs) : firstPauseMs
    breaker.retryAtMs = now() + breaker.pauseMs
  }

  return {
    /** False while no breaker has counted a failure, so that callers can skip the check. */
    get troubled(): boolean {
      return breakers.size > 0
    },
    /** Credentials with which the upstream is left alone for every caller. */
    get open(): readonly string[] {
      return [...breakers].flatMap(([name, { retryAtMs }]) => (retryAtMs === null || name.includes('\n') ? [] : [name]))
    },
    /** Asks without beginning: null, or the milliseconds to wait. */
    refusalMs,
    /** A request of the caller is about to be sent with the credential. `ended` belongs to each that is not refused. */
    begin(credential: string, caller: string): Passage {
      if (breakers.size === 0) return 'pass'
      const refused = refusalMs(credential, caller)
      if (refused !== null) return refused
      const tried = namesOf(credential, caller)
        .map((name) => breakers.get(name))
        .filter((breaker) => breaker !== undefined && breaker.retryAtMs !== null)
      for (const breaker of tried) if (breaker !== undefined) breaker.isProbing = true
      if (tried.length === 0) return 'pass'
      onEvent(credential, 'probe')
      return 'probe'
    },
    ended(credential: string, caller: string, passage: 'pass' | 'probe', result: CallResult): void {
      if (result === 'answered') {
        if (breakers.size === 0) return
        for (const name of namesOf(credential, caller)) {
          if ((breakers.get(name)?.retryAtMs ?? null) !== null) onEvent(credential, 'closed')
          breakers.delete(name)
        }
        return
      }
      const [ofAll, ofCaller] = namesOf(credential, caller)
      const isProbe = passage === 'probe'
      for (const name of [ofAll, ofCaller]) {
        const breaker = breakers.get(name)
        if (isProbe && breaker !== undefined) breaker.isProbing = false
      }
      if (result === 'abandoned') return
      const shared = breakerOf(ofAll)
      shared.failures += 1
      // A caller that has met the failure before proves nothing new, so its probe does not extend the wait of others.
      const isNews = result === 'unsent' || !shared.callers.has(caller)
      if (result === 'unanswered') {
        shared.callers.add(caller)
        const own = breakerOf(ofCaller)
        own.failures += 1
        if (own.failures >= failuresToOpen) open(own, credential, isProbe, true)
      }
      const isEverybodys = result === 'unsent' || shared.callers.size >= callersToOpen
      if (shared.failures >= failuresToOpen && isEverybodys) open(shared, credential, isProbe, isNews)
    },
  }
}

export type Breakers = ReturnType<typeof createBreakers>
