// A second value of a key while it is rotated: held back at first, then used by a share of the requests.

import type { Secret } from '../secret.ts'

export class KeyTrial {
  readonly secret: Secret
  /** The version that it will be when all requests use it. */
  readonly version: number
  #every: number | null = null
  #opened = 0
  /** Requests with it that Devin has answered, and not with 401. */
  answered = 0
  isRejected = false

  constructor(secret: Secret, version: number) {
    this.secret = secret
    this.version = version
  }

  /** From now on one in so many requests uses it. */
  share(every: number): void {
    this.#every = every
  }

  /** Whether any request has asked for the key since the share began. */
  get isAskedFor(): boolean {
    return this.#opened > 0
  }

  /** To be asked once for each request: whether this one uses it. */
  isTurn(): boolean {
    if (this.#every === null || this.isRejected) return false
    this.#opened += 1
    return this.#opened % this.#every === 0
  }
}
