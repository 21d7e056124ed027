// What operators see of policies and of the audit log. Types only: listed fields of plain data, so that no secret fits in.

export interface PolicyReloadView {
  readonly at: string
  readonly result: 'loaded' | 'replaced' | 'unchanged' | 'refused' | 'held' | 'deferred'
  readonly actor: string
  /** In force after it. */
  readonly revision: string
  readonly diagnostics: readonly string[]
}

/** Beside the files of the policies in force. */
export interface PolicyStateView {
  readonly directory: string
  readonly loaded_at: string
  readonly teams: number
  readonly keys: number
  readonly refusal: PolicyReloadView | null
  /** The latest first. */
  readonly history: readonly PolicyReloadView[]
  readonly warnings: readonly string[]
  readonly ends_soon: readonly {
    readonly what: string
    readonly ends_at: string
    readonly owner: string | null
    readonly source: string
  }[]
  readonly invariants: readonly { readonly id: string; readonly kind: 'never' | 'always'; readonly source: string }[]
}

/** What a check of the whole chain has found. */
export interface AuditCheckView {
  readonly at: string
  readonly ok: boolean
  readonly entries: number
  /** The head that the gateway has in memory: it has to occur in the files. */
  readonly head: { readonly seq: number; readonly hash: string }
  readonly files: readonly { readonly name: string; readonly from: number; readonly to: number }[]
  /** Lines that a crash cut off, which the chain says. */
  readonly torn_lines: number
  readonly problems: readonly { readonly file: string | null; readonly line: number; readonly problem: string }[]
}

export interface AuditView {
  readonly target: string
  readonly healthy: boolean
  readonly error: string | null
  readonly head: { readonly seq: number; readonly hash: string }
  readonly anchors: readonly {
    readonly where: string
    readonly seq: number | null
    readonly at: string | null
    readonly error: string | null
  }[]
  readonly changes: readonly {
    readonly time: string
    readonly event: string
    readonly actor: string
    readonly details: Readonly<Record<string, unknown>>
  }[]
}
