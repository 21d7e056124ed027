// What operators see of whole policy sets. Types only: listed fields of plain data, so that no secret fits in.

export interface MatrixQuery {
  readonly team: string | null
  readonly operation: string | null
  readonly organization: string | null
  readonly effect: string | null
  readonly limit: number
}

export interface MatrixView {
  readonly revision: string
  readonly cells: number
  readonly undecided: number
  /** Rows that fit the filters; `rows` holds the first of them. */
  readonly found: number
  readonly rows: readonly {
    readonly team: string
    readonly callers: string
    readonly operation: string
    readonly organizations: readonly (string | null)[]
    readonly effect: 'allow' | 'deny'
    readonly reason: string
    readonly grant: string | null
    readonly key: string | null
    readonly conditions: string | null
    readonly guardrails: readonly string[]
    readonly limits: readonly string[]
  }[]
}

export interface AllowingView {
  readonly decision_id: string
  readonly policy_revision: string
  readonly allowed_now: boolean
  readonly proposals: readonly {
    readonly what: string
    readonly team: string
    readonly owner: string | null
    readonly contact: string | null
    readonly file: string
    readonly patch: string
    readonly gains: readonly string[]
    readonly tests_passed: number
    readonly invariants: number
  }[]
  readonly rejected: readonly { readonly what: string; readonly why: string }[]
  readonly why_none: string | null
}

/** What the set in force changes against the one that it replaced. */
export interface PolicyChangesView {
  readonly from: string
  readonly to: string
  readonly files: readonly { readonly name: string; readonly change: 'added' | 'removed' | 'changed' }[]
  /** Rights that were gained or lost, and keys, guardrails, limits and filters that are other ones. */
  readonly changes: readonly { readonly change: string; readonly what: string; readonly details: readonly string[] }[]
  readonly notes: readonly string[]
  readonly undecided: number
}
