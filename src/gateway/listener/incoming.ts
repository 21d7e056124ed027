// Begins new connections one a turn of the event loop, and with time between them while the loop is busy. A TLS handshake and a
// first request cost more than a request on an open connection, so a flood of connections would delay the callers who have one.

import { performance, type EventLoopUtilization, type Performance } from 'node:perf_hooks'
import type { Socket } from 'node:net'
import { startInput, stopInput } from './input-flow.ts'

/** The part of its time in which the event loop may be busy before connections have to wait. */
const mostBusy = 0.6
const lookEveryMs = 50
const longestGapMs = 8
/** Where so many wait that these gaps would add up to more, they are shorter: honest callers must not wait without end. */
const longestWaitMs = 1_000

/** Milliseconds, and how much of them the event loop was busy. */
export type LoopClock = Pick<Performance, 'now' | 'eventLoopUtilization'>

export class IncomingConnections {
  readonly #waiting = new Map<Socket, () => void>()
  /** As many have waited at once since none waited. Fewer gaps than that are before each connection. */
  #mostWaiting = 0
  #isTimed = false
  #gapMs = 0
  readonly #clock: LoopClock
  #lookedMs: number
  #lastLook: EventLoopUtilization

  constructor(clock: LoopClock = performance) {
    this.#clock = clock
    this.#lookedMs = clock.now()
    this.#lastLook = clock.eventLoopUtilization()
  }

  /** Connections that were accepted, and from which nothing is read yet. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** `begin` is called once, unless the connection is destroyed before. It must not throw. */
  add(socket: Socket, begin: () => void): void {
    stopInput(socket)
    if (this.#waiting.size === 0) this.#mostWaiting = 0
    this.#waiting.set(socket, begin)
    this.#mostWaiting = Math.max(this.#mostWaiting, this.#waiting.size)
    if (!this.#isTimed) this.#beginLater()
  }

  beginAll(): void {
    for (const socket of this.#waiting.keys()) this.#begin(socket)
  }

  #beginLater(): void {
    this.#isTimed = true
    this.#look()
    const gapMs = Math.min(this.#gapMs, longestWaitMs / this.#mostWaiting)
    // A timer takes a millisecond at least.
    if (gapMs < 1) setImmediate(this.#beginOne)
    else setTimeout(this.#beginOne, gapMs)
  }

  readonly #beginOne = (): void => {
    this.#isTimed = false
    const [socket, next] = this.#waiting.keys()
    if (socket === undefined) return
    // Before it begins: an error there does not stop the others.
    if (next !== undefined) this.#beginLater()
    this.#begin(socket)
  }

  #begin(socket: Socket): void {
    const begin = this.#waiting.get(socket)
    this.#waiting.delete(socket)
    if (socket.destroyed) return
    startInput(socket)
    begin?.()
  }

  /** The gap grows and shrinks by a millisecond a look, because each connection that begins makes the loop busier. */
  #look(): void {
    const nowMs = this.#clock.now()
    // Nobody looks while no connection comes.
    const looks = Math.floor((nowMs - this.#lookedMs) / lookEveryMs)
    if (looks === 0) return
    const look = this.#clock.eventLoopUtilization()
    const { utilization } = this.#clock.eventLoopUtilization(look, this.#lastLook)
    this.#lookedMs = nowMs
    this.#lastLook = look
    this.#gapMs = Math.max(0, Math.min(longestGapMs, this.#gapMs + (utilization > mostBusy ? 1 : -looks)))
  }
}
