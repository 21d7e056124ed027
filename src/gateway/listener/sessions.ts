// Closes HTTP/2 sessions that only hold a connection: no request comes, a head does not complete, or control frames flood it.
// HTTP/1.1 connections have Node's own deadlines. A session with a request in flight is never closed for its age.

import { constants, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import { InFlightList } from '../../in-flight-list.ts'

export interface SessionOptions {
  readonly headMs: number
  /** How long a session may stay without a request after the last one. */
  readonly idleMs: number
  readonly now: () => number
  readonly onCut: (cause: SessionCut) => void
}

/** `protocol`: the library has ended it, for what HTTP/2 does not allow or for too many streams that were reset. */
export type SessionCut = 'head' | 'idle' | 'flood' | 'protocol'

/** PING and SETTINGS frames between two checks. */
const mostControlFrames = 500
/** Header and payload of a PING frame; the least of a SETTINGS frame (RFC 9113, sections 6.5 and 6.7). */
const frameBytes = { ping: 17, settings: 9 } as const

interface State {
  readonly openStreams: InFlightList<ServerHttp2Stream>
  hadStream: boolean
  /** Since when no request is under way. */
  quietSinceMs: number
  controlFrames: number
  /** Bytes received, without those of control frames. They grow without an event while a head is incomplete. */
  unexplained: number
  explained: number
  /** First and last check that found more of them, while no request was under way. */
  growsSinceMs: number
  grewAtMs: number
  closing: boolean
  /** Streams that were closed at the last check and had not ended. */
  closedStreams: Set<ServerHttp2Stream>
}

export class Sessions {
  readonly #options: SessionOptions
  readonly #states = new Map<ServerHttp2Session, State>()

  constructor(options: SessionOptions) {
    this.#options = options
  }

  add(session: ServerHttp2Session): void {
    const nowMs = this.#options.now()
    const state: State = {
      openStreams: new InFlightList(),
      hadStream: false,
      quietSinceMs: nowMs,
      controlFrames: 0,
      unexplained: 0,
      explained: 0,
      growsSinceMs: nowMs,
      grewAtMs: Number.NEGATIVE_INFINITY,
      closing: false,
      closedStreams: new Set(),
    }
    this.#states.set(session, state)
    session.once('close', () => {
      this.#states.delete(session)
      // Streams with data that nobody has read may outlive their session.
      for (const stream of state.openStreams.items()) stream.destroy()
    })
    session.on('stream', (stream: ServerHttp2Stream) => {
      const entry = state.openStreams.add(stream)
      state.hadStream = true
      stream.once('close', () => {
        state.openStreams.remove(entry)
        state.quietSinceMs = this.#options.now()
      })
    })
    session.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ERR_HTTP2_ERROR') this.#options.onCut('protocol')
    })
    session.on('ping', () => this.#control(session, state, frameBytes.ping))
    session.on('remoteSettings', () => this.#control(session, state, frameBytes.settings))
  }

  #control(session: ServerHttp2Session, state: State, bytes: number): void {
    state.explained += bytes
    state.controlFrames += 1
    if (state.controlFrames <= mostControlFrames || session.destroyed) return
    this.#options.onCut('flood')
    session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM)
  }

  /** Checks every session; called each second. */
  look(): void {
    const nowMs = this.#options.now()
    for (const [session, state] of this.#states) {
      state.controlFrames = 0
      endClosedStreams(state)
      // Destroys a session whose peer does not read the GOAWAY frame.
      if (state.closing && state.openStreams.size === 0) session.destroy()
      else if (state.openStreams.size === 0) this.#lookAtQuiet(session, state, nowMs)
    }
  }

  #lookAtQuiet(session: ServerHttp2Session, state: State, nowMs: number): void {
    const { headMs, idleMs } = this.#options
    const unexplained = (session.socket?.bytesRead ?? 0) - state.explained
    if (unexplained > state.unexplained) {
      if (nowMs - state.grewAtMs > headMs) state.growsSinceMs = nowMs
      state.grewAtMs = nowMs
    }
    state.unexplained = unexplained
    const quietMs = nowMs - state.quietSinceMs
    const growsMs = state.grewAtMs - Math.max(state.growsSinceMs, state.quietSinceMs)
    const cause =
      growsMs >= headMs || (!state.hadStream && quietMs >= headMs) ? 'head' : quietMs >= idleMs ? 'idle' : null
    if (cause === null) return
    this.#options.onCut(cause)
    state.closing = true
    session.close()
  }

  goAway(): void {
    for (const session of this.#states.keys()) session.close()
  }

  destroyIdle(): void {
    for (const [session, { openStreams }] of this.#states) if (openStreams.size === 0) session.destroy()
  }

  destroy(): void {
    for (const session of this.#states.keys()) session.destroy()
  }
}

/**
 * Node never ends a stream that its caller resets without an error while an answer waits to be sent, and such a stream keeps its
 * session, also when the connection is gone.
 */
function endClosedStreams(state: State): void {
  const before = state.closedStreams
  state.closedStreams = new Set()
  for (const stream of state.openStreams.items())
    if (before.has(stream)) stream.destroy()
    else if (stream.closed) state.closedStreams.add(stream)
}
