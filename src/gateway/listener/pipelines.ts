// The requests of each HTTP/1 connection in their order: one begins when the one before it is answered.
//
// Node starts every request that it has read. A pipeline of many tiny requests would run at once, before other connections; a
// create would overtake the write before it; and a request behind a response that closes the connection would run, although
// its caller never gets the answer (RFC 9112, sections 9.3.2 and 9.6).

import type { Socket } from 'node:net'
import type { RequestContext } from '../context.ts'

interface Pipeline {
  latest: RequestContext | null
  length: number
}

/** A connection with more requests waiting is not read until there are fewer. A caller that leaves is noticed only by reading. */
const longestPipeline = 32

export class Pipelines {
  /** An entry stays as long as its connection: V8 keeps what was deleted from an old Map until the next full collection. */
  readonly #pipelines = new Map<Socket, Pipeline>()

  /** Puts a request behind those of its connection: returns the one before it, or null when its own turn has come. */
  enter(own: RequestContext): RequestContext | null {
    const { socket } = own.request
    const pipeline = this.#of(socket)
    const before = pipeline.latest
    pipeline.latest = own
    pipeline.length += 1
    if (pipeline.length === longestPipeline + 1) stopReading(socket)
    return before
  }

  /** The request is answered, or its caller has left, and the connection perhaps with it. */
  leave(own: RequestContext): void {
    const { socket } = own.request
    const pipeline = this.#pipelines.get(socket)
    if (pipeline === undefined) return
    if (pipeline.latest === own) pipeline.latest = null
    pipeline.length -= 1
    if (pipeline.length === longestPipeline) readOn(socket)
  }

  #of(socket: Socket): Pipeline {
    const known = this.#pipelines.get(socket)
    if (known !== undefined) return known
    const pipeline: Pipeline = { latest: null, length: 0 }
    this.#pipelines.set(socket, pipeline)
    socket.once('close', () => this.#pipelines.delete(socket))
    return pipeline
  }

  /** The request that came last on this connection, unless it is answered. */
  latest(socket: Socket): RequestContext | null {
    return this.#pipelines.get(socket)?.latest ?? null
  }

  /** The last ones of all connections that are not answered yet. */
  *ends(): Iterable<RequestContext> {
    for (const { latest } of this.#pipelines.values()) if (latest !== null) yield latest
  }
}

/** Node resumes a paused connection after each message it has read, so `resume` is blocked meanwhile. */
function stopReading(socket: Socket): void {
  socket.resume = () => socket
  socket.pause()
}

function readOn(socket: Socket): void {
  Reflect.deleteProperty(socket, 'resume')
  socket.resume()
}
