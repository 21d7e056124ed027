// What the operator says about one identity provider, as the parts of identity/ read it. Plain data, already validated.

/** One trusted issuer. */
export interface IssuerSettings {
  /** Compared with the token's `iss` exactly, character by character. */
  readonly issuer: string
  /** At least one; a token must be meant for one of them. */
  readonly audience: readonly string[]
  /** Where the signing keys are, or null to look it up in the issuer's metadata document. */
  readonly jwksUri: string | null
  /** Allow-list of signature algorithms (RFC 7518 and RFC 8037 names); never `none`, never HS*. */
  readonly algorithms: readonly string[]
  readonly clockToleranceMs: number
  /** Longest accepted `exp - iat`. */
  readonly maxLifetimeMs: number
  readonly claims: ClaimMapping
}

/** Which claim says what about the caller: dotted paths, or literal claim names that hold dots. */
export interface ClaimMapping {
  readonly subject: string
  readonly email: string
  readonly groups: string
  readonly app: string
}
