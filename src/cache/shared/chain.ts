// What an instance knows of the messages of its group: a hash chain over all of them. Equal heads mean that the same messages
// were applied in the same order, so an answer that is stored with the head at which it was asked for can be judged by
// everybody who has seen that head. Used by group.ts and second-level.ts.

import { hash } from 'node:crypto'

/** So many heads are remembered: what was asked for before is too old to be shared. */
const maxHeads = 4_096
/** So many names are remembered by when they were last dropped; a forgotten one counts as dropped then. */
const maxNames = 16_384

export class Chain {
  #head: string | null = null
  #place = 0
  readonly #places = new Map<string, number>()
  readonly #droppedAt = new Map<string, number>()
  /** Everything asked for before this place is out. */
  #floor = 0

  /** Digest of all messages so far; null before `start`. */
  get head(): string | null {
    return this.#head
  }

  /** Begins with a message of one's own that nobody could have known before, so that no older head can be among the next ones. */
  start(before: string, payload: string): void {
    this.clear()
    this.#append(before, payload)
    this.#floor = this.#place
  }

  /** Takes the next message. False when it does not follow on what was seen: then some are missing. */
  follow(before: string, payload: string): boolean {
    if (this.#head === null || before !== this.#head) return false
    this.#append(before, payload)
    return true
  }

  /** The message that was taken last dropped these names; null stands for everything. */
  dropped(names: readonly string[] | null): void {
    if (names === null) {
      this.#floor = this.#place
      this.#droppedAt.clear()
      return
    }
    for (const name of names) {
      this.#droppedAt.delete(name)
      this.#droppedAt.set(name, this.#place)
    }
    for (const [name, place] of this.#droppedAt) {
      if (this.#droppedAt.size <= maxNames) break
      this.#droppedAt.delete(name)
      this.#floor = Math.max(this.#floor, place)
    }
  }

  /** Whether all messages up to this head were taken. */
  knows(head: string): boolean {
    return this.#places.has(head)
  }

  /** Whether nothing under these names was dropped after this head, and the head is one that was seen here. */
  allows(head: string, names: readonly string[]): boolean {
    const place = this.#places.get(head)
    if (place === undefined || place < this.#floor) return false
    return names.every((name) => (this.#droppedAt.get(name) ?? 0) <= place)
  }

  clear(): void {
    this.#head = null
    this.#places.clear()
    this.#droppedAt.clear()
  }

  #append(before: string, payload: string): void {
    const head = hash('sha1', before + payload)
    this.#head = head
    this.#place += 1
    this.#places.set(head, this.#place)
    const [oldest] = this.#places.keys()
    if (this.#places.size > maxHeads && oldest !== undefined) this.#places.delete(oldest)
  }
}
