// What operators see of a shadow set: how often it decides otherwise, and examples. Types only.

import type { DecisionChange } from './disagreements.ts'

/** A request that both sets decide differently. */
export interface ExampleView {
  readonly at: string
  readonly decision_id: string
  readonly method: string
  readonly path: string
  readonly organization: string | null
  readonly subject: string
  readonly app: string | null
  readonly from: string
  readonly to: string
  /** False: the shadow set could still have refused it for its body or its caller's user at Devin. */
  readonly final: boolean
}

/** Disagreements of one kind, team and operation. */
export interface DisagreementView {
  readonly change: DecisionChange
  readonly team: string | null
  readonly operation: string
  readonly count: number
  readonly first_at: string
  readonly last_at: string
  /** The latest first. */
  readonly examples: readonly ExampleView[]
}

/** What was decided under both sets since one of them was replaced. */
export interface ShadowCounts {
  readonly since: string
  /** Of the shadow set; null while there is none. */
  readonly revision: string | null
  readonly in_force: string
  readonly decided: number
  readonly same: number
  readonly different: number
  /** Requests by the reason why nothing can be said. */
  readonly undecided: Readonly<Record<string, number>>
  /** Requests that were not looked at because too many waited. */
  readonly dropped: number
  readonly disagreements: readonly DisagreementView[]
  /** Disagreements that found no room in the list. */
  readonly not_shown: number
}
