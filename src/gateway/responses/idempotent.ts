// The sink of a create with an Idempotency-Key: stores the answer first, and waits for it when the caller has left.

import type { ResponseHead, ResponseSource } from '../../cache/response-stream.ts'
import type { CacheOutcome, CacheSink } from '../../cache/cache-request.ts'
import { mostKeptBytes, type KeptAnswer } from '../../idempotency/entry.ts'
import type { Claim } from '../../idempotency/idempotency-service.ts'
import { asProblem, Problem } from '../../problems.ts'
import type { RequestContext } from '../context.ts'

export class IdempotentResponse implements CacheSink {
  readonly #context: RequestContext
  readonly #claim: Claim
  readonly #next: CacheSink
  readonly #deadlineMs: number
  #flow: ResponseSource | null = null
  #timer: NodeJS.Timeout | null = null
  #head: ResponseHead | null = null
  #chunks: Buffer[] = []
  #bytes = 0
  /** The answer is too large to keep, and passes as it comes. */
  #passing = false
  #left = false

  /** `deadlineMs`: how long the upstream may take, with or without a caller. */
  constructor(context: RequestContext, claim: Claim, next: CacheSink, deadlineMs: number) {
    this.#context = context
    this.#claim = claim
    this.#next = next
    this.#deadlineMs = deadlineMs
  }

  attach(flow: ResponseSource): void {
    this.#flow = flow
    this.#timer = setTimeout(() => this.#giveUp(), this.#deadlineMs)
    this.#next.attach({ resume: () => flow.resume(), abort: () => this.#leave(flow) })
  }

  outcome(outcome: CacheOutcome): void {
    this.#next.outcome(outcome)
  }

  head(head: ResponseHead): void {
    this.#head = head
  }

  data(chunk: Buffer): boolean {
    if (this.#passing) return this.#left || this.#next.data(chunk)
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    return this.#bytes <= mostKeptBytes || this.#pass()
  }

  end(last: Buffer | null): void {
    if (last !== null) this.data(last)
    const head = this.#head
    if (head === null || (this.#left && this.#passing)) return
    if (this.#passing) {
      this.#next.end(null)
      return
    }
    const body = Buffer.concat(this.#chunks)
    this.#finish(this.#settle(head, body), () => {
      this.#next.head({ ...head, length: body.length === 0 ? head.length : body.length })
      this.#next.end(body.length === 0 ? null : body)
    })
  }

  fail(problem: Problem): void {
    const { upstreamStartedAtMs, upstreamStatus } = this.#context
    const refused = upstreamStatus !== null && isRefusal(upstreamStatus)
    const settled =
      upstreamStartedAtMs === null || refused ? this.#claim.release() : this.#claim.unclear(upstreamStatus)
    this.#finish(settled, () => this.#next.fail(problem))
  }

  /** A refusal had no effect; after a failure the outcome is unknown; everything else was done. */
  #settle(head: ResponseHead, body: Buffer | null): Promise<void> {
    const { status } = head
    if (isRefusal(status)) return this.#claim.release()
    if (status >= 500 || body === null) return this.#claim.unclear(status)
    return this.#claim.answered({ status, fields: keptFields(head.fields), body })
  }

  /** Stored first, so that a caller who has read the answer can repeat the request. */
  #finish(settled: Promise<void>, tell: () => void): void {
    this.#stopWaiting()
    settled
      .then(() => {
        if (!this.#left) tell()
      })
      .catch((error: unknown) => this.#next.fail(asProblem(error)))
  }

  /** Returns whether the caller has room for more. */
  #pass(): boolean {
    const head = this.#head
    if (head === null) return true
    this.#passing = true
    this.#stopWaiting()
    void this.#settle(head, null)
    if (this.#left) {
      this.#flow?.abort()
      return true
    }
    this.#next.head(head)
    const room = this.#chunks.map((chunk) => this.#next.data(chunk)).at(-1) ?? true
    this.#chunks = []
    return room
  }

  /** The call continues without a caller, unless it has not begun or its answer cannot be stored. */
  #leave(flow: ResponseSource): void {
    this.#left = true
    const unsent = this.#context.upstreamStartedAtMs === null
    if (unsent || this.#passing) flow.abort()
    if (unsent) this.#finish(this.#claim.release(), () => {})
  }

  #stopWaiting(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
  }

  #giveUp(): void {
    this.#flow?.abort()
    const advice = 'Nothing was sent: send it again.'
    this.fail(new Problem('upstream-timeout', 'The Devin API did not answer this create in time.', { advice }))
  }
}

/** Replays a stored answer, marked as a replay. */
export function answerAgain({ status, fields, body }: KeptAnswer, context: RequestContext, client: CacheSink): void {
  context.replayed = true
  const length = body.length === 0 && status === 204 ? null : body.length
  client.head({ status, fields: [...fields, 'idempotency-replayed', 'true'], length })
  client.end(body.length === 0 ? null : body)
}

function isRefusal(status: number): boolean {
  return status >= 400 && status < 500
}

/** Without fields about the first request alone: Cache-Status, and the limits of the gateway's key. */
function keptFields(fields: readonly string[]): string[] {
  const kept: string[] = []
  for (let index = 0; index < fields.length; index += 2) {
    const name = fields[index] ?? ''
    if (name !== 'cache-status' && !/^(?:x-)?ratelimit/.test(name)) kept.push(name, fields[index + 1] ?? '')
  }
  return kept
}
