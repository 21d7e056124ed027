// Streams a body to the upstream while it arrives, on a connection that is taken when enough bytes are here.

import type { IncomingMessage } from 'node:http'
import { Transform } from 'node:stream'
import type { Problem } from '../../problems.ts'
import { noRoom, tooLarge, tooSlow } from '../bodies/collect.ts'
import type { BodyMemory } from '../bodies/memory.ts'
import { dropPieces, Pieces, tooManyPieces } from '../bodies/pieces.ts'
import { isTooSlow } from '../caller-pace.ts'
import { giveUp, wasCutOff } from '../listener/http-versions.ts'
import type { RequestContext } from '../context.ts'

export interface UploadOptions {
  readonly context: RequestContext
  readonly request: IncomingMessage
  readonly declared: number | null
  readonly maxBytes: number
  /** Holds what has arrived before a connection takes it. */
  readonly memory: BodyMemory
  readonly team: string
  /** Whether there are connections enough for a body that is sent in small parts. */
  readonly hasRoom: () => boolean
  readonly now: () => number
  /** The first part has to be here after this time, and every later stretch of it has to bring the least rate. */
  readonly timeoutMs: number
  /** Called once, when enough has arrived to take a connection. */
  readonly onReady: () => void
  /** The body is too large, or its caller too slow. */
  readonly onRefused: (problem: Problem) => void
}

/** Bytes that are here before a connection is taken; what is shorter is here as a whole. */
const enoughBytes = 64 * 1024
const gatheredBytes = 16 * 1024
/** While there is room, so many bytes are enough: a client may wait until its first part was sent. */
const firstPartBytes = 8
/** A client may take so long before the least rate is asked of it. */
const graceMs = 1_000

/** Counts the bytes, and never ends a partial body as a complete one. It handles its own errors. */
export class Upload extends Transform {
  readonly #options: UploadOptions
  #ready = false
  #settled = false
  #timer: NodeJS.Timeout
  #seenBytes = 0
  #heldBytes = 0
  readonly #sinceMs: number

  constructor(options: UploadOptions) {
    super({ readableHighWaterMark: enoughBytes, writableHighWaterMark: 16 * 1024 })
    this.#options = options
    const { request } = options
    this.#sinceMs = options.now()
    // undici listens to a body only while it sends it: one that breaks before or after that would end the process.
    this.on('error', () => {})
    this.#timer = setTimeout(() => this.#stalled(), options.timeoutMs)
    this.once('close', () => {
      clearTimeout(this.#timer)
      options.memory.giveBack(options.team, this.#heldBytes)
      this.#dropRest()
    })
    request.once('close', () => {
      if (wasCutOff(request)) this.destroy(cutOff())
    })
    this.#gather(request)
  }

  /** Small pieces that come together go on as one, because each costs more on its way than in being read. */
  #gather(request: IncomingMessage): void {
    const pieces = new Pieces(request, this.#options.now, () => void (this.writableNeedDrain || request.resume()))
    let gathered: Buffer[] = []
    let bytes = 0
    const pass = (): void => {
      if (bytes === 0 || this.destroyed) return
      const piece = gathered.length === 1 ? gathered[0] : Buffer.concat(gathered, bytes)
      gathered = []
      bytes = 0
      if (!this.write(piece)) request.pause()
    }
    const take = (chunk: Buffer): void => {
      if (!pieces.add(chunk.length)) {
        this.#refuse(tooManyPieces())
        this.destroy(cutOff())
        dropPieces(request)
        return
      }
      if (bytes === 0) setImmediate(pass)
      gathered.push(chunk)
      bytes += chunk.length
      if (bytes >= gatheredBytes) pass()
    }
    request.on('data', take)
    request.once('end', () => {
      pass()
      this.end()
    })
    this.on('drain', () => request.resume())
    this.once('close', () => request.off('data', take))
  }

  override _transform(
    chunk: Buffer,
    _encoding: BufferEncoding,
    done: (error: Error | null, chunk?: Buffer) => void,
  ): void {
    const { context, declared, maxBytes } = this.#options
    context.bytesIn += chunk.length
    if (context.bytesIn > maxBytes) {
      this.#refuse(tooLarge(maxBytes, 'bodies.max_size'))
      done(new Error('the body is larger than the limit'))
      return
    }
    if (!this.#ready && !this.#hold(chunk.length)) {
      this.#refuse(noRoom())
      done(new Error('there is no memory for the body'))
      return
    }
    done(null, chunk)
    if (context.bytesIn >= Math.min(enoughBytes, declared ?? enoughBytes) || this.#comesSteadily()) this.#flow()
  }

  override _flush(done: (error: Error | null) => void): void {
    const { request, declared, context } = this.#options
    clearTimeout(this.#timer)
    const isWhole = !wasCutOff(request) && (declared === null || context.bytesIn === declared)
    if (isWhole) this.#flow()
    done(isWhole ? null : cutOff())
  }

  /**
   * The upstream may answer before it has the whole body. The rest is read and dropped, so that the caller comes to read the answer.
   * The bounds on bodies hold for it, too: nothing else ends a connection on which a body goes on and on.
   */
  #dropRest(): void {
    const { context, request, maxBytes, timeoutMs } = this.#options
    // The answer to a refused body closes the connection.
    if (this.#settled) return
    request.resume()
    if (request.complete || request.destroyed) return
    const seenBytes = context.bytesIn
    let [bytes, checkedBytes] = [0, 0]
    const pieces = new Pieces(request, this.#options.now, () => request.resume())
    const timer = setInterval(() => {
      if (isTooSlow(bytes - checkedBytes, timeoutMs)) giveUp(request)
      checkedBytes = bytes
    }, timeoutMs)
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (!pieces.add(chunk.length) || seenBytes + bytes > maxBytes) giveUp(request)
    })
    for (const event of ['end', 'close']) request.once(event, () => clearInterval(timer))
  }

  #hold(bytes: number): boolean {
    const { memory, team } = this.#options
    if (!memory.take(team, bytes)) return false
    this.#heldBytes += bytes
    return true
  }

  #comesSteadily(): boolean {
    const { context, now, hasRoom } = this.#options
    const ratedMs = Math.max(0, now() - this.#sinceMs - graceMs)
    return !isTooSlow(context.bytesIn - firstPartBytes, ratedMs) && hasRoom()
  }

  #flow(): void {
    if (this.#ready || this.#settled) return
    this.#ready = true
    this.#watch()
    this.#options.onReady()
  }

  /** The rate is measured from here on: waiting for the upstream before is not the caller's fault. */
  #watch(): void {
    if (this.writableEnded) return
    const stretchMs = Math.max(100, this.#options.timeoutMs / 3)
    this.#seenBytes = this.#options.context.bytesIn
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      const arrived = this.#options.context.bytesIn - this.#seenBytes
      const isWaiting = this.readableLength === 0 && !this.writableEnded
      if (isWaiting && isTooSlow(arrived, stretchMs)) this.#stalled()
      else this.#watch()
    }, stretchMs)
  }

  #stalled(): void {
    this.#refuse(tooSlow())
    this.destroy(cutOff())
  }

  #refuse(problem: Problem): void {
    if (this.#settled) return
    this.#settled = true
    this.#options.onRefused(problem)
  }
}

function cutOff(): Error {
  return new Error('the caller left before the body was complete')
}
