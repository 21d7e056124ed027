// A cache with a clock that tests turn, callers that remember what they got, and an upstream whose every call a test answers.

import type { ResponseSink, ResponseSource } from '../../src/cache/response-stream.ts'
import type { CacheOutcome, CacheRule, CacheSink, CacheRequest } from '../../src/cache/cache-request.ts'
import { followAcquired, type AskUpstream } from '../../src/cache/acquired.ts'
import { createResponseCache, type ResponseCache, type ResponseCacheOptions } from '../../src/cache/response-cache.ts'
import { Problem } from '../../src/problems.ts'

export const startMs = Date.UTC(2026, 10, 24, 12)
export const rfc9111: CacheRule = { kind: 'rfc9111', heuristics: false }
export const classRule = { kind: 'class', ttlMs: 30_000, alwaysCollapsed: false } as const

/** One call that the upstream got. */
export class Call {
  /** The fields that it got in place of the caller's; null for the caller's own. */
  readonly shared: readonly string[] | null
  readonly sink: ResponseSink
  aborted = false
  resumed = 0

  constructor(shared: readonly string[] | null, sink: ResponseSink) {
    this.shared = shared
    this.sink = sink
    sink.attach({ abort: () => (this.aborted = true), resume: () => (this.resumed += 1) })
  }

  /** The conditional fields, by name. */
  get conditions(): Record<string, string> {
    return Object.fromEntries(Object.entries(pairs(this.shared ?? [])).filter(([name]) => name.startsWith('if-')))
  }

  head(status: number, fields: Record<string, string | string[]> = {}, length: number | null = null): void {
    this.sink.head({ status, fields: flat(fields), length })
  }

  answer(status: number, fields: Record<string, string | string[]> = {}, body: string | Buffer = 'body'): void {
    const bytes = Buffer.from(body)
    const isEmpty = status === 304 || status === 204
    this.head(status, fields, isEmpty ? null : bytes.length)
    this.sink.end(isEmpty ? null : bytes)
  }

  fail(kind: Problem['kind'] = 'upstream-unreachable'): void {
    this.sink.fail(new Problem(kind, 'failed'))
  }
}

/** One caller, and what it got. */
export class Caller implements CacheSink {
  source: ResponseSource | null = null
  status: number | null = null
  fields: Record<string, string> = {}
  length: number | null = null
  chunks: Buffer[] = []
  ended = false
  problem: Problem | null = null
  outcomes: CacheOutcome[] = []
  /** Until it is set, `data` says that there is no room. */
  hasRoom = true

  attach(source: ResponseSource): void {
    this.source = source
  }

  outcome(outcome: CacheOutcome): void {
    this.outcomes.push(outcome)
  }

  head({ status, fields, length }: Parameters<CacheSink['head']>[0]): void {
    if (this.status !== null) throw new Error('two heads')
    this.status = status
    this.fields = pairs(fields)
    this.length = length
  }

  data(chunk: Buffer): boolean {
    if (this.status === null || this.ended) throw new Error('data out of place')
    this.chunks.push(chunk)
    return this.hasRoom
  }

  end(last: Buffer | null): void {
    if (this.status === null || this.ended || this.problem !== null) throw new Error('end out of place')
    if (last !== null) this.chunks.push(last)
    this.ended = true
  }

  fail(problem: Problem): void {
    if (this.ended || this.problem !== null) throw new Error('fail out of place')
    this.problem = problem
  }

  get body(): string {
    return Buffer.concat(this.chunks).toString()
  }

  /** Result, as the log would show it. */
  get result(): CacheOutcome['result'] | undefined {
    return this.outcomes[0]?.result
  }

  get isWaiting(): boolean {
    return this.status === null && this.problem === null
  }
}

export interface Ask extends Partial<Omit<CacheRequest, 'fields'>> {
  readonly fields?: Record<string, string | string[]>
}

/** Everything a test of the cache needs. */
export class Setting {
  nowMs = startMs
  /** How far the wall clock was set, from where it was at the start. */
  steppedMs = 0
  readonly calls: Call[] = []
  readonly cache: ResponseCache
  /** What the next call of the upstream throws before anything is sent. */
  throws: Error | null = null
  readonly #rule: CacheRule

  constructor(rule: CacheRule = rfc9111, options: Partial<ResponseCacheOptions> = {}) {
    this.#rule = rule
    this.cache = createResponseCache({
      now: () => this.nowMs + this.steppedMs,
      // Of another beginning than the wall clock.
      monotonic: () => this.nowMs - startMs,
      maxBytes: 1_000_000,
      maxEntryBytes: 10_000,
      upstreamBase: 'https://api.example',
      ...options,
    })
  }

  readonly fetch: AskUpstream = (shared, sink) => {
    if (this.throws !== null) throw this.throws
    this.calls.push(new Call(shared, sink))
  }

  /** Asks as a new caller. */
  ask(target = '/things', ask: Ask = {}): Caller {
    const caller = new Caller()
    followAcquired(this.cache.acquire(this.request(target, ask)), caller, this.fetch)
    return caller
  }

  request(target: string, { fields = {}, ...others }: Ask = {}): CacheRequest {
    return {
      operation: 'things.list',
      partition: 'key-1',
      method: 'GET',
      target,
      fields: flat(fields),
      rule: this.#rule,
      tags: ['things.list', 'org-1'],
      atMostMs: null,
      mayBeAbsent: true,
      ...others,
    }
  }

  /** The upstream's newest call. */
  get call(): Call {
    const call = this.calls.at(-1)
    if (call === undefined) throw new Error('the upstream was not asked')
    return call
  }

  /** Asks and answers, as one step of preparation. */
  store(fields: Record<string, string | string[]> = {}, body: string | Buffer = 'body', status = 200): Caller {
    const caller = this.ask()
    this.call.answer(status, fields, body)
    return caller
  }

  pass(seconds: number): void {
    this.nowMs += seconds * 1000
  }
}

export function flat(fields: Record<string, string | string[]>): string[] {
  return Object.entries(fields).flatMap(([name, value]) => [value].flat().flatMap((line) => [name, line]))
}

function pairs(fields: readonly string[]): Record<string, string> {
  const read: Record<string, string> = {}
  for (let index = 0; index < fields.length; index += 2) {
    const [name = '', value = ''] = fields.slice(index, index + 2)
    read[name] = read[name] === undefined ? value : `${read[name]}, ${value}`
  }
  return read
}

export function httpDate(ms: number): string {
  return new Date(ms).toUTCString()
}
