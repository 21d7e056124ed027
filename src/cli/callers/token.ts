// A token that a command is asked about: verified as the gateway does, as far as that is possible from here.

import { parseObject } from '../../json/untyped.ts'
import type { IssuerConfig } from '../../config/issuer-schema.ts'
import { principalOf } from '../../identity/claims.ts'
import type { Claims, Principal } from '../../identity/principal.ts'
import { createTokenVerifier } from '../../identity/token-verifier.ts'
import { Problem } from '../../problems.ts'

/** What became of a token. */
export interface ReadToken {
  /** Whom it names, also where it has only expired; null where nobody can be known. */
  readonly principal: Principal | null
  /** What the gateway refuses it with; null where it takes it. */
  readonly problem: Problem | null
  /** What could not be checked from here. */
  readonly note: string | null
}

const silent = { info: () => undefined, warn: () => undefined, error: () => undefined }

/** `text`: the token alone, or with `Bearer ` in front. Nothing of it is shown. */
export async function readToken(text: string, issuers: readonly IssuerConfig[], now: () => number): Promise<ReadToken> {
  const token = text
    .trim()
    .replace(/^authorization:\s*/i, '')
    .replace(/^bearer\s+/i, '')
  const claims = claimsOf(token)
  const named = issuers.filter(({ issuer }) => issuer === claims?.['iss'])
  const verifier = createTokenVerifier({
    issuers: named.length === 0 ? issuers : named,
    now,
    monotonic: () => performance.now(),
    log: silent,
  })
  try {
    if (named.length > 0) await verifier.start()
    const verified = await verifier.verify(`Bearer ${token}`)
    if (!(verified instanceof Problem)) return { principal: verified, problem: null, note: null }
    const settings = named[0]
    if (settings === undefined || claims === null) return { principal: null, problem: verified, note: null }
    if (verified.kind === 'identity-provider-unavailable') return unchecked(claims, settings, now())
    if (verified.kind !== 'token-expired') return { principal: null, problem: verified, note: null }
    return { ...unchecked(claims, settings, endOf(claims)), problem: verified, note: null }
  } finally {
    verifier.close()
  }
}

/** By the claims alone. */
function unchecked(claims: Claims, settings: IssuerConfig, atMs: number): ReadToken {
  const note = `the signature is not checked: the keys of ${settings.issuer} cannot be fetched from here`
  try {
    return { principal: principalOf(claims, settings, atMs), problem: null, note }
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    const isExpired = error.kind === 'token-expired' && atMs !== endOf(claims)
    const principal = isExpired ? unchecked(claims, settings, endOf(claims)).principal : null
    return { principal, problem: error, note }
  }
}

/** A moment at which the token has not ended. */
function endOf(claims: Claims): number {
  const { exp } = claims
  return typeof exp === 'number' ? Math.floor(exp * 1000) - 1 : 0
}

function claimsOf(token: string): Claims | null {
  return parseObject(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
}
