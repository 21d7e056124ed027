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
  /** Whether the issuer left the groups out of the token, because there are too many of them. */
  readonly groupsOmitted: boolean
  /** The calling application (one string), usually the token's `azp` or `client_id`. */
  readonly app: string | null
  /** Who acts for the subject (`act.sub`, RFC 8693 section 4.1); null where the subject acts itself. */
  readonly actor: string | null
  /** Those for whom the actor acts in turn, the latest first. For records: no decision reads them. */
  readonly priorActors: readonly string[]
  /** All verified claims, for `when: { claims: … }`. Only those that a condition of the policies reads are recorded. */
  readonly claims: Claims
  /** `exp` of the token, in milliseconds since the epoch. */
  readonly expiresAtMs: number
}

/** A caller without attributes, whose token does not end: what others that no token describes are made from. */
export const emptyPrincipal: Principal = {
  subject: '',
  issuer: '',
  email: null,
  emailVerified: false,
  groups: [],
  groupsOmitted: false,
  app: null,
  actor: null,
  priorActors: [],
  claims: {},
  expiresAtMs: Number.MAX_SAFE_INTEGER,
}
