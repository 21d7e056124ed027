// The value of a service-user key in an object that cannot be printed, logged, serialised or sent to another origin.

import { createHmac, hkdfSync, randomBytes } from 'node:crypto'
import { inspect } from 'node:util'

/** What a service-user key looks like: `cog_` and RFC 6750 token characters, so it can never break a header field. */
const keyForm = /^cog_[A-Za-z0-9._~+/=-]+$/

/** True for text that may be a service-user key. */
export function isKeyValue(text: string): boolean {
  return keyForm.test(text)
}

const masked = '[secret]'
/** Of this process, so that marks say nothing anywhere else. */
const markKey = randomBytes(32)

/** Holds one value bound to one origin. Every way of turning it into text gives `[secret]`. */
export class Secret {
  readonly #value: string
  readonly #origin: string

  /** `origin` is the upstream's scheme, host and port; the value goes nowhere else. */
  constructor(value: string, origin: string) {
    this.#value = value
    this.#origin = origin
  }

  /** The value, for the one request that is about to be sent to `origin`. Throws for any other origin. */
  reveal(origin: string): string {
    if (origin !== this.#origin) throw new Error('a key was asked for another origin than it is bound to')
    return this.#value
  }

  /**
   * Derives 32 bytes, equal for the same value and purpose on every instance, that reveal nothing of the value (RFC
   * 5869).
   */
  derive(purpose: string): Buffer {
    return Buffer.from(hkdfSync('sha256', this.#value, '', purpose, 32))
  }

  equals(other: Secret): boolean {
    return this.#value === other.#value && this.#origin === other.#origin
  }

  /** Equal for equal secrets in this process, and reveals nothing of the value: to look for one among many. */
  mark(): string {
    return createHmac('sha256', markKey).update(`${this.#origin} ${this.#value}`).digest('base64')
  }

  toString(): string {
    return masked
  }

  toJSON(): string {
    return masked
  }

  [Symbol.toPrimitive](): string {
    return masked
  }

  [inspect.custom](): string {
    return masked
  }
}
