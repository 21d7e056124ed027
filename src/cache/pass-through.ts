// The sink of an answer that is not cached. A write is broadcast to all instances before its caller gets the answer.

import { Problem } from '../problems.ts'
import type { ResponseHead, ResponseSink, ResponseSource } from './response-stream.ts'
import { settled } from './rfc9111/prepared-answer.ts'
import { isUnsent } from './failures.ts'
import type { CacheOutcome, CacheSink } from './cache-request.ts'
import type { FetchLease } from './acquired.ts'

/** Called before the caller gets the answer, which a promise holds back until it resolves; it must not reject. */
export interface PassThroughEvents {
  /** Gives the outcome; `status` is null where there was no answer. */
  outcome(status: number | null): CacheOutcome
  answered?(head: ResponseHead): Promise<unknown> | null
  /** The upstream got the request, or part of it, and there is no answer. */
  lost?(): Promise<unknown> | null
}

/** What a request acquires in which the cache has no part. */
export function passThrough(events: PassThroughEvents): FetchLease {
  return {
    kind: 'fetch',
    fields: null,
    sinkBehind: (sink) => new PassThrough(sink, events),
  }
}

class PassThrough implements ResponseSink {
  readonly #sink: CacheSink
  readonly #events: PassThroughEvents
  #source: ResponseSource = settled
  #answered = false
  /** What arrived while the answer is held back. */
  #kept: (() => boolean | void)[] | null = null

  constructor(sink: CacheSink, events: PassThroughEvents) {
    this.#sink = sink
    this.#events = events
  }

  attach(source: ResponseSource): void {
    this.#source = source
    this.#sink.attach({
      resume: () => this.#source.resume(),
      abort: () => {
        if (!this.#answered) void this.#events.lost?.()
        this.#answered = true
        this.#kept = null
        source.abort()
      },
    })
  }

  head(head: ResponseHead): void {
    this.#answered = true
    const acknowledged = this.#events.answered?.(head) ?? null
    const outcome = this.#events.outcome(head.status)
    this.#after(acknowledged, () => {
      this.#sink.outcome(outcome)
      this.#sink.head({ ...head, fields: [...head.fields, 'cache-status', outcome.cacheStatus] })
    })
  }

  data(chunk: Buffer): boolean {
    if (this.#kept === null) return this.#sink.data(chunk)
    this.#kept.push(() => this.#sink.data(chunk))
    return false
  }

  end(last: Buffer | null): void {
    this.#source = settled
    if (this.#kept === null) this.#sink.end(last)
    else this.#kept.push(() => this.#sink.end(last))
  }

  fail(problem: Problem): void {
    if (this.#answered) {
      if (this.#kept === null) this.#sink.fail(problem)
      else this.#kept.push(() => this.#sink.fail(problem))
      return
    }
    this.#answered = true
    const acknowledged = isUnsent(problem) ? null : (this.#events.lost?.() ?? null)
    const outcome = this.#events.outcome(null)
    this.#after(acknowledged, () => {
      this.#sink.outcome(outcome)
      this.#sink.fail(problem)
    })
  }

  #deliver(kept: readonly (() => boolean | void)[]): void {
    try {
      let hasRoom = true
      for (const pass of kept) if (pass() === false) hasRoom = false
      if (hasRoom) this.#source.resume()
    } catch (error) {
      // No caller is left on the stack to catch it.
      this.#source.abort()
      this.#sink.fail(new Problem('internal', 'The request failed.', { cause: error }))
    }
  }

  #after(acknowledged: Promise<unknown> | null, deliver: () => void): void {
    if (acknowledged === null) {
      deliver()
      return
    }
    const kept: (() => boolean | void)[] = [deliver]
    this.#kept = kept
    void acknowledged.then(() => {
      // Otherwise the caller has left meanwhile.
      if (this.#kept !== kept) return
      this.#kept = null
      this.#deliver(kept)
    })
  }
}
