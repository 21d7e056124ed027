// What the cache is asked and what it gives back. Types only; the cache knows nothing of tokens, policies or sockets.

import type { ResponseSink } from './response-stream.ts'

export type CacheRule =
  | { readonly kind: 'never' }
  /**
   * The operation's class decides; the upstream's Cache-Control and Vary can shorten or forbid. `alwaysCollapsed`: identical
   * concurrent reads share one upstream call also where `no-store` or `private` says that its answer must not be stored.
   */
  | { readonly kind: 'class'; readonly ttlMs: number; readonly alwaysCollapsed: boolean }
  /** The upstream's fields alone decide (RFC 9111); `heuristics` allows section 4.2.2 where they say nothing. */
  | { readonly kind: 'rfc9111'; readonly heuristics: boolean }

export interface CacheRequest {
  /** Id of the operation; statistics are kept by it. */
  readonly operation: string
  /**
   * What the answer depends on besides the request: credential handle and digest of any response filter. Two requests
   * share an entry or an upstream call only when their partitions are equal, so what RFC 9111 section 3.5 keeps from others
   * with a credential is kept from them.
   */
  readonly partition: string
  readonly method: string
  /** Path and query exactly as they are sent to the upstream. */
  readonly target: string
  /** Everything the caller sent that may go upstream, plus Accept-Encoding and Range: flat, names in lower case. */
  readonly fields: readonly string[]
  readonly rule: CacheRule
  /**
   * Of a read: what its answer is about, so that it can be dropped by any of these names. Of a write: what it makes stale.
   * Must not begin with `/`: paths are names of their own, and a write always drops its own path.
   */
  readonly tags: readonly string[]
  /** Shortens the lifetime of stored answers for this request; 0 turns the cache off for it, null leaves them as they are. */
  readonly atMostMs: number | null
  /** It asks for one thing, which may be absent: a 404 or 410 is an answer like a 200. */
  readonly mayBeAbsent: boolean
}

export interface CacheOutcome {
  /**
   * `hit`: a stored fresh answer. `stale`: a stored one past its lifetime, by an exception. `validated`: a stored one that the
   * upstream confirmed. `collapsed`: the answer to another caller's identical request. `miss`: the upstream's answer to this
   * request. `bypass`: the same, and the cache had no part in it.
   */
  readonly result: 'hit' | 'stale' | 'validated' | 'collapsed' | 'miss' | 'bypass'
  /** Our member of Cache-Status (RFC 9211). It is already among the fields of `head`. */
  readonly cacheStatus: string
}

/** Takes an answer that comes through the cache. The fields of `head` hold Cache-Status, and Age where section 5.1 wants it. */
export interface CacheSink extends ResponseSink {
  /** Called once, right before `head`, or before `fail` when there is no answer at all. */
  outcome(outcome: CacheOutcome): void
}
