// What operators see of decisions. Listed fields of plain data, so that no secret fits in.

import type { ExchangeOutcome } from '../../records/entries.ts'

export interface DecisionView {
  readonly time: string
  readonly decision_id: string
  readonly request_id: string
  readonly effect: 'allow' | 'deny'
  readonly reason: string
  readonly problem: string | null
  readonly method: string | null
  readonly operation: string | null
  /** Only where no operation was found. */
  readonly path: string | null
  readonly organization: string | null
  readonly team: string | null
  readonly app: string | null
  readonly subject: string | null
  readonly key: string | null
  readonly status: number | null
  readonly outcome: ExchangeOutcome
  readonly cache: string | null
  readonly limit: string | null
  readonly duration_ms: number | null
  readonly upstream_ms: number | null
  readonly waited_ms: number | null
  /** Decision records in files do not hold what access records do: such members are null. */
  readonly source: 'memory' | 'file'
}

/** How far was looked. */
export interface SearchedView {
  readonly memory: {
    readonly decisions: number
    readonly bytes: number
    readonly max_bytes: number
    readonly oldest: string | null
  }
  /** Null where no file was searched. */
  readonly files: {
    readonly names: readonly string[]
    readonly bytes: number
    readonly oldest: string | null
    readonly complete: boolean
  } | null
  readonly note: string
}

export interface DecisionsView {
  readonly decisions: readonly DecisionView[]
  /** The cursor of the next page; null where there is none. */
  readonly next: string | null
  readonly searched: SearchedView
}

/** Filters that are compared as a whole. */
export const decisionFilters = [
  'id',
  'subject',
  'team',
  'operation',
  'organization',
  'reason',
  'key',
  'effect',
  'outcome',
] as const

/** All filters have to fit. Times in ISO 8601, as records spell them. */
export interface DecisionQuery extends Readonly<Record<(typeof decisionFilters)[number], string | null>> {
  readonly from: string | null
  readonly to: string | null
  readonly limit: number
  readonly cursor: DecisionCursor | null
}

/** The last decision of the page before: what follows is older, or has a smaller id at the same time. */
export interface DecisionCursor {
  readonly time: string
  readonly id: string
}

/** One decision: as it was recorded, and as it would be decided now. */
export interface DecisionDetailView {
  readonly decision: DecisionView
  readonly caller: {
    readonly subject: string | null
    readonly issuer: string | null
    readonly email: string | null
    readonly email_verified: boolean
    readonly app: string | null
    readonly actor: string | null
    readonly groups: readonly string[]
    readonly teams: readonly string[]
  }
  readonly decided: {
    readonly effect: 'allow' | 'deny'
    readonly reason: string
    readonly detail: string | null
    readonly grant: string | null
    readonly owner: string | null
    readonly nearest: string | null
    readonly organizations: readonly string[]
    readonly extra_permissions: readonly string[]
    /** Those that bound the request. */
    readonly guardrails: readonly string[]
    readonly policy_revision: string | null
    readonly stage: string
    readonly sent: boolean
  }
  /** As it would be decided now. */
  readonly steps: readonly { readonly stage: string; readonly ok: boolean; readonly text: string }[]
  readonly explained: {
    /** Whether the request could be decided again. */
    readonly again: boolean
    /** As the record has them, or rebuilt from it; null where the request cannot be decided again. */
    readonly method: string | null
    readonly path: string | null
    readonly policy_revision: string
    readonly same: boolean | null
    readonly differences: readonly string[]
    readonly missing: readonly string[]
    readonly why_not: string | null
  }
  /** The path to ask; null for a request that was allowed. */
  readonly what_would_allow: string | null
  readonly searched: SearchedView
}
