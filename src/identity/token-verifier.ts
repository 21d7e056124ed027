// A caller's token made into a principal: signature and claims checked once, remembered until the token ends.

import type { Algorithm } from '../config/values/algorithms.ts'
import { isObject } from '../json/untyped.ts'
import { principalOf } from './claims.ts'
import type { Claims, Principal } from './principal.ts'
import type { IssuerConfig } from '../config/issuer-schema.ts'
import { isSignatureAlgorithm, type SigningKey } from './signing-keys/key-set.ts'
import { Problem } from '../problems.ts'
import { rejected, TokenProblem } from './rejection.ts'
import { SigningKeys, type IdentityLog, type IssuerStatus } from './signing-keys/signing-keys.ts'
import type { KeyTimings } from './signing-keys/timings.ts'
import { isSignedBy } from './signature.ts'
import { isCanonicalJwt, isEncryptedJwt } from './token-form.ts'
import { unverifiedToken } from './unverified-token.ts'
import { VerifiedTokens, type Verification } from './verified-tokens.ts'

export interface TokenVerifierOptions {
  /** At least one, each issuer once. */
  readonly issuers: readonly IssuerConfig[]
  /** Milliseconds since the epoch; times in tokens are compared with it. */
  readonly now: () => number
  /** Monotonic clock, milliseconds, for ages and waits. */
  readonly monotonic: () => number
  readonly log: IdentityLog
  /** Verified tokens that are remembered, the least recently used forgotten first. */
  readonly maxCachedTokens?: number
  readonly timings?: Partial<KeyTimings>
  /** Called with the outcome of each token, for metrics. */
  readonly onVerified?: (result: 'cached' | 'verified' | 'rejected') => void
}

export type TokenVerifier = ReturnType<typeof createTokenVerifier>

interface Issuer {
  readonly settings: IssuerConfig
  readonly algorithms: ReadonlySet<Algorithm>
  readonly keys: SigningKeys
}

const maxCachedTokensByDefault = 10_000

/** Throws an Error for settings that config validation must not let through: no or repeated issuers. */
export function createTokenVerifier(options: TokenVerifierOptions) {
  const { now, monotonic, log, timings = {} } = options
  const issuers = new Map<string, Issuer>()
  const tokens = new VerifiedTokens({
    maxTokens: options.maxCachedTokens ?? maxCachedTokensByDefault,
    now,
    verify: (token) => verifyToken(token, issuers, now),
    onVerified: options.onVerified ?? (() => undefined),
  })
  checkSettings(options.issuers)
  for (const settings of options.issuers) {
    const keys = new SigningKeys({
      settings,
      timings,
      now,
      monotonic,
      log,
      onKeyRemoved: () => tokens.forget(settings.issuer),
    })
    issuers.set(settings.issuer, { settings, algorithms: new Set(settings.algorithms), keys })
  }
  const all = [...issuers.values()].map(({ keys }) => keys)

  return {
    /**
     * The principal behind the value of an Authorization field: at once where it is remembered or refused by its form, else as
     * a promise. Else what `bearerToken` refuses with, `token-rejected`, `token-expired`, `identity-incomplete` or
     * `identity-provider-unavailable`.
     */
    verify: (credentials: string): Verification | Promise<Verification> => tokens.verify(credentials),
    /** Whether the value of an Authorization field was verified before and still counts. */
    isRemembered: (credentials: string): boolean => tokens.isRemembered(credentials),
    /** Whether a caller like this has been seen lately. */
    hasSeen: (isSuch: (principal: Principal) => boolean): boolean => tokens.some(isSuch),
    /** Whether the keys of every issuer are known. */
    ready: (): boolean => all.every((keys) => keys.status.keys > 0),
    status: (): readonly IssuerStatus[] => all.map((keys) => keys.status),
    /** Begins to fetch keys. Never rejects: an issuer that cannot be reached only keeps `ready()` false. */
    async start(): Promise<void> {
      await Promise.all(all.map((keys) => keys.start()))
    },
    /** Ends fetches and timers. Tokens whose key is known can still be verified, for requests that are under way. */
    close: (): void => all.forEach((keys) => keys.close()),
  }
}

function checkSettings(issuers: readonly IssuerConfig[]): void {
  if (issuers.length === 0) throw new Error('a token verifier needs at least one issuer')
  if (new Set(issuers.map(({ issuer }) => issuer)).size < issuers.length) throw new Error('an issuer is given twice')
}

/** RFC 8725: form, issuer, header, signature, then claims; nothing that the token says is used before it is checked. */
function verifyToken(
  token: string,
  issuers: ReadonlyMap<string, Issuer>,
  now: () => number,
): Verification | Promise<Verification> {
  const [encodedHeader = '', encodedPayload = ''] = token.split('.', 2)
  const claims = parsePart(encodedPayload)
  const header = parsePart(encodedHeader)
  const noteSeen = (settled: Verification): Verification => {
    if (settled instanceof TokenProblem) settled.seen = unverifiedToken(header, claims, issuers)
    return settled
  }
  const use = readForm(token, header, claims, issuers)
  if (use instanceof Problem) return noteSeen(use)
  return checkSignature(token, use).then((refusal) =>
    noteSeen(refusal ?? identityIn(use.claims, use.issuer.settings, now())),
  )
}

/** What chooses the keys to verify a token with, or why it has none. */
function readForm(
  token: string,
  header: Claims | null,
  claims: Claims | null,
  issuers: ReadonlyMap<string, Issuer>,
): KeyUse | Problem {
  if (!isCanonicalJwt(token)) return rejected(isEncryptedJwt(token) ? 'encrypted' : 'malformed')
  if (claims === null || header === null) return rejected('malformed')
  // Unverified: it chooses whose keys to try, and principalOf() checks it again once the signature has been.
  const claimedIssuer = claims['iss']
  if (claimedIssuer === undefined) return rejected('claim-missing', 'The token lacks the claim `iss`.')
  const issuer = typeof claimedIssuer === 'string' ? issuers.get(claimedIssuer) : undefined
  if (issuer === undefined) return rejected('issuer-unknown')
  return readHeader(header, claims, issuer)
}

/** Only for claims whose signature was verified. */
function identityIn(claims: Claims, settings: IssuerConfig, nowMs: number): Verification {
  try {
    return principalOf(claims, settings, nowMs)
  } catch (error) {
    if (error instanceof Problem) return error
    throw error
  }
}

/** The issuer, the header members that choose one of its keys, and what the signature has to vouch for. */
interface KeyUse {
  readonly claims: Claims
  readonly issuer: Issuer
  readonly alg: Algorithm
  readonly kid: string | null
}

/**
 * What the header may decide: the algorithm among the allowed ones, and which of the issuer's keys. Keys and key
 * addresses inside it (`jwk`, `jku`, `x5c`, `x5u`) are not looked at.
 */
function readHeader(header: Claims, claims: Claims, issuer: Issuer): KeyUse | Problem {
  const { alg, kid, crit, typ } = header
  if (typeof alg !== 'string' || !isSignatureAlgorithm(alg) || !issuer.algorithms.has(alg))
    return rejected('algorithm-not-allowed')
  // RFC 7515 section 4.1.11: an extension that is not understood makes the token invalid, and none is understood here.
  if (crit !== undefined) return rejected('critical-header')
  if (typ !== undefined && !isTokenType(typ)) return rejected('token-type')
  if (kid !== undefined && typeof kid !== 'string') return rejected('malformed')
  return { claims, issuer, alg, kid: kid ?? null }
}

/**
 * RFC 8725 section 3.11: a JWT that names a purpose (`logout+jwt`, `dpop+jwt`, `dc+sd-jwt`) serves no other. Access
 * tokens (`at+jwt`, RFC 9068) are ours, and other names without a purpose (`JWT`, `JOSE`) are common and mean nothing.
 */
function isTokenType(typ: unknown): boolean {
  if (typeof typ !== 'string') return false
  const type = typ.toLowerCase().replace(/^application\//, '')
  return type === 'at+jwt' || (!type.includes('+') && type !== 'jwe')
}

/** Null when a key has signed it. Keys that are known are tried first; the issuer is asked when none of them has. */
async function checkSignature(token: string, { alg, kid, issuer: { keys } }: KeyUse): Promise<Problem | null> {
  const known = keys.candidates(alg, kid)
  if (await isSignedByAny(token, known)) return null
  if (kid !== null && known.length > 0) {
    const asked = keys.replacementOf()
    if (asked === null) return rejected('signature-invalid')
    await asked
  } else {
    const unavailable = await keys.findUnknown(kid)
    if (unavailable !== null) return unavailable
  }
  const fresh = keys.candidates(alg, kid).filter((key) => !known.includes(key))
  if (await isSignedByAny(token, fresh)) return null
  return rejected(known.length + fresh.length === 0 ? 'key-unknown' : 'signature-invalid')
}

/** Tries one after the other: most tokens name the one key. */
function isSignedByAny(token: string, [first, ...others]: readonly SigningKey[]): Promise<boolean> {
  if (first === undefined) return Promise.resolve(false)
  const signed = isSignedBy(token, first)
  return others.length === 0 ? signed : signed.then((isSigned) => isSigned || isSignedByAny(token, others))
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Null for what is not an object in JSON. */
function parsePart(part: string): Claims | null {
  try {
    const value: unknown = JSON.parse(utf8.decode(Buffer.from(part, 'base64url')))
    return isObject(value) ? value : null
  } catch {
    return null
  }
}
