// A shared cache after RFC 9111 for what an allowed caller may see. It knows questions and answers, and nothing of tokens,
// policies, Fastify or undici: the gateway asks it after the decision, and it asks the upstream through a function it is given.

import { Problem } from '../problems.ts'
import { ageField, answerFrom, settled, type Visit } from './answering.ts'
import { forwardedStatus, hitStatus, type Forward } from './cache-status.ts'
import { freshUntilMs, type Entry } from './entry.ts'
import { Flight, unchanged, type Account, type FlightDesk } from './flight.ts'
import { createInvalidation } from './invalidation.ts'
import type { CacheOutcome, CacheTaker, Fetch, Question } from './question.ts'
import { pathOf, readQuestion } from './reading.ts'
import { selectEntry, useOf } from './reuse.ts'
import { Seat } from './seat.ts'
import { createStatistics, type OperationCounts } from './statistics.ts'
import { createStore } from './store.ts'
import { Writing } from './writing.ts'

export interface ResponseCacheOptions {
  readonly now: () => number
  /** Memory for entries, their keys and their index. */
  readonly maxBytes: number
  /** Longest body that is kept, and that a caller who waits for another's answer can get. */
  readonly maxEntryBytes: number
  /** Scheme, authority and path prefix of the upstream without final slash: what Location has to begin with to be its own. */
  readonly upstreamBase: string
  /** Our name in Cache-Status. */
  readonly name?: string
  /** How long callers wait for another's call before one of them asks again. */
  readonly maxWaitMs?: number
  /** How many may wait for one call; more ask for themselves. */
  readonly maxFollowers?: number
  /** Answer fields that govern in place of Cache-Control, first one first (RFC 9213). */
  readonly targets?: readonly string[]
  /** How long past its lifetime an answer stands in for a failing upstream: this many lifetimes, and no longer than that. */
  readonly staleLifetimes?: number
  readonly maxStaleMs?: number
  /** How long nothing is kept of what a write touched whose end nobody knows. */
  readonly unsettledMs?: number
}

export interface CacheStats {
  readonly bytes: number
  readonly entries: number
  /** Calls to the upstream for cacheable reads that are under way. */
  readonly flights: number
  readonly operations: ReadonlyMap<string, OperationCounts>
}

export interface ResponseCache {
  /**
   * Answers a question: from the store, from another caller's call that is under way, or through `fetch`. The taker may be
   * served before this returns. Reads: what `fetch` throws becomes a `fail`. Writes and questions that bypass the cache: it is
   * thrown on.
   */
  serve(question: Question, taker: CacheTaker, fetch: Fetch): void
  /**
   * Drops what is stored under any of these names (tags, or paths that begin with `/`), and keeps reads that are under way from
   * being stored. Returns how many entries were dropped. For purges, and for writes that went another way.
   */
  invalidate(names: readonly string[]): number
  stats(): CacheStats
  clear(): void
}

/** Why a question goes to the upstream, and what is stored about it all the same. */
interface Need {
  readonly fwd: Forward
  readonly candidate: Entry | null
}

const collectingShare = 8
const maxMarks = 1_000
const markMs = 10_000

/** Makes an empty cache. Nothing is kept on disk. */
export function createResponseCache(options: ResponseCacheOptions): ResponseCache {
  const { now, maxBytes, maxEntryBytes, upstreamBase } = options
  const { name = 'devin-gateway', maxWaitMs = 10_000, maxFollowers = 4_096 } = options
  const statistics = createStatistics()
  const store = createStore(maxBytes, (entry) => statistics.count(entry.operation, 'eviction'))
  const underWay = new Set<Flight>()
  const joinable = new Map<string, Flight>()
  const timers = new Map<Flight, NodeJS.Timeout>()
  /** Keys whose answer turned out not to be shareable, and until when nobody waits for it. */
  const marks = new Map<string, number>()
  const invalidation = createInvalidation(store, underWay, close, now, options.unsettledMs ?? 30_000)
  let sequence = 0

  const desk: FlightDesk = {
    now,
    storing: {
      targets: options.targets ?? ['cdn-cache-control'],
      staleLifetimes: options.staleLifetimes ?? 5,
      maxStaleMs: options.maxStaleMs ?? 3_600_000,
    },
    allowance: { maxBytes: Math.max(maxEntryBytes, maxBytes / collectingShare), usedBytes: 0 },
    maxEntryBytes,
    report(flight, seat, account) {
      statistics.count(seat.visit.question.operation, account.result)
      return outcomeOf(flight, seat, account)
    },
    give(flight, { visit }, entry, account) {
      const nowMs = now()
      const age = account.result === 'miss' ? null : ageField(entry, nowMs)
      const outcome = outcomeOf(flight, { visit }, account)
      const given = answerFrom(entry, visit, { outcome, age, nowMs, maxDecodedBytes: maxEntryBytes })
      if (given) statistics.count(visit.question.operation, account.result)
      return given
    },
    again(seats, problem) {
      for (const seat of seats) if (!seat.left) askAgain(seat, problem)
    },
    alone(seats) {
      for (const seat of seats) {
        mark(seat.visit.reading.key)
        if (!seat.left) launch(seat, { fwd: 'miss', candidate: null }, false)
      }
    },
    store(flight, entry) {
      return invalidation.allows(flight) && store.put(flight.plan.key, flight.plan.names, entry)
    },
    outdated(flight, entry) {
      store.remove(flight.plan.key, entry)
    },
    closed: close,
    ended(flight) {
      underWay.delete(flight)
    },
  }

  function outcomeOf({ plan }: Flight, { visit }: Pick<Seat, 'visit'>, account: Account): CacheOutcome {
    const { result, fwdStatus, stored, terms, detail } = account
    const leftMs = terms === null ? null : freshUntilMs(terms, visit.question) - now()
    const collapsed = result === 'collapsed'
    return {
      result,
      cacheStatus: forwardedStatus(name, { fwd: plan.fwd, fwdStatus, stored, collapsed, leftMs, detail }),
    }
  }

  function bypassing(operation: string, fwd: Forward, fwdStatus: number | null): CacheOutcome {
    statistics.count(operation, 'bypass')
    const forwarded = { fwd, fwdStatus, stored: false, collapsed: false, leftMs: null, detail: null }
    return { result: 'bypass', cacheStatus: forwardedStatus(name, forwarded) }
  }

  function serve(question: Question, taker: CacheTaker, fetch: Fetch): void {
    const { method, rule, atMostMs } = question
    if (method !== 'GET' && method !== 'HEAD') {
      if (method === 'OPTIONS' || method === 'TRACE') pass(question, taker, fetch, 'method')
      else write(question, taker, fetch)
    } else if (rule.kind === 'never' || atMostMs === 0) pass(question, taker, fetch, 'bypass')
    else read({ question, reading: readQuestion(question), taker }, fetch)
  }

  function read(visit: Visit, fetch: Fetch): void {
    const { question, reading, taker } = visit
    if (reading.forOrigin) pass(question, taker, fetch, 'bypass')
    else if (reading.directives?.noStore === true) pass(question, taker, fetch, 'request')
    else {
      const need = answerFromStore(visit, fetch, null)
      if (need === null) return
      if (reading.directives?.onlyIfCached === true) refuseUncached(visit, need)
      else forward(new Seat(visit, fetch), need)
    }
  }

  /** Answers from the store where that may be; else what the upstream is needed for. */
  function answerFromStore(visit: Visit, fetch: Fetch, seat: Seat | null): Need | null {
    const { question, reading, taker } = visit
    const slot = store.find(reading.key)
    if (slot === undefined) return { fwd: 'uri-miss', candidate: null }
    const entry = selectEntry(slot.entries, question, reading)
    if (entry === null) return { fwd: 'vary-miss', candidate: null }
    const nowMs = now()
    const use = useOf(entry, question, reading, nowMs)
    if (use === 'request' || use === 'stale') return { fwd: use, candidate: entry }
    const detail = use === 'fresh' ? null : use
    const outcome: CacheOutcome = {
      result: detail === null ? 'hit' : 'stale',
      cacheStatus: hitStatus(name, freshUntilMs(entry, question) - nowMs, detail),
    }
    if (seat === null) taker.attach(settled)
    const manner = { outcome, age: ageField(entry, nowMs), nowMs, maxDecodedBytes: maxEntryBytes }
    if (!answerFrom(entry, visit, manner)) return { fwd: 'vary-miss', candidate: null }
    store.prove(slot)
    statistics.count(question.operation, outcome.result)
    if (use === 'stale-while-revalidate' && !joinable.has(reading.key)) {
      depart({ visit, fetch }, null, { fwd: 'stale', candidate: entry }, true)
    }
    return null
  }

  /** RFC 9111 section 5.2.1.7. */
  function refuseUncached({ question, taker }: Visit, { fwd }: Need): void {
    taker.attach(settled)
    taker.outcome(bypassing(question.operation, fwd, null))
    taker.fail(
      new Problem(
        'upstream-timeout',
        'Cache-Control: only-if-cached asks for a stored answer, and there is none that may be used. Ask without it.',
        { reason: 'only-if-cached' },
      ),
    )
  }

  /** Joins the call that is under way for the same, or makes one. */
  function forward(seat: Seat, need: Need): void {
    const { question, reading } = seat.visit
    const current = joinable.get(reading.key)
    // A caller who says no-cache wants an answer that is younger than its question.
    const isDemanding = reading.directives?.noCache === true
    const isWhole = question.method === 'GET' && reading.range === null
    if (!isWhole || current === undefined || isDemanding) launch(seat, need, isWhole && !isMarked(reading.key))
    else if (current.followers.size >= maxFollowers) launch(seat, need, false)
    else {
      current.join(seat)
      if (!timers.has(current)) timers.set(current, setTimeout(() => current.expire(), maxWaitMs).unref())
    }
  }

  function launch(seat: Seat, need: Need, mayBeJoined: boolean): void {
    depart(seat, seat, need, mayBeJoined)
  }

  function depart(
    { visit, fetch }: Pick<Seat, 'visit' | 'fetch'>,
    leader: Seat | null,
    need: Need,
    open: boolean,
  ): void {
    const { question, reading } = visit
    sequence += 1
    const names = [...question.tags, pathOf(question.target)]
    const keep = question.method === 'GET' && reading.range === null
    const flight = new Flight({ key: reading.key, names, question, fetch, ...need, keep, sequence }, leader, desk)
    underWay.add(flight)
    if (open) {
      const before = joinable.get(reading.key)
      if (before !== undefined) close(before)
      joinable.set(reading.key, flight)
    }
    flight.start()
  }

  function askAgain(seat: Seat, problem: Problem | null): void {
    if (!seat.mayTryAgain) {
      if (problem === null) desk.alone([seat])
      else {
        seat.visit.taker.outcome(bypassing(seat.visit.question.operation, 'miss', null))
        seat.visit.taker.fail(problem)
      }
      return
    }
    seat.attempts += 1
    const need = answerFromStore(seat.visit, seat.fetch, seat)
    if (need !== null) forward(seat, need)
  }

  function close(flight: Flight): void {
    if (joinable.get(flight.plan.key) === flight) joinable.delete(flight.plan.key)
    clearTimeout(timers.get(flight))
    timers.delete(flight)
  }

  function mark(key: string): void {
    const [oldest] = marks.keys()
    if (marks.size >= maxMarks && oldest !== undefined) marks.delete(oldest)
    marks.set(key, now() + markMs)
  }

  function isMarked(key: string): boolean {
    return (marks.get(key) ?? 0) > now()
  }

  function pass({ operation }: Question, taker: CacheTaker, fetch: Fetch, fwd: Forward): void {
    let seen = false
    fetch(unchanged, {
      attach: (flow) => taker.attach(flow),
      head(head) {
        seen = true
        const outcome = bypassing(operation, fwd, head.status)
        taker.outcome(outcome)
        taker.head({ ...head, fields: [...head.fields, 'cache-status', outcome.cacheStatus] })
      },
      data: (chunk) => taker.data(chunk),
      end: (last) => taker.end(last),
      fail(problem) {
        if (!seen) taker.outcome(bypassing(operation, fwd, null))
        taker.fail(problem)
      },
    })
  }

  function write({ operation, target, tags }: Question, taker: CacheTaker, fetch: Fetch): void {
    const names = [...tags, pathOf(target)]
    const outcome = (status: number | null): CacheOutcome => bypassing(operation, 'method', status)
    const changed = (paths: readonly string[], certain: boolean): void => {
      invalidation.drop([...names, ...paths])
      if (!certain) invalidation.unsettle(names)
    }
    fetch(unchanged, new Writing(target, upstreamBase, taker, outcome, { changed }))
  }

  return {
    serve,
    invalidate: (names) => invalidation.drop(names),
    stats: () => ({
      bytes: store.bytes,
      entries: store.entries,
      flights: underWay.size,
      operations: statistics.operations,
    }),
    clear: () => store.clear(),
  }
}
