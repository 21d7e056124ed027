// Begins new connections one a turn of the event loop, and with time between them while the loop is busy. A TLS handshake and a
// first request cost more than a request on an open connection, so a flood of connections would delay the callers who have one.

import { performance } from 'node:perf_hooks'
import type { Socket } from 'node:net'
import { startInput, stopInput } from './input-flow.ts'

/** The part of its time in which the event loop may be busy before connections have to wait. */
const mostBusy = 0.6
const lookEveryMs = 50
/** Also a busy loop begins 125 connections a second. */
const longestGapMs = 8

export class IncomingConnections {
  readonly #waiting = new Map<Socket, () => void>()
  #isTimed = false
  #gapMs = 0
  #lookedMs = performance.now()
  #lastLook = performance.eventLoopUtilization()

  /** Connections that were accepted, and from which nothing is read yet. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** `begin` is called once, unless the connection is destroyed before. It must not throw. */
  add(socket: Socket, begin: () => void): void {
    stopInput(socket)
    this.#waiting.set(socket, begin)
    if (!this.#isTimed) this.#beginLater()
  }

  beginAll(): void {
    for (const socket of this.#waiting.keys()) this.#begin(socket)
  }

  destroyAll(): void {
    for (const socket of this.#waiting.keys()) socket.destroy()
    this.#waiting.clear()
  }

  #beginLater(): void {
    this.#isTimed = true
    this.#look()
    if (this.#gapMs > 0) setTimeout(this.#beginOne, this.#gapMs)
    else setImmediate(this.#beginOne)
  }

  readonly #beginOne = (): void => {
    this.#isTimed = false
    const [socket] = this.#waiting.keys()
    if (socket === undefined) return
    this.#begin(socket)
    if (this.#waiting.size > 0) this.#beginLater()
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
    const nowMs = performance.now()
    if (nowMs - this.#lookedMs < lookEveryMs) return
    const look = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(look, this.#lastLook)
    this.#lookedMs = nowMs
    this.#lastLook = look
    this.#gapMs = Math.max(0, Math.min(longestGapMs, this.#gapMs + (utilization > mostBusy ? 1 : -1)))
  }
}
