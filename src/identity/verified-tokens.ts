// Tokens that were verified before, so that a caller's signature is checked once and not at every request.
// Knows digests, not tokens; token-verifier.ts says how a token is verified and when everything must be forgotten.

import { hash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Principal } from './principal.ts'

export interface VerifiedTokensOptions {
  readonly maxTokens: number
  readonly now: () => number
  /** The full check of a token that is not remembered; a promise where a key has to be fetched. */
  readonly verify: (token: string) => Principal | Promise<Principal>
  /** Told how each token fared. */
  readonly onVerified: (result: 'cached' | 'verified' | 'rejected') => void
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

  /** At once, or as a promise that all share who ask meanwhile. Throws or rejects as `verify` of the options does. */
  verify(token: string): Principal | Promise<Principal> {
    const digest = hash('sha256', token, 'base64')
    const known = this.#verified.get(digest)
    if (known !== undefined) {
      // Nothing is remembered beyond `exp`: a token within the clock tolerance is verified each time.
      if (known.expiresAtMs > this.#options.now()) {
        this.#options.onVerified('cached')
        return known
      }
      this.#verified.delete(digest)
    }
    return this.#underWay.get(digest) ?? this.#verifyNew(token, digest)
  }

  /** Because a key is no longer trusted, and any of these may have been verified with it. */
  forget(): void {
    this.#generation += 1
    this.#verified.clear()
    this.#underWay.clear()
  }

  #verifyNew(token: string, digest: string): Principal | Promise<Principal> {
    const { onVerified } = this.#options
    try {
      const verified = this.#options.verify(token)
      if (verified instanceof Promise) return this.#waitFor(verified, digest)
      onVerified('verified')
      this.#verified.set(digest, verified)
      return verified
    } catch (error) {
      onVerified('rejected')
      throw error
    }
  }

  #waitFor(pending: Promise<Principal>, digest: string): Promise<Principal> {
    const { onVerified } = this.#options
    const before = this.#generation
    const shared = pending
      .then(
        (principal) => {
          onVerified('verified')
          // A key that was removed meanwhile may be the one that was used.
          if (this.#generation === before) this.#verified.set(digest, principal)
          return principal
        },
        (error: unknown) => {
          onVerified('rejected')
          throw error
        },
      )
      .finally(() => this.#underWay.delete(digest))
    this.#underWay.set(digest, shared)
    return shared
  }
}
