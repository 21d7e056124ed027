// The authenticated caller, and the claims it is made from.

/** What a token says, by the names of its claims. */
export type Claims = Readonly<Record<string, unknown>>

/** The authenticated identity behind a request, made from a verified token. Immutable; shared by requests with the same token. */
export interface Principal {
  readonly subject: string
  readonly issuer: string
  readonly email: string | null
  /** Whether the issuer vouches for the address: conditions and users at Devin go by verified ones alone. */
  readonly emailVerified: boolean
  readonly groups: readonly string[]
  /** The calling application (one string), usually the token's `azp` or `client_id`. */
  readonly app: string | null
  /** All verified claims, for `when: { claims: … }`. Only those that a condition of the policies reads are recorded. */
  readonly claims: Claims
  /** `exp` of the token, in milliseconds since the epoch. */
  readonly expiresAtMs: number
}
