// Tokens that were verified before, so that a caller's signature is checked once and not at every request.
// Knows digests, not tokens; token-verifier.ts says how a token is verified and when everything must be forgotten.

import { hash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Principal } from './principal.ts'

export interface VerifiedTokensOptions {
  readonly maxTokens: number
  readonly now: () => number
  /** The full check of a token that is not remembered. */
  readonly verify: (token: string) => Promise<Principal>
}

export class VerifiedTokens {
  readonly #options: VerifiedTokensOptions
  /** By digest of the whole token: a key made of a part of it would let one token pass for another (CVE-2026-35030). */
  readonly #verified: LRUCache<string, Principal>
  readonly #underWay = new Map<string, Promise<Principal>>()
  /** Counts how often everything was forgotten. */
  #generation = 0

  constructor(options: VerifiedTokensOptions) {
    this.#options = options
    this.#verified = new LRUCache({ max: options.maxTokens })
  }

  /** At once when the token is remembered, else as a promise that all share who ask meanwhile. */
  verify(token: string): Principal | Promise<Principal> {
    const digest = hash('sha256', token, 'base64')
    const known = this.#verified.get(digest)
    if (known !== undefined) {
      // Nothing is remembered beyond `exp`: a token within the clock tolerance is verified each time.
      if (known.expiresAtMs > this.#options.now()) return known
      this.#verified.delete(digest)
    }
    const shared = this.#underWay.get(digest)
    if (shared !== undefined) return shared
    const pending = this.#verifyNew(token, digest).finally(() => this.#underWay.delete(digest))
    this.#underWay.set(digest, pending)
    return pending
  }

  /** Because a key is no longer trusted, and any of these may have been verified with it. */
  forget(): void {
    this.#generation += 1
    this.#verified.clear()
    this.#underWay.clear()
  }

  async #verifyNew(token: string, digest: string): Promise<Principal> {
    const before = this.#generation
    const principal = await this.#options.verify(token)
    // A key that was removed meanwhile may be the one that was used.
    if (this.#generation === before) this.#verified.set(digest, principal)
    return principal
  }
}
