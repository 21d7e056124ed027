// The compiled policies: one immutable snapshot that a request holds from its first line to its last.

import type { Catalogue } from '../../catalogue/catalogue.ts'
import type { Budget } from '../../budgets/budget.ts'
import type { Operation } from '../../catalogue/operation.ts'
import type { Principal } from '../../identity/principal.ts'
import type { KeyHandle } from '../../keys/key.ts'
import type { KeyChoice, Requirement } from '../../keys/select.ts'
import type { Precedence } from '../../limits/precedence.ts'
import type { Limit } from '../../limits/limiter.ts'
import type { GuardrailTable } from '../guardrails/guardrail.ts'
import type { AttemptLimits } from '../compile/team-limits.ts'
import type { Condition } from './condition.ts'
import type { RightEnding } from './ending.ts'
import type { Owner, Remarks } from './remarks.ts'
import type { RuleMode, Source } from './source.ts'
import type { Steps } from './steps.ts'

/** A grant only allows; nothing a grant says takes anything away. */
export interface Grant {
  readonly id: string
  readonly team: string
  /** `ended`: its time is over; it counts no more than one that is off. */
  readonly mode: RuleMode | 'ended'
  readonly ending: RightEnding
  readonly when: Condition | null
  /** Inside the fence of the team; null: all of it. */
  readonly organizations: ReadonlySet<string> | null
  readonly remarks: Remarks
  /** Whom to ask about it: its own owner, else the team's. */
  readonly owner: Owner | null
  /** Permission names and operation ids or patterns, as written. */
  readonly allow: readonly string[]
  readonly source: Source
}

/** A condition that makes a caller a member, for as long as it lasts. */
export interface MemberCondition extends Condition {
  readonly ending: RightEnding
}

export interface Team {
  readonly id: string
  readonly source: Source
  readonly remarks: Remarks
  /** Null where the policies name nobody. */
  readonly owner: Owner | null
  /** Any that matches makes a principal a member. */
  readonly members: readonly MemberCondition[]
  /** The outer fence. */
  readonly organizations: 'all' | ReadonlySet<string>
  /** The organization whose key answers `/v3/self`; null when the team is not bound to one. */
  readonly defaultOrganization: string | null
  readonly grants: readonly Grant[]
  /** Shortens the lifetimes of stored answers; 0: no cache. Null leaves them. */
  readonly cacheAtMostMs: number | null
  /** The limits that a request of the team is judged against; empty when there are none. */
  limitsFor(principal: Principal, operation: Operation): readonly Limit[]
  /** Apps whose limits or budgets differ from the team's. */
  readonly limitedApps: ReadonlySet<string>
  /** How often this caller may send a body that has to be read before the other limits are judged. */
  readonly attempts: AttemptLimits
  /** An answer from the cache counts against none of the limits: they are judged when the upstream is asked. */
  readonly cachedIsFree: boolean
  /** Its place in the queue before the upstream. */
  readonly precedence: Precedence
  /** Grants that cover an operation; those in mode `warn` behind the others. Remembered per operation. */
  grantsOn(operation: Operation): readonly Grant[]
  /** Grants that hold a permission, by name or by the enterprise permission that stands for it; in the same order. */
  grantsOf(permission: string): readonly Grant[]
}

/** Why a team is blocked, and until when; null: until somebody ends it. */
export interface BlockedTeam {
  readonly reason: string
  readonly untilMs: number | null
}

/** All budgets of a policy set. */
export interface PolicyBudgets {
  /** What a session of a caller is charged to, in this organization; empty when nothing is bounded. */
  of(team: string, principal: Principal, organization: string | null): readonly Budget[]
  /** Those that are not of a single caller, by account. */
  readonly shared: ReadonlyMap<string, Budget>
  /** Organizations that have budgets of their own. */
  readonly organizations: ReadonlySet<string>
  /** False when nothing is bounded anywhere. */
  readonly any: boolean
}

/** The user's id at Devin, or null where the policies do not say it. */
export type DevinUserFinder = (principal: Principal) => string | null

export interface PolicySet {
  /** Instants at which a right in the files ends, in order; milliseconds since the epoch. */
  readonly ends: readonly number[]
  /** The set as it is at an instant: rights that have ended are gone. Nothing remembered outlives the set. */
  at(nowMs: number): PolicySet
  /** The same in steps, so that `at` has it ready when the instant comes. */
  prepare(nowMs: number): Steps<PolicySet>
  /** Digest of the files, so that equal files have equal revisions on every instance. */
  readonly revision: string
  readonly catalogue: Catalogue
  readonly teams: readonly Team[]
  readonly keys: readonly KeyHandle[]
  /** Bounds on what grants allow. */
  readonly guardrails: GuardrailTable
  /** Who a caller is at Devin, where the policies say it; else null. */
  readonly devinUserOf: DevinUserFinder
  /** What sessions are charged to. */
  readonly budgets: PolicyBudgets
  /** Dotted claim paths that conditions read; the decision log keeps their values for replay. */
  readonly claimPaths: readonly string[]
  team(id: string): Team | null
  /** Teams whose grants do not count for now. */
  readonly blocked: ReadonlyMap<string, BlockedTeam>
  /** Teams the principal is a member of, by id, without those that are blocked. Remembered per principal. */
  teamsOf(principal: Principal): readonly Team[]
  /** The principal's teams that are blocked, by id. */
  blockedTeamsOf(principal: Principal): readonly Team[]
  /** The key that serves a requirement, or null. Remembered per requirement. */
  selectKey(need: Requirement): KeyChoice | null
}
