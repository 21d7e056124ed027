// The built-in catalogue data, typed: what `devin-api.json` says, as it says it. `catalogue.ts` compiles it into
// operations and a matcher, and joins extension files to it. `tools/import-catalogue.ts` writes the data, never a hand.

// This form works unchanged in Node 24 running the sources (JSON modules are stable there), under tsc with
// resolveJsonModule, and compiled: tsc copies an imported JSON file into `dist` and keeps the attribute, where
// readFileSync would need a copying step in the build.
import document from './devin-api.json' with { type: 'json' }
import type { AnswerShape, CacheClass, ConditionalPermission, Scope, Stability } from './operation.ts'

/** Whether the documentation says so, or it follows from a general rule or a sibling. */
export type PermissionBasis = 'documented' | 'inferred'

/** A permission of a service user's role. Names are unique per scope only: `UseReviewManual` exists at both. */
export interface PermissionEntry {
  readonly name: string
  readonly scope: 'enterprise' | 'organization'
  /** What it lets its holder do, in a few words. */
  readonly controls: string
  /** The organization permission that an enterprise permission gives in every organization. */
  readonly implies: string | null
  readonly implies_basis: PermissionBasis | null
}

/** A documented top-level member of a JSON body, or the part of a multipart one. */
export interface BodyMember {
  readonly name: string
  /** Informal, as the documentation words it: `string[] (max 50)`. */
  readonly type: string
  readonly required: boolean
}

/** A parameter or member that takes these values only. */
export interface ValueSet {
  readonly in: 'query' | 'body'
  readonly name: string
  readonly values: readonly string[]
}

/**
 * Where an operation was seen. `page`: its page of the public reference, at `doc_url`. `documentation`: other official
 * pages, specifications or the SDK; `doc_url` follows the naming of the reference. `unconfirmed`: nowhere public.
 */
export type DocumentationSource = 'page' | 'documentation' | 'unconfirmed'

/** One operation of the upstream API. Fields that `Operation` has too mean the same here. */
export interface OperationEntry {
  readonly id: string
  readonly method: string
  /** With `{name}` for each parameter. */
  readonly path: string
  readonly summary: string
  readonly scope: Scope
  readonly permission: string | null
  /** `documented` with a null permission: any valid credential will do. Null: the documentation names none anywhere. */
  readonly permission_basis: PermissionBasis | null
  readonly alternatives: readonly string[]
  readonly conditional: readonly ConditionalPermission[]
  readonly cache: Exclude<CacheClass, 'rfc9111' | 'rfc9111-heuristic'>
  readonly sensitive: boolean
  readonly stability: Stability
  readonly paginated: boolean
  readonly streaming: boolean
  readonly idempotent: boolean
  readonly organizations: { readonly query: readonly string[]; readonly body: readonly string[] }
  readonly slashes: readonly string[]
  readonly invalidates: readonly string[]
  readonly doc_url: string | null
  readonly source: DocumentationSource
  /** Parameters, members and values (`member=value`) that users of the API report and no public page is known to name. */
  readonly unconfirmed: readonly string[]
  /** Documented query parameters. */
  readonly query: readonly string[]
  readonly body: readonly BodyMember[]
  /** As far as they are known. */
  readonly values: readonly ValueSet[]
  /** Documented statuses of a successful answer. */
  readonly success: readonly number[]
  /** Type of the answer in the documentation's words; null when it has no body or none is described. */
  readonly response: string | null
  readonly answer: AnswerShape | null
  readonly notes: string
}

/** A retired path and the operation that took its place; null when nothing did. */
export interface LegacyEntry {
  readonly method: string
  readonly path: string
  readonly replacement: string | null
  readonly version: 'v1' | 'v2'
}

export interface CatalogueData {
  /** Which state of the public documentation the data stands for. */
  readonly generated_from: string
  readonly permissions: readonly PermissionEntry[]
  readonly operations: readonly OperationEntry[]
  readonly legacy: readonly LegacyEntry[]
}

/**
 * The operations, permissions and retired paths of the Devin API as of the public documentation named in
 * `generated_from`. The compiler sees words of closed sets as texts; test/catalogue/data.test.ts checks them.
 */
export const devinApi = document as CatalogueData
