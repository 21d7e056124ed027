// One operation of the upstream API and what it demands.

export type Scope = 'organization' | 'enterprise' | 'any'
export type Stability = 'stable' | 'beta' | 'early-access' | 'deprecated' | 'superseded' | 'removed?'
/** How long an answer may be kept; the last two leave it to the upstream's own fields (extension files only). */
export const cacheClasses = [
  'never',
  'micro',
  'short',
  'medium',
  'long',
  'closed-window-long',
  'rfc9111',
  'rfc9111-heuristic',
] as const
export type CacheClass = (typeof cacheClasses)[number]

/** A permission that is needed besides the operation's own when the body holds (or lacks) a field. */
export interface ConditionalPermission {
  /** Top-level member of the JSON body, documented for this operation or for one that asks for the same. `null` counts as absent. */
  readonly field: string
  readonly when: 'present' | 'absent'
  readonly permission: string
}

/** Where an organization id may stand in a request of this operation. */
export interface OrganizationPlaces {
  /** Index of the path segment that holds it, counted from 0 after the leading slash; -1 when there is none. */
  readonly segment: number
  /** Query parameters that narrow the operation to organizations (`org_id`, `org_ids`), as documented for it. */
  readonly query: readonly string[]
  /** Body members, dotted, `*` for every member of an object or array: `groups.*.org_ids.*`. */
  readonly body: readonly string[]
}

/** How a list is paged: the parameters that ask for a page, and the members of the answer that lead to the next one. */
export interface Paging {
  /** Parameter for the number of items, with its default and its largest value. */
  readonly size: string
  readonly usual: number
  readonly most: number
  /** Parameter for the cursor. */
  readonly after: string
  /** Members: cursor of the last item, whether more follow, how many there are in all. */
  readonly cursor: string
  readonly more: string
  readonly total: string
}

/** `object`: one object. `list`: a bare array. `page`: an object that holds the items under one member. */
export type AnswerForm = 'object' | 'list' | 'page'

/** The JSON of a successful answer, as far as a filter has to know it. */
export interface AnswerShape {
  readonly form: AnswerForm
  /** Member that holds the items of a page; null for the other forms. */
  readonly items: string | null
  /**
   * Where an item (or the one object) names its organization, dotted. `*` stands for each member of a list inside the item,
   * which is then filtered itself: `role_assignments.*.org_id`. Empty: it names none, as far as is documented.
   */
  readonly organizations: readonly string[]
  /** Items may belong to no organization: the place is null or absent then. */
  readonly optional: boolean
  /** Member that identifies an item; null when there is none. */
  readonly id: string | null
  /** Null when the list comes whole. */
  readonly paging: Paging | null
}

export interface Operation {
  /** Position in the catalogue; tables that are compiled from policies are indexed by it. */
  readonly index: number
  readonly id: string
  readonly method: string
  /** Path with `{name}` for each parameter. */
  readonly template: string
  readonly segments: readonly string[]
  readonly summary: string
  readonly scope: Scope
  /** Every member of a team may call it without a grant: the identity of the calling credential. */
  readonly open: boolean
  /** The permission the upstream checks, or null when the documentation names none anywhere. */
  readonly permission: string | null
  /** Whether `permission` is documented or our inference; null when there is none. */
  readonly permissionBasis: 'documented' | 'inferred' | null
  /** Other names that contradicting or older pages give. They can qualify a key and never widen a grant. */
  readonly alternatives: readonly string[]
  readonly conditional: readonly ConditionalPermission[]
  /** Documented top-level members of the JSON body. */
  readonly fields: readonly string[]
  /** Documented query parameters. */
  readonly parameters: readonly string[]
  readonly organizations: OrganizationPlaces
  /** Parameters whose value may hold `%2F`. */
  readonly slashes: readonly string[]
  readonly cache: CacheClass
  /** Ids of read operations whose stored answers a successful call makes stale (besides its own path). */
  readonly invalidates: readonly string[]
  /** `unreviewed`: an extension file says `served: false`; no configuration serves it. */
  readonly stability: Stability | 'unreviewed'
  /** The request or answer holds secrets, presigned addresses, personal data or conversation text. */
  readonly sensitive: boolean
  readonly paginated: boolean
  /** The answer can be an endless event stream: no idle time-out applies to it. */
  readonly streaming: boolean
  /** Null where no answer in JSON is documented. */
  readonly answer: AnswerShape | null
  /** A request with an `Idempotency-Key` is sent once, and its answer is replayed to repetitions. */
  readonly idempotent: boolean
  /** `catalogue` for the built-in data, else the extension file. */
  readonly source: string
}

/** Id of the operation that starts a session. */
export const sessionCreate = 'org.sessions.create'
