// The calls to the upstream under way: who joins which, how long anybody waits, who gets the lease after a failure.

import type { Problem } from '../../problems.ts'
import { refusedAnswer, type CacheRead } from '../rfc9111/prepared-answer.ts'
import type { Forward } from '../cache-status.ts'
import type { StoredResponse } from '../rfc9111/stored-response.ts'
import { isOfTheAsker, mayPass, restProblem } from '../failures.ts'
import type { FetchParts } from '../fetch-plan.ts'
import type { CacheOutcome } from '../cache-request.ts'
import type { ResponseHead } from '../response-stream.ts'
import { InFlightList, type InFlightEntry } from '../../in-flight-list.ts'
import { pathTag } from '../invalidation/tags.ts'
import type { CacheAnswer, FetchLease, Refresh, CacheWait } from '../acquired.ts'
import { WaitingCaller, type FetchCallbacks } from './callers.ts'
import { InFlightFetch } from './in-flight-fetch.ts'

export interface Need {
  readonly fwd: Forward
  readonly candidate: StoredResponse | null
}

export interface InFlightFetchesOptions {
  readonly parts: FetchParts
  /** Answers from the store where that may be by now; else says what the upstream is needed for. */
  readonly lookUp: (read: CacheRead) => CacheAnswer | Need
  /** How it looks to one who gets no answer at all. */
  readonly unanswered: (read: CacheRead) => CacheOutcome
}

/** Callers wait no longer for another's call; one of them asks again then. */
const maxWaitMs = 10_000
/** More do not wait for one call: they ask for themselves. */
const maxWaiters = 4_096
/** Keys whose answer was not shareable are remembered for a while, so that nobody waits for one in vain. */
const maxUnshared = 1_000
const unsharedMs = 10_000

export function createInFlightFetches({ parts, lookUp, unanswered }: InFlightFetchesOptions) {
  const { monotonic } = parts
  const underWay = new InFlightList<InFlightFetch>()
  /** By key. */
  const joinable = new Map<string, InFlightEntry<InFlightFetch>>()
  const unsharedUntil = new Map<string, number>()
  let sequence = 0

  function joinOrLease(read: CacheRead, need: Need): FetchLease | CacheWait {
    const waiter = join(read, null)
    return waiter ?? lease(read, need, isWhole(read) && !joinableIsFull(read) && !isUnshared(read.parsed.key))
  }

  /** Adds a caller to the call that is under way; null where it has to ask by itself. */
  function join(read: CacheRead, before: WaitingCaller | null): WaitingCaller | null {
    const fetch = joinable.get(read.parsed.key)?.item ?? null
    // A caller who sends no-cache wants an answer that is younger than its request.
    const mayJoin = isWhole(read) && read.parsed.directives?.noCache !== true
    if (fetch === null || !mayJoin || fetch.waiting >= maxWaiters) return null
    const waiter = before ?? new WaitingCaller(read)
    fetch.join(waiter)
    fetch.deadline ??= setTimeout(() => fetch.expire(), maxWaitMs).unref()
    return waiter
  }

  function joinableIsFull({ parsed }: CacheRead): boolean {
    return (joinable.get(parsed.key)?.item?.waiting ?? 0) >= maxWaiters
  }

  function lease(read: CacheRead, need: Need, mayBeJoined: boolean, isForStore = false): InFlightFetch {
    const { request, parsed } = read
    sequence += 1
    const names = [...request.tags, pathTag(request.target)]
    const plan = { key: parsed.key, names, read, ...need, keep: isWhole(read), sequence }
    const callbacks: FetchCallbacks = {
      retry,
      askAlone,
      sendAway,
      leaseAgain: (again) => lease(again, { fwd: 'miss', candidate: null }, mayBeJoined),
      closed: () => close(fetch),
      ended: () => underWay.remove(entry),
    }
    const fetch: InFlightFetch = new InFlightFetch(plan, parts, callbacks, isForStore)
    const entry = underWay.add(fetch)
    if (mayBeJoined) {
      const before = joinable.get(parsed.key)?.item
      if (before !== undefined && before !== null) close(before)
      joinable.set(parsed.key, entry)
    }
    return fetch
  }

  function retry(waiters: readonly WaitingCaller[], problem: Problem | null): void {
    if (problem !== null && !mayPass(problem)) refuse(waiters, problem)
    else for (const waiter of waiters) if (!waiter.left) askAgain(waiter, problem)
  }

  function askAgain(waiter: WaitingCaller, problem: Problem | null): void {
    const isOfAnother = problem !== null && isOfTheAsker(problem)
    if (isOfAnother || waiter.mayTryAgain) {
      if (!isOfAnother) waiter.attempts += 1
      const { read } = waiter
      const found = lookUp(read)
      if ('kind' in found) waiter.grant(found)
      else if (join(read, waiter) === null) waiter.grant(lease(read, found, !isUnshared(read.parsed.key)))
    } else if (problem === null) waiter.grant(lease(waiter.read, { fwd: 'miss', candidate: null }, false))
    else refuse([waiter], problem)
  }

  function askAlone(waiters: readonly WaitingCaller[]): void {
    for (const waiter of waiters) {
      noteUnshared(waiter.read.parsed.key)
      if (!waiter.left) waiter.grant(lease(waiter.read, { fwd: 'miss', candidate: null }, false))
    }
  }

  function sendAway(waiters: readonly WaitingCaller[], head: ResponseHead): void {
    // The upstream asks to back off, so these callers get no call of their own.
    if (head.status === 429) refuse(waiters, restProblem(head))
    else if (head.status >= 500) retry(waiters, null)
    else askAlone(waiters)
  }

  function refuse(waiters: readonly WaitingCaller[], problem: Problem): void {
    for (const waiter of waiters) if (!waiter.left) waiter.grant(refusedAnswer(problem, unanswered(waiter.read)))
  }

  function close(fetch: InFlightFetch): void {
    if (joinable.get(fetch.plan.key)?.item === fetch) joinable.delete(fetch.plan.key)
    if (fetch.deadline !== null) clearTimeout(fetch.deadline)
    fetch.deadline = null
  }

  function noteUnshared(key: string): void {
    const [oldest] = unsharedUntil.keys()
    if (unsharedUntil.size >= maxUnshared && oldest !== undefined) unsharedUntil.delete(oldest)
    unsharedUntil.set(key, monotonic() + unsharedMs)
  }

  function isUnshared(key: string): boolean {
    return (unsharedUntil.get(key) ?? 0) > monotonic()
  }

  return {
    /** Joins the call that is under way for the same, or leases a new one. */
    joinOrLease,
    /** Leases a call for the store alone; null while one is under way. */
    refresh(read: CacheRead, candidate: StoredResponse): Refresh | null {
      if (joinable.has(read.parsed.key)) return null
      const fetch = lease(read, { fwd: 'stale', candidate }, true, true)
      return { fields: fetch.fields, sink: fetch }
    },
    underWay,
  }
}

export type InFlightFetches = ReturnType<typeof createInFlightFetches>

/** Only the answer to a GET can be kept and shared. It is asked for whole, also where the caller wants a part. */
function isWhole({ request }: CacheRead): boolean {
  return request.method === 'GET'
}
