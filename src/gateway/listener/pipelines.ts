// The requests of each HTTP/1 connection in their order: one begins when the one before it is answered.
//
// Node starts every request that it has read. A pipeline of many tiny requests would run at once, before other connections; a
// create would overtake the write before it; and a request behind a response that closes the connection would run, although
// its caller never gets the answer (RFC 9112, sections 9.3.2 and 9.6).

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { RequestContext } from '../context.ts'
import { startInput, stopInput } from './input-flow.ts'
import { lingerBeforeClosing } from './linger.ts'
import { dropWhatFollows } from './metered-input.ts'

/** A request, or what the parser refused, in its place among those of its connection. */
export interface Arrival {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** Its turn has come. Makes the response emit `close` at its end. */
  begin: () => void
  /** Its turn does not come, because the connection has ended. */
  readonly leave: () => void
  /** Null before it has begun. */
  context: RequestContext | null
}

interface Pipeline {
  /** Begun, and not answered yet. */
  current: Arrival | null
  readonly waiting: Arrival[]
  /** `stopped`: not read while as many wait as may; `ending`: not read any more, since the last one closes the connection. */
  input: 'read' | 'stopped' | 'ending'
  /** How many have left before their turn. */
  left: number
  /** A request with a verified token was answered. */
  isKnown: boolean
}

export interface PipelineEvents {
  /** A connection is closed behind what waits, because more was sent ahead at once than may be. */
  readonly onCut: () => void
  /** Requests have left before their turn without a record. */
  readonly onDropped: (count: number) => void
}

/** A connection with so many requests waiting is not read until there are fewer. A caller that leaves is noticed only by reading. */
const longestPipeline = 32
/** The same before a caller has shown a verified token. */
const longestOfStranger = 8
/**
 * Node parses all it has read of a known caller, up to 64 KiB, which with the least heads is thousands of requests. Those with a token
 * are not so small. Behind so many of them no more is taken.
 */
export const mostInOneRead = 128
/** How many of a connection leave a record when it ends before their turn; what costs a few bytes must not fill a disk. */
const mostRecorded = longestPipeline
/** Requests that wait on all connections together. Beyond this, one may wait on each, and no read may bring many. */
export const mostWaiting = 10_000

export class Pipelines {
  readonly #events: PipelineEvents
  /** An entry stays as long as its connection: V8 keeps what was deleted from an old Map until the next full collection. */
  readonly #pipelines = new Map<Socket, Pipeline>()
  #waiting = 0

  constructor(events: PipelineEvents) {
    this.#events = events
  }

  /** Requests that wait behind others of their connection. They are not begun, and hold what Node has read of them. */
  get waiting(): number {
    return this.#waiting
  }

  /** Puts an arrival behind those of its connection; it begins at once when there are none. */
  enter(arrival: Arrival): void {
    const { socket } = arrival.request
    const pipeline = this.#of(socket)
    const { waiting } = pipeline
    if (pipeline.current === null) this.#begin(socket, pipeline, arrival)
    else if (socket.destroyed) this.#leave(pipeline, [arrival])
    else {
      waiting.push(arrival)
      this.#waiting += 1
      if (this.#isFull(pipeline)) this.#stop(socket, pipeline)
      const most = this.#waiting > mostWaiting ? longestPipeline : mostInOneRead
      if (waiting.length >= most && pipeline.isKnown) this.#endBehind(socket, pipeline, arrival)
    }
  }

  #isFull({ isKnown, waiting }: Pipeline): boolean {
    if (this.#waiting >= mostWaiting) return waiting.length > 0
    return waiting.length >= (isKnown ? longestPipeline : longestOfStranger)
  }

  #stop(socket: Socket, pipeline: Pipeline): void {
    if (pipeline.input === 'read') pipeline.input = 'stopped'
    stopReading(socket)
  }

  /** What was parsed is answered, and then the connection is closed; what has come behind it is not even looked at. */
  #endBehind(socket: Socket, pipeline: Pipeline, { response }: Arrival): void {
    pipeline.input = 'ending'
    this.#events.onCut()
    response.shouldKeepAlive = false
    dropWhatFollows(socket)
    // Node closes with this after the last answer.
    socket.destroySoon = () => {
      Reflect.deleteProperty(socket, 'resume')
      lingerBeforeClosing(socket)
    }
  }

  #begin(socket: Socket, pipeline: Pipeline, arrival: Arrival): void {
    pipeline.current = arrival
    arrival.response.once('close', () => {
      pipeline.current = null
      if (arrival.context !== null && arrival.context.principal !== null) pipeline.isKnown = true
      const { waiting } = pipeline
      if (waiting.length === 0) return
      // An answer that closes the connection is the last one; requests behind it must not run.
      if (!socket.writable) {
        this.#abandon(pipeline)
        return
      }
      const next = waiting.shift()
      this.#waiting -= 1
      if (pipeline.input === 'stopped' && !this.#isFull(pipeline)) {
        pipeline.input = 'read'
        readOn(socket)
      }
      if (next !== undefined) this.#begin(socket, pipeline, next)
    })
    arrival.begin()
  }

  #abandon(pipeline: Pipeline): void {
    const abandoned = pipeline.waiting.splice(0)
    this.#waiting -= abandoned.length
    this.#leave(pipeline, abandoned)
  }

  #leave(pipeline: Pipeline, arrivals: readonly Arrival[]): void {
    const recorded = arrivals.slice(0, Math.max(0, mostRecorded - pipeline.left))
    pipeline.left += arrivals.length
    for (const { leave } of recorded) leave()
    if (arrivals.length > recorded.length) this.#events.onDropped(arrivals.length - recorded.length)
  }

  #of(socket: Socket): Pipeline {
    const known = this.#pipelines.get(socket)
    if (known !== undefined) return known
    const pipeline: Pipeline = { current: null, waiting: [], input: 'read', left: 0, isKnown: false }
    this.#pipelines.set(socket, pipeline)
    socket.once('close', () => {
      this.#pipelines.delete(socket)
      this.#abandon(pipeline)
    })
    return pipeline
  }

  /** The one whose turn it is on this connection has a context. */
  began(context: RequestContext): void {
    const current = this.#pipelines.get(context.request.socket)?.current
    if (current?.response === context.response) current.context = context
  }

  /** False when as many wait on this connection as may; it is read on when there are fewer. */
  mayRead(socket: Socket): boolean {
    const pipeline = this.#pipelines.get(socket)
    if (pipeline === undefined || !this.#isFull(pipeline)) return true
    this.#stop(socket, pipeline)
    return false
  }

  /** A caller with a verified token has used this connection. */
  isKnown(socket: Socket): boolean {
    return this.#pipelines.get(socket)?.isKnown ?? false
  }

  /** What came last on this connection, unless it is answered. */
  latest(socket: Socket): Arrival | null {
    const pipeline = this.#pipelines.get(socket)
    return pipeline === undefined ? null : (pipeline.waiting.at(-1) ?? pipeline.current)
  }

  /** The last ones of all connections that are not answered yet. */
  *ends(): Iterable<Arrival> {
    for (const { current, waiting } of this.#pipelines.values()) {
      const latest = waiting.at(-1) ?? current
      if (latest !== null) yield latest
    }
  }
}

/** Node resumes a paused connection after each message it has read, so `resume` is blocked meanwhile. */
function stopReading(socket: Socket): void {
  socket.resume = () => socket
  socket.pause()
  stopInput(socket)
}

function readOn(socket: Socket): void {
  Reflect.deleteProperty(socket, 'resume')
  startInput(socket)
  socket.resume()
}
