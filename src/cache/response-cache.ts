// A shared cache after RFC 9111 for what an allowed caller may see. It knows questions and answers, and nothing of tokens,
// policies, Fastify or undici: the gateway asks it after the decision, and it asks the upstream through a function it is given.

import { Problem } from '../problems.ts'
import { ageField, answerFrom, settled, type Visit } from './answering.ts'
import { forwardedStatus, hitStatus, type Forward } from './cache-status.ts'
import { createWallTime, type Clocks } from './clocks.ts'
import { freshUntilMs } from './entry.ts'
import type { Flight } from './flight.ts'
import type { Account } from './flight-desk.ts'
import { createFlights, type Flights, type Need } from './flights.ts'
import { createInvalidation } from './invalidation.ts'
import type { Drop, Peers, Told } from './peers.ts'
import type { CacheOutcome, CacheTaker, Fetch, Question } from './question.ts'
import { readQuestion } from './reading.ts'
import { useOf } from './reuse.ts'
import { Seat } from './seat.ts'
import { createStatistics, type OperationCounts } from './statistics.ts'
import { createStore } from './store.ts'
import { Through } from './through.ts'

export interface ResponseCacheOptions extends Clocks {
  /** Memory for entries, their keys and their index. */
  readonly maxBytes: number
  /** Longest body that is kept, and that a caller who waits for another's answer can get. */
  readonly maxEntryBytes: number
  /** Scheme, authority and path prefix of the upstream without final slash: what Location has to begin with to be its own. */
  readonly upstreamBase: string
  /** The other instances; none by default. */
  readonly peers?: Peers | null
}

export interface CacheStats {
  readonly bytes: number
  /** The same by operation. */
  readonly bytesOf: ReadonlyMap<string, number>
  readonly entries: number
  /** Calls to the upstream for cacheable reads that are under way. */
  readonly flights: number
  readonly operations: ReadonlyMap<string, OperationCounts>
}

export interface ResponseCache {
  /**
   * Answers a question: from the store, from another caller's call that is under way, or through `fetch`. The taker may be
   * served before this returns. What `fetch` throws becomes a `fail` for a read, and is thrown on for writes and for questions
   * that bypass the cache.
   */
  serve(question: Question, taker: CacheTaker, fetch: Fetch): void
  /**
   * Drops what is stored under any of these names (tags, or paths that begin with `/`), on all instances, and keeps reads that
   * are under way from being stored. For purges, and for writes that went another way.
   */
  invalidate(names: readonly string[]): Promise<Told>
  stats(): CacheStats
}

/** An answer that is kept longer is about a time that is over: no write changes it. */
const longestChangingMs = 3_600_000
/** Answers that are being collected may take this part of the memory besides what is stored. */
const collectingShare = 8

/** Makes an empty cache. Nothing is kept on disk. */
export function createResponseCache(options: ResponseCacheOptions): ResponseCache {
  const { monotonic, maxBytes, maxEntryBytes, upstreamBase } = options
  const { peers = null } = options
  const statistics = createStatistics()
  const store = createStore(maxBytes, (entry) => statistics.count(entry.operation, 'eviction'))
  const flights: Flights = createFlights({
    monotonic,
    lookAgain: ({ visit, fetch }) => lookUp(visit, fetch),
    giveUp({ visit }, problem) {
      visit.taker.outcome(uncached(visit.question, 'miss', null))
      visit.taker.fail(problem)
    },
    counter: {
      monotonic,
      wallTime: createWallTime(options),
      maxEntryBytes,
      allowance: { maxBytes: Math.max(maxEntryBytes, maxBytes / collectingShare), usedBytes: 0 },
      report(flight, seat, account) {
        statistics.count(seat.visit.question.operation, account.result)
        return outcomeOf(flight, seat.visit, account)
      },
      give(flight, { visit }, entry, account) {
        const nowMs = monotonic()
        const age = account.result === 'miss' ? null : ageField(entry, nowMs)
        const manner = { outcome: outcomeOf(flight, visit, account), age, maxDecodedBytes: maxEntryBytes }
        const given = answerFrom(entry, visit, manner)
        if (given) statistics.count(visit.question.operation, account.result)
        return given
      },
      store: (flight, entry) => invalidation.allows(flight) && store.put(flight.plan.key, flight.plan.names, entry),
      outdated: (flight, entry) => store.remove(flight.plan.key, entry),
    },
  })
  const invalidation = createInvalidation({
    store,
    peers,
    monotonic,
    upstreamBase,
    underWay: flights.underWay,
    close: (flight) => flights.close(flight),
  })
  peers?.attach({ drop: (drop: Drop) => invalidation.drop(drop), dropAll: () => invalidation.dropAll() })

  function outcomeOf({ plan }: Flight, { question }: Visit, account: Account): CacheOutcome {
    const { result, terms } = account
    const leftMs = terms === null ? null : freshUntilMs(terms, question) - monotonic()
    const collapsed = result === 'collapsed'
    return { result, cacheStatus: forwardedStatus({ fwd: plan.fwd, ...account, collapsed, leftMs }) }
  }

  function uncached({ operation }: Question, fwd: Forward, fwdStatus: number | null): CacheOutcome {
    statistics.count(operation, 'bypass')
    const forwarded = { fwd, fwdStatus, stored: false, collapsed: false, leftMs: null, detail: null }
    return { result: 'bypass', cacheStatus: forwardedStatus(forwarded) }
  }

  function serve(question: Question, taker: CacheTaker, fetch: Fetch): void {
    const { method, rule, atMostMs } = question
    if (method === 'GET' || method === 'HEAD') {
      if (rule.kind === 'never' || atMostMs === 0) pass(question, taker, fetch, 'bypass')
      else {
        peers?.check()
        read({ question: withCaution(question), reading: readQuestion(question), taker }, fetch)
      }
    } else if (method === 'OPTIONS' || method === 'TRACE') pass(question, taker, fetch, 'method')
    else write(question, taker, fetch)
  }

  /** While writes elsewhere may not be heard of, nothing that they could change is used for long. */
  function withCaution(question: Question): Question {
    const limitMs = peers?.atMostMs ?? null
    const { atMostMs, rule } = question
    if (limitMs === null || (rule.kind === 'class' && rule.ttlMs > longestChangingMs)) return question
    return { ...question, atMostMs: Math.min(atMostMs ?? Infinity, limitMs) }
  }

  function read(visit: Visit, fetch: Fetch): void {
    const { question, reading, taker } = visit
    if (reading.forOrigin) pass(question, taker, fetch, 'bypass')
    else if (reading.directives?.noStore === true) pass(question, taker, fetch, 'request')
    else {
      const need = lookUp(visit, fetch)
      if (need === null) return
      if (reading.directives?.onlyIfCached === true) refuseUncached(visit, need)
      else flights.forward(new Seat(visit, fetch), need)
    }
  }

  /** Answers from the store where that may be; else says what the upstream is needed for. */
  function lookUp(visit: Visit, fetch: Fetch): Need | null {
    const { question, reading, taker } = visit
    const slot = store.find(reading.key)
    if (slot === undefined) return { fwd: 'uri-miss', candidate: null }
    const { entry } = slot
    const nowMs = monotonic()
    const use = useOf(entry, question, reading, nowMs)
    if (use === 'request' || use === 'stale') return { fwd: use, candidate: entry }
    const detail = use === 'fresh' ? null : use
    const outcome: CacheOutcome = {
      result: detail === null ? 'hit' : 'stale',
      cacheStatus: hitStatus(freshUntilMs(entry, question) - nowMs, detail),
    }
    const manner = { outcome, age: ageField(entry, nowMs), maxDecodedBytes: maxEntryBytes }
    taker.attach(settled)
    if (!answerFrom(entry, visit, manner)) return { fwd: 'miss', candidate: null }
    store.prove(slot)
    statistics.count(question.operation, outcome.result)
    if (use === 'stale-while-revalidate') flights.refresh(visit, fetch, entry)
    return null
  }

  /** RFC 9111 section 5.2.1.7. */
  function refuseUncached({ question, taker }: Visit, { fwd }: Need): void {
    taker.attach(settled)
    taker.outcome(uncached(question, fwd, null))
    const detail = 'Cache-Control: only-if-cached asks for a stored answer, and none may be used. Ask without it.'
    taker.fail(new Problem('upstream-timeout', detail, { reason: 'only-if-cached' }))
  }

  function pass(question: Question, taker: CacheTaker, fetch: Fetch, fwd: Forward): void {
    fetch(null, new Through(taker, { outcome: (status) => uncached(question, fwd, status) }))
  }

  function write(question: Question, taker: CacheTaker, fetch: Fetch): void {
    const through = new Through(taker, {
      outcome: (status) => uncached(question, 'method', status),
      answered: (head) => invalidation.answered(question, head),
      lost: () => invalidation.unclear(question),
    })
    fetch(null, through)
  }

  return {
    serve,
    invalidate: (names) => invalidation.dropEverywhere({ names, unsettled: false }),
    stats() {
      const { bytes, bytesOf, entries } = store
      return { bytes, bytesOf, entries, flights: flights.underWay.size, operations: statistics.operations }
    },
  }
}
