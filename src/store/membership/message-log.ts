// The messages of all members, and a hash chain over them. Others may write into the store, so every message is validated
// here and by its receiver. Equal heads mean that the same messages were applied in the same order, so a renewal that names
// a known head proves that nothing before it was missed.

import { hash } from 'node:crypto'

/** Heads that are remembered. A renewal that names an older one counts as missed. */
const maxHeads = 4_096

export class MessageLog {
  #head: string | null = null
  readonly #heads = new Set<string>()

  /** Digest of all messages so far; null before `start`. */
  get head(): string | null {
    return this.#head
  }

  /** Begins with a message of one's own that nobody could have known before, so that no older head can be among the next ones. */
  start(before: string, payload: string): void {
    this.clear()
    this.#append(before, payload)
  }

  /** Takes the next message. False when it does not follow on what was seen: then some are missing. */
  follow(before: string, payload: string): boolean {
    if (this.#head === null || before !== this.#head) return false
    this.#append(before, payload)
    return true
  }

  /** Whether all messages up to this head were taken. */
  knows(head: string): boolean {
    return this.#heads.has(head)
  }

  clear(): void {
    this.#head = null
    this.#heads.clear()
  }

  #append(before: string, payload: string): void {
    const head = hash('sha1', before + payload)
    this.#head = head
    this.#heads.add(head)
    const [oldest] = this.#heads
    if (this.#heads.size > maxHeads && oldest !== undefined) this.#heads.delete(oldest)
  }
}

/** One message: the head of the chain before it, and its payload as it was sent and as it reads. Null for what is none. */
export function readMessage(text: string) {
  const [, before = '', payload = ''] = /^([0-9a-f]{40}) (\{.*\})$/s.exec(text) ?? []
  try {
    // The pattern lets only objects pass.
    return payload === '' ? null : { before, payload, body: JSON.parse(payload) as Readonly<Record<string, unknown>> }
  } catch {
    return null
  }
}

/** The names in a field of a message; none when it is no list of texts. */
export function namesIn(value: unknown): readonly string[] | null {
  return Array.isArray(value) && value.every((each) => typeof each === 'string') ? value : null
}
