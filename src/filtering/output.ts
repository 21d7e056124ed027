// The output of a filter: held until complete, so that an unreadable answer can still be refused; a large one streams.

import type { ResponseHead, ResponseSink } from '../cache/response-stream.ts'
import { fieldValue } from '../http/field-list.ts'

/** Bytes up to which nothing is given on before the end. */
const maxHeldBytes = 512 * 1024

const aboutCaching = ['cache-control', 'cdn-cache-control', 'expires', 'vary']

export class Output {
  readonly #sink: ResponseSink
  #head: ResponseHead
  #held: Buffer[] = []
  #heldBytes = 0
  #begun = false
  /** False: the sink asked for a pause. */
  hasRoom = true

  constructor(sink: ResponseSink, head: ResponseHead) {
    this.#sink = sink
    this.#head = head
  }

  /** Another answer of the upstream contributes, which may forbid that the result is shared. */
  heed(head: ResponseHead): void {
    const differs = aboutCaching.some((name) => fieldValue(head.fields, name) !== fieldValue(this.#head.fields, name))
    const token = head.unshared ?? (differs ? 'partial' : null)
    if (token !== null) this.unshare(token)
  }

  unshare(token: string): void {
    this.#head = { ...this.#head, unshared: this.#head.unshared ?? token }
  }

  write(bytes: Buffer): void {
    if (this.#begun) {
      this.hasRoom = this.#sink.data(bytes)
      return
    }
    this.#held.push(bytes)
    this.#heldBytes += bytes.length
    if (this.#heldBytes <= maxHeldBytes) return
    this.#begun = true
    // What comes after the head may forbid it.
    this.unshare('too-large')
    this.#sink.head({ ...this.#head, length: null })
    for (const held of this.#held) this.hasRoom = this.#sink.data(held)
    this.#held = []
  }

  end(last: Buffer): void {
    if (this.#begun) {
      this.#sink.end(last)
      return
    }
    const whole = Buffer.concat([...this.#held, last])
    this.#sink.head({ ...this.#head, length: whole.length })
    this.#sink.end(whole)
  }
}
