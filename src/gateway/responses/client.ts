// The last sink of every answer: writes it to the caller's response, in one write where it comes in one piece.

import type { ServerResponse } from 'node:http'
import type { ResponseHead, ResponseSource } from '../../cache/response-stream.ts'
import type { CacheOutcome, CacheSink } from '../../cache/cache-request.ts'
import type { Problem } from '../../problems.ts'
import { isHttp2, setHead } from '../listener/http-versions.ts'
import type { RequestContext } from '../context.ts'
import { scheduleWrite } from '../event-loop-batch.ts'
import { LongPieces, mostAtOnce } from '../long-pieces.ts'
import type { StreamTurns } from '../stream-turns.ts'
import { answerFailure } from './own-answer.ts'

/** How long the answer to a write is waited for whose caller has left. */
export const abandonedMs = 10_000

/** Text is encoded on the stack up to 16 KiB (libuv's stream base in Node), head included. */
const oneWriteBytes = 12 * 1024

export interface ClientSettings {
  readonly turns: StreamTurns
}

export class ClientResponseWriter implements CacheSink {
  readonly #context: RequestContext
  readonly #response: ServerResponse
  readonly #turns: StreamTurns
  #flow: ResponseSource | null = null
  /** Null before a large piece came. */
  #pieces: LongPieces | null = null
  #begun = false
  /** Data was written in this batch and not flushed yet. */
  #gathering = false

  constructor(context: RequestContext, { turns }: ClientSettings) {
    this.#context = context
    this.#response = context.response
    this.#turns = turns
    context.whenClosed(() => {
      this.#pieces?.drop()
      // Also after an answer of the gateway: the upstream may still process a request that was refused half way.
      const flow = this.#flow
      if (flow !== null) this.#letGo(flow)
    })
  }

  /** Without a caller a read is useless. A write that was sent may have an effect: its answer is awaited for the record. */
  #letGo(flow: ResponseSource): void {
    const context = this.#context
    if (context.isRead || context.isComplete || context.upstreamStartedAtMs === null) {
      flow.abort()
      return
    }
    flow.resume()
    const timer = setTimeout(() => flow.abort(), abandonedMs)
    context.whenEnded(() => clearTimeout(timer))
  }

  attach(flow: ResponseSource): void {
    this.#flow = flow
    if (this.#context.isClosed) this.#letGo(flow)
  }

  outcome({ result, cacheStatus }: CacheOutcome): void {
    this.#context.cache = result
    this.#context.cacheStatus = cacheStatus
  }

  head({ status, fields, length }: ResponseHead): void {
    // Refused meanwhile, in the same batch.
    if (this.#context.isAnswered) return
    const { requestId, decisionId, limitFields } = this.#context
    const all = ['x-request-id', requestId, 'gateway-decision', decisionId, ...limitFields]
    for (let index = 0; index < fields.length; index += 2) {
      const name = fields[index] ?? ''
      // Callers see the limits of their team; the upstream's RateLimit fields are about the gateway's key.
      if (limitFields.length === 0 || (name !== 'ratelimit' && name !== 'ratelimit-policy'))
        all.push(name, fields[index + 1] ?? '')
    }
    if (length !== null) all.push('content-length', String(length))
    // Held back until the first byte of the body: head and body leave in one write, and behind the records of a write.
    setHead(this.#response, status, all)
    this.#context.beginAnswer(status)
    if (length === null) this.#flushSoon()
  }

  /** Events may come late, and the caller waits for the head. */
  #flushSoon(): void {
    setImmediate(() => {
      if (this.#begun || this.#context.isClosed) return
      this.#context.partLeaves()
      this.#response.flushHeaders()
    })
  }

  data(chunk: Buffer): boolean {
    if (this.#context.isAnswered) return true
    return this.#pieces?.isEmpty === false || chunk.length > mostAtOnce ? this.#cutUp().add(chunk) : this.#write(chunk)
  }

  #write(chunk: Buffer): boolean {
    if (!this.#begun) this.#context.partLeaves()
    this.#begun = true
    this.#context.bytesOut += chunk.length
    this.#gather()
    const room = this.#response.write(chunk)
    if (!room)
      this.#response.once('drain', () => (this.#pieces === null ? this.#flow?.resume() : this.#pieces.release()))
    return room
  }

  end(last: Buffer | null): void {
    if (this.#context.isAnswered) return
    const isLong = last !== null && last.length > mostAtOnce && this.#context.method !== 'HEAD'
    if (this.#pieces?.isEmpty === false || isLong) {
      const pieces = this.#cutUp()
      if (last !== null) pieces.add(last)
      pieces.end()
    } else this.#end(last)
  }

  #cutUp(): LongPieces {
    const team = this.#context.evaluation?.decision.team?.id ?? ''
    return (this.#pieces ??= new LongPieces(this.#turns, team, {
      write: (piece) => this.#write(piece),
      end: (last) => this.#end(last),
      drained: () => this.#flow?.resume(),
    }))
  }

  #end(last: Buffer | null): void {
    const isWhole = !this.#begun
    this.#begun = true
    const body = this.#context.method === 'HEAD' ? null : last
    this.#context.bytesOut += body?.length ?? 0
    this.#context.completeAnswer()
    scheduleWrite(() => {
      // As text it leaves in one string with the head and in one write, which is cheaper than writing two pieces.
      if (body !== null && isWhole && body.length <= oneWriteBytes)
        this.#response.end(body.toString('latin1'), 'latin1')
      else this.#response.end(body ?? undefined)
    })
  }

  /** Pieces of one batch leave in one write. */
  #gather(): void {
    const { socket } = this.#response
    // HTTP/2 gathers by itself, and a response that waits for the one before it has no socket yet.
    if (this.#gathering || socket === null || isHttp2(this.#response)) return
    this.#gathering = true
    // Not the response: its end loses what it holds back of a chunked body (Node 24).
    socket.cork()
    scheduleWrite(() => {
      this.#gathering = false
      // When the answer ends in this batch, the end flushes the pieces.
      if (!this.#context.isAnswered) socket.uncork()
    })
  }

  fail(problem: Problem): void {
    answerFailure(this.#context, problem)
  }
}
