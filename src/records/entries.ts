// One plain object per line of the three streams. Nothing here knows what an exchange is; gateway/recording/recorder.ts translates.

export type Stream = 'access' | 'decisions' | 'audit'

/**
 * How an exchange ended. `cached`: answered from the cache or another caller's call. `replayed`: the kept answer of an earlier
 * request with the same Idempotency-Key. `answered`: a page of the gateway's own. `aborted`: the caller left. `failed`: the
 * gateway or the upstream broke it off, also because the process ends (problem `draining`).
 */
export type ExchangeOutcome = 'forwarded' | 'cached' | 'replayed' | 'answered' | 'refused' | 'aborted' | 'failed'

/** One request. No header fields, no query, no raw address of a known operation, no body, no token. */
export interface AccessEntry {
  readonly time: string
  readonly request_id: string
  readonly decision_id: string
  readonly method: string | null
  readonly operation: string | null
  /** Only for requests that match no operation: the path without query, shortened, with token-like segments masked. */
  readonly path: string | null
  readonly organization: string | null
  readonly team: string | null
  readonly app: string | null
  readonly subject: string | null
  readonly key: string | null
  /** Version of the key's secret, counted up from 1 at start. */
  readonly key_version: number | null
  readonly status: number | null
  readonly outcome: ExchangeOutcome
  readonly problem: string | null
  readonly reason: string
  /** The limit that refused the request, or in shadow mode would have. */
  readonly limit: string | null
  /** How the cache came to the answer: hit, stale, validated, collapsed, miss or bypass; null when it was not asked. */
  readonly cache: string | null
  readonly upstream_status: number | null
  /** The upstream's own request id, where it is another one; for questions to its support. */
  readonly upstream_request_id: string | null
  readonly bytes_in: number
  readonly bytes_out: number
  readonly duration_ms: number
  readonly upstream_ms: number | null
  /** How long it waited in the queue before the upstream; null when it did not have to. */
  readonly waited_ms: number | null
  readonly trace_id: string | null
  readonly policy_revision: string | null
}

/** What another grant would have done: the result of a grant in shadow mode. */
export interface ShadowEntry {
  readonly team: string
  readonly grant: string
  readonly effect: 'allow'
}

/**
 * What would be different without a grant in mode `warn`, or with a guardrail in it: `deny`, or `other-team` (another team of
 * the caller would allow it and be charged), or `filter` (less of the answer would be shown).
 */
export interface WarnEntry {
  readonly team: string
  /** One of the two is null. */
  readonly grant: string | null
  readonly guardrail: string | null
  readonly effect: 'deny' | 'other-team' | 'filter'
  /** Of the refusal; null for another effect. */
  readonly reason: string | null
  readonly detail: string
}

/**
 * A value that a guardrail added, or a bound that was broken. `place` is a field of the body, a parameter or an
 * operation.
 */
export interface GuardrailFinding {
  readonly guardrail: string
  readonly in: 'body' | 'query' | 'grant'
  readonly place: string
  /** `at_most`, `default` and so on. */
  readonly bound: string
}

/** The guardrails of a request. */
export interface GuardrailsEntry {
  /** Ids of those in force that bind the request. */
  readonly applied: readonly string[]
  readonly changed: readonly GuardrailFinding[]
  readonly refused: readonly GuardrailFinding[]
  /** Of those in shadow mode: what they would have done. */
  readonly shadow: readonly {
    readonly guardrail: string
    readonly effect: 'allow' | 'change' | 'filter' | 'deny'
    readonly findings: readonly GuardrailFinding[]
  }[]
  /** What was taken out of the answer; null for nothing. */
  readonly filtered: { readonly organizations: 'all' | readonly string[]; readonly fields: readonly string[] } | null
  /** What the rules read in the request as it was decided on, by place (`body.max_acu_limit`); never a text that may be long or secret. */
  readonly read: Readonly<Record<string, unknown>>
}

/** What the request itself said, as far as a rule could read it: so that it can be decided again under other rules. */
export interface RequestEntry {
  readonly body_read: boolean
  /** Documented parameters by name: numbers, booleans and organizations as they are, of other texts the length. */
  readonly query?: Readonly<Record<string, unknown>>
  /** The first parameter that the API does not document and that could reach beyond an organization. */
  readonly undocumented?: string
  /** A name that could be taken for one that decides. */
  readonly doubtful?: { readonly in: 'query' | 'body'; readonly name: string; readonly spelled: string }
  /**
   * The members of the body as the caller sent it, of texts the length; of lists that a guardrail adds to or reserves a beginning
   * in, the items. Only where guardrails bound its fields; null: no body.
   */
  readonly body?: Readonly<Record<string, unknown>> | null
  /** What guardrails put behind lists, by place (`body.tags`); absent where they did not. */
  readonly added?: Readonly<Record<string, readonly unknown[]>>
  /** The caller's user at Devin, where a rule asked for it; null: it was not found. */
  readonly devin_user?: string | null
}

/** One decision, with every attribute that a rule may read, so that it can be replayed. No bodies, no tokens. */
export type DecisionEntry = DecisionHead & DecisionContent

/** The members that differ between repeated decisions. */
export interface DecisionHead {
  readonly time: string
  readonly decision_id: string
  readonly request_id: string
  /** Decisions before this one that could not be written and are lost; absent where there are none. */
  readonly lost_before?: number
  /**
   * The outcome of the request, which a limit, a budget or a missing key may have stopped although the policy allows
   * it: `how` as in the access record, the stage it reached, and whether any of it was sent to the Devin API.
   */
  readonly ended: { readonly how: ExchangeOutcome; readonly stage: string; readonly sent: boolean }
}

/** The members that are equal for repeated requests. */
export interface DecisionContent {
  readonly effect: 'allow' | 'deny'
  readonly reason: string
  readonly detail: string | null
  readonly subject: string | null
  readonly issuer: string | null
  readonly email: string | null
  /** Whether the issuer vouches for the address; an address that it does not vouch for matches no condition. */
  readonly email_verified: boolean
  readonly app: string | null
  /** Who acts for the subject. */
  readonly actor: string | null
  readonly groups: readonly string[]
  /** Claims that `when` conditions of the policies read, by dotted path. */
  readonly claims: Readonly<Record<string, unknown>>
  readonly teams: readonly string[]
  readonly team: string | null
  readonly grant: string | null
  /** Who may change what decided, as the policies say it. */
  readonly owner: string | null
  readonly operation: string | null
  readonly organizations: readonly string[]
  /** Permissions that the body asked for besides the operation's own. */
  readonly extra_permissions: readonly string[]
  readonly key: string | null
  readonly nearest: string | null
  readonly shadow: readonly ShadowEntry[]
  readonly warn: readonly WarnEntry[]
  /** Null where no guardrail binds the request, or none was asked. */
  readonly guardrails: GuardrailsEntry | null
  /** Null where no operation was found or no policy was asked. */
  readonly request: RequestEntry | null
  readonly policy_revision: string | null
  /** Those for whom the actor acts in turn, the latest first; absent where there is nobody. */
  readonly prior_actors?: readonly string[]
  /** The unverified content of a refused token; absent where there is none. */
  readonly token_seen?: {
    readonly iss: string | null
    readonly aud: readonly string[]
    readonly kid: string | null
    readonly alg: string | null
    readonly near: string | null
  }
}

/** One change: start, reload, refused reload, key version, stop. Hash-chained in the file. */
export interface AuditEntry {
  readonly time: string
  readonly event: string
  readonly actor: string
  readonly details: Readonly<Record<string, unknown>>
}
