// Collects a body in memory, which is counted as bytes arrive: a small one, to send it in one write, or a judged one.

import type { IncomingMessage } from 'node:http'
import { Problem } from '../../problems.ts'
import { isTooSlow, leastRate } from '../caller-pace.ts'
import { wasCutOff } from '../listener/http-versions.ts'
import type { RequestContext } from '../context.ts'
import type { BodyMemory } from './memory.ts'
import { dropPieces, Pieces, tooManyPieces } from './pieces.ts'

export interface BodiesOptions {
  readonly memory: BodyMemory
  /** Largest body that is read as a whole. */
  readonly maxJudgedBytes: number
  /** A body may take so long; longer only while it keeps the least rate. */
  readonly bodyMs: number
  readonly monotonic: () => number
  /** Bodies that were not sent are looked at after their exchange. */
  readonly isReadLater: boolean
}

/** Bodies up to this many bytes are collected before they are sent: one write instead of a stream of them. */
export const smallBodyBytes = 64 * 1024
const noBody = Buffer.alloc(0)

export function createBodies({ memory, maxJudgedBytes, bodyMs, monotonic, isReadLater }: BodiesOptions) {
  function collect(context: RequestContext, maxBytes: number): Buffer | Promise<Buffer> {
    const { request, response, fields } = context
    if (fields.expectsContinue) response.writeContinue()
    const team = context.decided.decision.team?.id ?? ''
    let heldBytes = 0
    let free = (): void => {}
    context.whenEnded(() => {
      memory.giveBack(team, heldBytes)
      // Before a key is opened nobody has been given the body.
      if (context.keyVersion === null && !isReadLater) free()
    })
    const hold = (bytes: number): boolean => {
      if (context.isEnded || !memory.take(team, bytes)) return false
      heldBytes += bytes
      return true
    }
    const received = (bytes: number): void => void (context.bytesIn += bytes)
    const own = (freeBody: () => void): void => void (free = freeBody)
    return collectBody(request, fields.bodyLength, maxBytes, { hold, received, own, bodyMs, monotonic })
  }

  return {
    /** The whole body, for rules that read it and for idempotency keys. Throws or rejects as `collectBody` does. */
    whole(context: RequestContext): Buffer | Promise<Buffer> {
      if (context.receivedBody !== null) return context.receivedBody
      const { bodyLength } = context.fields
      if (bodyLength !== null && bodyLength > maxJudgedBytes) throw tooLarge(maxJudgedBytes, 'bodies.max_judged_size')
      return bodyLength === 0 ? noBody : collect(context, maxJudgedBytes)
    },
    /** A small one; null for one that is better streamed. */
    small(context: RequestContext): Buffer | null | Promise<Buffer> {
      const { bodyLength } = context.fields
      if (bodyLength === 0) return noBody
      return bodyLength === null || bodyLength > smallBodyBytes ? null : collect(context, smallBodyBytes)
    },
  }
}

export type Bodies = ReturnType<typeof createBodies>

export interface CollectRules {
  /** Asks for so many bytes of memory; false when there is no room. */
  readonly hold: (bytes: number) => boolean
  /** So many bytes have come. */
  readonly received: (bytes: number) => void
  /** Gets what gives a large body's memory back; nobody may use the body after that. */
  readonly own: (free: () => void) => void
  readonly bodyMs: number
  readonly monotonic: () => number
}

/**
 * Collects a body of at most `maxBytes`; `declared` is its Content-Length, or null. At once where all of it has arrived, as a
 * small one has that came with its head. Else rejects with `body-too-large` or `overloaded` (the connection is given up, since the
 * rest is unread), or with `malformed-request` when the caller leaves half way or is too slow.
 */
export function collectBody(
  request: IncomingMessage,
  declared: number | null,
  maxBytes: number,
  { hold, received, own, bodyMs, monotonic }: CollectRules,
): Buffer | Promise<Buffer> {
  // By HTTP/2 a request is complete also when it was given up.
  const isHere = request.complete && !wasCutOff(request) && request.readableLength === declared
  if (isHere && declared <= maxBytes) {
    received(declared)
    if (!hold(declared)) throw noRoom()
    // The stream gives bytes, so their count is positive.
    return request.read() as Buffer
  }
  return new Promise((resolve, reject) => {
    const body = new GrowingBody(declared, maxBytes, hold)
    own(() => body.free())
    const pieces = new Pieces(request, monotonic, () => void (isGiven || request.resume()))
    const startedAtMs = monotonic()
    let timer = setTimeout(check, bodyMs)
    let isGiven = false
    function check(): void {
      const elapsedMs = monotonic() - startedAtMs
      if (isTooSlow(body.size, elapsedMs)) give(tooSlow())
      else timer = setTimeout(check, bodyMs / 6)
    }
    function give(outcome: Buffer | Problem): void {
      if (isGiven) return
      isGiven = true
      clearTimeout(timer)
      request.off('data', take)
      if (outcome instanceof Problem) {
        request.pause()
        body.free()
        reject(outcome)
      } else resolve(outcome)
    }
    function take(chunk: Buffer): void {
      received(chunk.length)
      if (!pieces.add(chunk.length)) {
        give(tooManyPieces())
        dropPieces(request)
      } else if (body.size + chunk.length > maxBytes) give(tooLarge(maxBytes, 'bodies.max_judged_size'))
      else if (!body.add(chunk)) give(noRoom())
    }
    request.on('data', take)
    request.on('end', () => {
      if (wasCutOff(request) || (declared !== null && body.size !== declared)) give(incomplete())
      else give(body.bytes())
    })
    request.on('error', () => give(incomplete()))
    request.on('close', () => give(incomplete()))
  })
}

/**
 * The bytes that have arrived, in one piece: many small ones would take far more memory than they hold. What is outgrown
 * is given back at once: a collection comes late, because V8 sees little of this memory.
 */
class GrowingBody {
  readonly #most: number
  readonly #hold: (bytes: number) => boolean
  #bytes: Buffer = noBody
  /** Null while the only piece is kept as it came. */
  #own: ArrayBuffer | null = null
  size = 0

  constructor(declared: number | null, maxBytes: number, hold: (bytes: number) => boolean) {
    this.#most = declared ?? maxBytes
    this.#hold = hold
  }

  /** False when there is no room for it. */
  add(chunk: Buffer): boolean {
    const needed = this.size + chunk.length
    if (needed > this.#bytes.length && !this.#grow(needed)) return false
    if (this.size > 0) chunk.copy(this.#bytes, this.size)
    else this.#bytes = chunk
    this.size = needed
    return true
  }

  #grow(needed: number): boolean {
    const held = this.#bytes
    const capacity = this.size === 0 ? needed : Math.max(needed, Math.min(this.#most, 2 * held.length))
    if (!this.#hold(capacity - held.length)) return false
    if (this.size === 0) return true
    const larger = this.#own?.transfer(capacity) ?? new ArrayBuffer(capacity)
    this.#bytes = Buffer.from(larger)
    if (this.#own === null) held.copy(this.#bytes)
    this.#own = larger
    return true
  }

  free(): void {
    this.#own?.transfer(0)
    this.#own = null
  }

  bytes(): Buffer {
    return this.#bytes.subarray(0, this.size)
  }
}

function incomplete(): Problem {
  return new Problem('malformed-request', 'The body ended before it was complete. Send the request again.', {
    reason: 'body-incomplete',
  })
}

/** The refusal of a body above the limit. The rest of it stays unread, so the connection cannot be used again. */
export function tooLarge(maxBytes: number, setting: 'bodies.max_size' | 'bodies.max_judged_size'): Problem {
  const which = setting === 'bodies.max_size' ? 'The body' : 'The body, which the gateway has to read as a whole,'
  return new Problem(
    'body-too-large',
    `${which} is larger than ${maxBytes} bytes, the most that is accepted here. Send less, or ask the operator to raise ${setting}.`,
    {
      fields: { connection: 'close' },
    },
  )
}

export function tooSlow(): Problem {
  return new Problem(
    'malformed-request',
    `The body did not arrive in time, or came at less than ${leastRate} bytes a second. Send it again, whole and without pauses.`,
    { reason: 'request-incomplete', fields: { connection: 'close' } },
  )
}

export function noRoom(): Problem {
  return new Problem(
    'overloaded',
    'The gateway holds as many bytes of request bodies as it may, or your team holds its share of them. Nothing was sent. Try again after Retry-After.',
    { reason: 'body-memory', fields: { 'retry-after': '1', connection: 'close' } },
  )
}
