// What a filter gives on: held until it is complete, so that an answer that turns out to be unreadable can still be refused
// properly; one that grows large is given on as it comes. Used by list.ts.

import type { AnswerHead, AnswerTaker } from '../cache/answer.ts'

/** Bytes up to which nothing is given on before the end. */
const maxHeldBytes = 512 * 1024

export class Output {
  readonly #taker: AnswerTaker
  readonly #head: Omit<AnswerHead, 'length'>
  #held: Buffer[] = []
  #heldBytes = 0
  #begun = false
  /** False: the taker asked for a pause. */
  hasRoom = true

  constructor(taker: AnswerTaker, head: Omit<AnswerHead, 'length'>) {
    this.#taker = taker
    this.#head = head
  }

  write(bytes: Buffer): void {
    if (this.#begun) {
      this.hasRoom = this.#taker.data(bytes)
      return
    }
    this.#held.push(bytes)
    this.#heldBytes += bytes.length
    if (this.#heldBytes <= maxHeldBytes) return
    this.#begun = true
    this.#taker.head({ ...this.#head, length: null })
    for (const held of this.#held) this.hasRoom = this.#taker.data(held)
    this.#held = []
  }

  end(last: Buffer): void {
    if (this.#begun) {
      this.#taker.end(last)
      return
    }
    const whole = Buffer.concat([...this.#held, last])
    this.#taker.head({ ...this.#head, length: whole.length })
    this.#taker.end(whole)
  }
}
