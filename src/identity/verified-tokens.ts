// Tokens that were verified before, so that a caller's signature is checked once and not at every request. Knows digests,
// not tokens.

import { hash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { Problem } from '../problems.ts'
import type { Principal } from './principal.ts'
import { bearerToken } from './token-form.ts'

/** Who the caller is, or why its token does not say so. */
export type Verification = Principal | Problem

export interface VerifiedTokensOptions {
  readonly maxTokens: number
  readonly now: () => number
  /** The full check of a token that is not remembered; a promise once its form is right. */
  readonly verify: (token: string) => Verification | Promise<Verification>
  /** Called with the outcome of each token. */
  readonly onVerified: (result: 'cached' | 'verified' | 'rejected') => void
}

export class VerifiedTokens {
  readonly #options: VerifiedTokensOptions
  /** By digest of the whole field: a key made of a part of it would let one token pass for another (CVE-2026-35030). */
  readonly #verified: LRUCache<string, Principal>
  readonly #underWay = new Map<string, Promise<Verification>>()
  /** Counts how often tokens were forgotten, and says for each issuer when that was last. */
  #generation = 0
  readonly #forgottenIn = new Map<string, number>()

  constructor(options: VerifiedTokensOptions) {
    this.#options = options
    this.#verified = new LRUCache({ max: options.maxTokens })
  }

  /** At once, or as a promise that all share who ask meanwhile. A refusal is returned and not thrown: anybody can provoke one. */
  verify(credentials: string): Verification | Promise<Verification> {
    const digest = digestOf(credentials)
    const known = this.#verified.get(digest)
    if (known !== undefined) {
      // Nothing is remembered beyond `exp`: a token within the clock tolerance is verified each time.
      if (known.expiresAtMs > this.#options.now()) {
        this.#options.onVerified('cached')
        return known
      }
      this.#verified.delete(digest)
    }
    return this.#underWay.get(digest) ?? this.#verifyNew(credentials, digest)
  }

  /** Whether the token is remembered and still counts. Does not check one that is not. */
  isRemembered(credentials: string): boolean {
    const known = this.#verified.peek(digestOf(credentials))
    return known !== undefined && known.expiresAtMs > this.#options.now()
  }

  /** Whether a token of such a caller is remembered. */
  some(isSuch: (principal: Principal) => boolean): boolean {
    return [...this.#verified.values()].some(isSuch)
  }

  /** Because a key of the issuer is no longer trusted, and any of its tokens may have been verified with it. */
  forget(issuer: string): void {
    this.#generation += 1
    this.#forgottenIn.set(issuer, this.#generation)
    for (const [digest, principal] of this.#verified.entries()) {
      if (principal.issuer === issuer) this.#verified.delete(digest)
    }
    // Later requests must not share a verification that may have used that key.
    this.#underWay.clear()
  }

  #verifyNew(credentials: string, digest: string): Verification | Promise<Verification> {
    const token = bearerToken(credentials)
    if (token instanceof Problem) return token
    const verified = this.#options.verify(token)
    return verified instanceof Promise
      ? this.#waitFor(verified, digest)
      : this.#note(verified, digest, this.#generation)
  }

  #waitFor(pending: Promise<Verification>, digest: string): Promise<Verification> {
    const before = this.#generation
    const over = (): void => {
      // Another one may have begun since.
      if (this.#underWay.get(digest) === shared) this.#underWay.delete(digest)
    }
    const shared: Promise<Verification> = pending.then(
      (verified) => {
        over()
        return this.#note(verified, digest, before)
      },
      (error: unknown) => {
        over()
        throw error
      },
    )
    this.#underWay.set(digest, shared)
    return shared
  }

  /** `generation`: when the verification began. A key that was removed meanwhile may be the one that was used. */
  #note(verified: Verification, digest: string, generation: number): Verification {
    const isRefused = verified instanceof Problem
    this.#options.onVerified(isRefused ? 'rejected' : 'verified')
    if (!isRefused && (this.#forgottenIn.get(verified.issuer) ?? 0) <= generation) this.#verified.set(digest, verified)
    return verified
  }
}

function digestOf(credentials: string): string {
  return hash('sha256', credentials, 'base64')
}
