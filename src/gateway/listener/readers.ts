// Cuts answers that their callers do not read: each holds memory and a connection, and one of Devin's one to the upstream.

import type { RequestContext } from '../context.ts'
import { isTooSlow } from '../caller-pace.ts'
import { breakOff } from './http-versions.ts'

interface Unread {
  /** How many looks have found something that waits for the caller. */
  readonly looks: number
  /** What it had taken at the first of them. */
  readonly takenBytes: number
}

export class Readers {
  readonly #idleMs: number
  /** How often `look` is to be called. */
  readonly everyMs: number
  #unread = new Map<RequestContext, Unread>()

  /** A caller may pause for `idleMs`, and has to take the least rate over that time. */
  constructor(idleMs: number) {
    this.#idleMs = idleMs
    this.everyMs = Math.min(1_000, idleMs)
  }

  /** Takes all requests that are under way. Whatever the answer is: a page or a refusal of the gateway can stay unread as well. */
  look(contexts: Iterable<RequestContext>): void {
    const before = this.#unread
    this.#unread = new Map()
    for (const context of contexts) {
      const waitingBytes = context.isClosed ? 0 : context.response.writableLength
      if (waitingBytes === 0) continue
      const takenBytes = context.bytesOut - waitingBytes
      const since = before.get(context) ?? { looks: 0, takenBytes }
      // Looks are counted, because time says nothing while the event loop was held.
      const isOver = since.looks * this.everyMs >= this.#idleMs
      if (isOver && isTooSlow(takenBytes - since.takenBytes, this.#idleMs)) breakOff(context.response)
      else this.#unread.set(context, isOver ? { looks: 1, takenBytes } : { ...since, looks: since.looks + 1 })
    }
  }
}
