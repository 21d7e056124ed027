// A guardrail as it is applied: compiled, with every value and pattern checked. compile.ts makes them.

import type { Operation } from '../../catalogue/operation.ts'
import type { ResponseRule } from '../guardrail-document.ts'
import type { Source } from '../policy-set.ts'
import type { ValueTemplate } from './attributes.ts'
import type { BoundGuardrails } from './bound.ts'
import type { Pattern } from './pattern.ts'
import type { Reservation } from './reserve.ts'

/** Bounds on one field or parameter; null and empty where there is none. */
export interface Rule {
  /** Dotted name of a body field, or the name of a parameter. */
  readonly field: string
  readonly forbid: boolean
  readonly require: boolean
  readonly default: ValueTemplate | null
  readonly add: readonly ValueTemplate[]
  readonly reserve: readonly Reservation[]
  /** As JSON writes it. */
  readonly atMost: string | null
  readonly atLeast: string | null
  readonly equals: ValueTemplate | null
  readonly oneOf: readonly ValueTemplate[] | null
  readonly matches: Pattern | null
  readonly eachMatches: Pattern | null
  readonly maxItems: number | null
  readonly maxLength: number | null
}

export interface Guardrail {
  readonly id: string
  readonly source: Source
  readonly teams: 'all' | ReadonlySet<string>
  readonly apps: 'all' | ReadonlySet<string>
  readonly mode: 'enforce' | 'shadow'
  /** Whether only a grant that names the operation by its id counts. */
  readonly named: boolean
  /** Sorted by field. */
  readonly body: readonly Rule[]
  readonly query: readonly Rule[]
  /** What is taken out of answers; null: nothing. */
  readonly response: ResponseRule | null
}

/** All guardrails of a policy set. */
export interface GuardrailTable {
  /** Those that bind an operation, for whomever, by id; undefined for most operations. */
  on(operation: Operation): readonly Guardrail[] | undefined
  /** Those of `on` that bind a request which is decided for this team and sent by this app, laid out to be applied. */
  binding(operation: Operation, team: string, app: string | null): BoundGuardrails
  /** Whether any of them bounds the operation's body, so that it must be JSON and say so. */
  boundsBody(operation: Operation): boolean
  /** Those of `on` that take something out of the answer; undefined for nearly all operations. */
  onAnswer(operation: Operation): readonly Guardrail[] | undefined
  /** By id. */
  readonly all: readonly Guardrail[]
}

/** Those of a list that bind a request which is decided for this team and sent by this app. */
export function binding(guardrails: readonly Guardrail[], team: string, app: string | null): readonly Guardrail[] {
  return guardrails.filter(
    (each) =>
      (each.teams === 'all' || each.teams.has(team)) && (each.apps === 'all' || (app !== null && each.apps.has(app))),
  )
}
