// What a request gets from the cache: an answer, a lease to ask the upstream, or a place behind another caller's call.

import { Problem } from '../problems.ts'
import type { ResponseSink } from './response-stream.ts'
import type { CacheSink } from './cache-request.ts'

/** The answer: stored, stale, fetched by another caller meanwhile, or that there is none. */
export interface CacheAnswer {
  readonly kind: 'answer'
  sendTo(sink: CacheSink): void
  /** Set when the stored answer has to be fetched again in the background after it was sent; null for most. */
  readonly refresh: Refresh | null
}

/** The lease to fetch a stored answer anew, for the store alone. */
export interface Refresh {
  readonly fields: readonly string[]
  readonly sink: ResponseSink
}

/**
 * The lease to ask the upstream: nobody else asks the same meanwhile. The holder has to ask, or to call `fail` of the
 * sink with the reason; then the next waiter gets the lease.
 */
export interface FetchLease {
  readonly kind: 'fetch'
  /**
   * The fields that go upstream in place of the caller's, name and value alternating, because others may get the
   * answer or a part of it; whatever is sent besides them must not depend on the caller. Null: the answer is not
   * shared, and the request goes out as the caller sent it.
   */
  readonly fields: readonly string[] | null
  /** The sink for the upstream's answer. `again` is called when the upstream has to be asked once more. */
  sinkBehind(sink: CacheSink, again: (lease: FetchLease) => void): ResponseSink
}

export interface CacheWait {
  readonly kind: 'wait'
  /** Calls back once with the answer or the lease. To be called at once. */
  onGrant(next: (granted: CacheAnswer | FetchLease) => void): void
  /** The caller has left: the answer or the lease goes to the next waiter. */
  leave(): void
}

export type Acquired = CacheAnswer | FetchLease | CacheWait

/** Asks the upstream with these fields in place of the caller's, or (null) with the caller's own. May throw before anything is sent. */
export type AskUpstream = (fields: readonly string[] | null, sink: ResponseSink) => void

/** Follows what the cache says until the caller has its answer. Throws what `ask` throws where the cache has no part. */
export function followAcquired(first: Acquired, sink: CacheSink, ask: AskUpstream): void {
  const use = (fields: readonly string[] | null, behind: ResponseSink): void => {
    try {
      ask(fields, behind)
    } catch (error) {
      if (fields === null) throw error
      behind.fail(error instanceof Problem ? error : new Problem('internal', 'The request failed.', { cause: error }))
    }
  }
  const take = (acquired: CacheAnswer | FetchLease): void => {
    if (acquired.kind === 'fetch') use(acquired.fields, acquired.sinkBehind(sink, take))
    else {
      acquired.sendTo(sink)
      if (acquired.refresh !== null) use(acquired.refresh.fields, acquired.refresh.sink)
    }
  }
  if (first.kind === 'wait') {
    sink.attach({ resume: () => undefined, abort: () => first.leave() })
    first.onGrant(take)
  } else take(first)
}
