// The facts of a request and the decision on it. Types only.

import type { Operation } from '../../catalogue/operation.ts'
import type { Principal } from '../../identity/principal.ts'
import type { ProblemKindName } from '../../problem-kinds.ts'
import type { Grant, Team } from './policy-set.ts'
import type { Owner } from './remarks.ts'

/** A permission the request needs besides the operation's own, and the body member that makes it so. */
export interface ExtraPermission {
  readonly permission: string
  readonly field: string
  readonly when: 'present' | 'absent'
}

/** Everything a decision may depend on. */
export interface Facts {
  readonly principal: Principal
  readonly operation: Operation
  /** The organization in the path, or null. */
  readonly organization: string | null
  /** Every organization id that stands anywhere in the request. */
  readonly organizations: readonly string[]
  /** Whether an organization stands where it bounds what the operation touches (path, documented query parameter). */
  readonly narrowed: boolean
  /** A name in query or body that a server could take for one that decides; null when there is none. */
  readonly doubtful: DoubtfulName | null
  /** A query parameter that the API does not document and that could reach beyond a fence; null when there is none. */
  readonly undocumented: string | null
  readonly extra: readonly ExtraPermission[]
}

/** The nearest misses: what would have to change for a refused request to be allowed, closest first. */
export interface NearMiss {
  readonly team: string
  readonly grant: string | null
  readonly what:
    | 'organization'
    | 'name'
    | 'extra-permission'
    | 'condition'
    | 'group'
    | 'app'
    | 'entry'
    | 'mode'
    | 'ended'
    | 'grant'
  readonly text: string
}

export interface Decision {
  readonly effect: 'allow' | 'deny'
  /** `granted` or `member` when allowed, else the problem kind or a finer code. */
  readonly reason: string
  /** Kind of the refusal; null when allowed. */
  readonly problem: ProblemKindName | null
  /** A sentence that says what to do; null when allowed. */
  readonly detail: string | null
  /** Teams of the caller. */
  readonly teams: readonly Team[]
  /** The team whose grant decided; of a refusal the team that came nearest. */
  readonly team: Team | null
  readonly grant: Grant | null
  /** Who may change what decided; of a refusal what came nearest. Null where the policies name nobody. */
  readonly owner: Owner | null
  readonly nearest: NearMiss | null
  /** Grants in shadow mode that would have allowed this. */
  readonly shadow: readonly Grant[]
  /** What has to be taken out of the answer; null for nothing. */
  readonly response: ResponseFilter | null
  readonly revision: string
}

/** What has to be done to an answer before its caller gets it. */
export interface ResponseFilter {
  /** Ids of the guardrails that want it. */
  readonly guardrails: readonly string[]
  /** Only items of these organizations pass, in the order of their ids; `all` where nothing is filtered by organization. */
  readonly organizations: 'all' | readonly string[]
  /** Fields that are dropped, dotted. */
  readonly drop: readonly string[]
  /** Equal for two filters exactly when both show the same of an answer. */
  readonly digest: string
}

/** A name that a server may take for another one that decides. */
export interface DoubtfulName {
  readonly in: 'query' | 'body'
  readonly spelled: string
  /** The name as the API spells it. */
  readonly name: string
  /** `spelling`: send it as the API spells it. `place`: it belongs into the body, and stands in the query. */
  readonly fault: 'spelling' | 'place'
  readonly isOrganization: boolean
}

/** Why a request is refused. */
export interface Denial {
  readonly problem: ProblemKindName
  readonly reason: string
  readonly detail: string
  readonly team: Team | null
  readonly grant: Grant | null
  /** Whom its text names; null where the policies name nobody. */
  readonly owner: Owner | null
  readonly nearest: NearMiss | null
  /** How far the request came: a higher rank is the better explanation. */
  readonly rank: number
}
