// The output of a filter: held until complete, so that an unreadable answer can still be refused; a large one streams.

import type { ResponseHead, ResponseSink } from '../cache/response-stream.ts'
import { fieldValue } from '../http/field-list.ts'

/** Bytes up to which nothing is given on before the end. */
const maxHeldBytes = 512 * 1024

/** Of what was gathered. */
const blockBytes = 16 * 1024

const aboutCaching = ['cache-control', 'cdn-cache-control', 'expires', 'vary']

export class Output {
  readonly #sink: ResponseSink
  #head: ResponseHead
  #held: Buffer[] = []
  #heldBytes = 0
  readonly #block = Buffer.allocUnsafe(blockBytes)
  #gatheredBytes = 0
  #begun = false
  /** False: the sink asked for a pause. */
  hasRoom = true

  constructor(sink: ResponseSink, head: ResponseHead) {
    this.#sink = sink
    this.#head = head
  }

  /** Whether it streams. */
  get isBegun(): boolean {
    return this.#begun
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

  /** Small ones are gathered until there are many, or `pass`: thousands of them would cost memory and time. */
  write(bytes: Buffer): void {
    if (bytes.length > this.#block.length - this.#gatheredBytes) this.pass()
    if (bytes.length > this.#block.length) this.#give(bytes)
    else this.#gatheredBytes += bytes.copy(this.#block, this.#gatheredBytes)
  }

  /** Gives on what was gathered, or holds it. */
  pass(): void {
    if (this.#gatheredBytes === 0) return
    const gathered = Buffer.from(this.#block.subarray(0, this.#gatheredBytes))
    this.#gatheredBytes = 0
    this.#give(gathered)
  }

  end(last: Buffer): void {
    this.pass()
    if (this.#begun) {
      this.#sink.end(last)
      return
    }
    const whole = Buffer.concat([...this.#held, last])
    this.#sink.head({ ...this.#head, length: whole.length })
    this.#sink.end(whole)
  }

  #give(bytes: Buffer): void {
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
}
