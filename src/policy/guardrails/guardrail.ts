// A guardrail as it is applied: compiled, with every value and pattern checked. compile.ts makes them.

import type { Operation } from '../../catalogue/operation.ts'
import type { Diagnostic } from '../../config/diagnostics.ts'
import type { ResponseRule } from '../documents/guardrail-document.ts'
import type { ValueTemplate } from './attributes.ts'
import type { Pattern } from './pattern.ts'
import type { RightEnding } from '../model/ending.ts'
import type { NameTree } from '../model/name-tree.ts'
import type { Owner, Remarks } from '../model/remarks.ts'
import type { RuleMode, Source } from '../model/source.ts'

/** Notes a mistake at a path below the guardrail that is being compiled. */
export type ReportMistake = (
  severity: Diagnostic['severity'],
  path: readonly (string | number)[],
  message: string,
) => void

/** Bounds on one field or parameter; null and empty where there is none. */
export interface Rule {
  /** Dotted name of a body field, or the name of a parameter. */
  readonly field: string
  readonly forbid: boolean
  readonly require: boolean
  readonly default: ValueTemplate | null
  readonly add: readonly ValueTemplate[]
  readonly reserve: readonly ReservedText[]
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

/** A reserved beginning, and the one text with it that a caller may send. */
export interface ReservedText {
  /** As it is written up to the first attribute: `team:`. */
  readonly beginning: string
  /** The same as texts are compared with it. */
  readonly folded: string
  /** Finds pieces of a text that may begin like that. */
  readonly pieces: RegExp
  /** The caller's own text, where attributes follow the beginning; null: nobody sends it. */
  readonly own: ValueTemplate | null
}

/** Whom a guardrail does not bind; null: whatever the team, or the app. */
export interface GuardrailException {
  readonly teams: ReadonlySet<string> | null
  readonly apps: ReadonlySet<string> | null
  readonly ending: RightEnding
}

export interface Guardrail {
  readonly id: string
  readonly source: Source
  readonly teams: 'all' | ReadonlySet<string>
  readonly apps: 'all' | ReadonlySet<string>
  readonly exceptions: readonly GuardrailException[]
  readonly mode: Exclude<RuleMode, 'off'>
  readonly remarks: Remarks
  /** Whom to ask about it; null where it names nobody. */
  readonly owner: Owner | null
  /** Whether only a grant that names the operation by its id counts. */
  readonly named: boolean
  /** Sorted by field. */
  readonly body: readonly Rule[]
  readonly query: readonly Rule[]
  /** What is taken out of answers; null: nothing. */
  readonly response: ResponseRule | null
}

/** A rule and the guardrail it stands in. */
export interface BoundRule {
  readonly rule: Rule
  readonly guardrail: string
}

/** The bound that no other one undercuts, and whose it is; of equal ones the first guardrail's. */
export interface Tightest<T> {
  readonly by: BoundRule
  readonly bound: T
}

/** Everything that a set of guardrails says of one field. */
export interface BoundField {
  /** Dotted name of a body field, or the name of a parameter. */
  readonly field: string
  readonly steps: readonly string[]
  /** Sorted by guardrail. */
  readonly rules: readonly BoundRule[]
  /** The first rule that does. */
  readonly require: BoundRule | undefined
  readonly forbid: BoundRule | undefined
  readonly atMost: Tightest<string> | null
  readonly atLeast: Tightest<string> | null
  readonly maxLength: Tightest<number> | null
  readonly maxItems: Tightest<number> | null
  /** Of all rules. */
  readonly reserved: readonly { readonly by: BoundRule; readonly reservation: ReservedText }[]
  /** No value is added: no rule has a default, or a guardrail forbids the field or its parent. */
  readonly putsNothing: boolean
}

/** What is applied together. */
export interface Layer {
  readonly guardrails: readonly Guardrail[]
  readonly query: readonly BoundField[]
  /** Parents before what they hold. */
  readonly body: readonly BoundField[]
  /** The names of the fields in `body`. */
  readonly names: NameTree
  /** The fields in `body` that a server could also take from the query, by folded name. */
  readonly bodyInQuery: ReadonlyMap<string, BoundField>
}

export interface BoundGuardrails {
  readonly all: readonly Guardrail[]
  readonly enforced: Layer
  /** Those in mode `shadow` or `warn`, separately: each one checks the request as the enforced ones have changed it. */
  readonly shadow: readonly (Layer & { readonly guardrail: Guardrail })[]
}

/** All guardrails of a policy set. */
export interface GuardrailTable {
  /** Those that bind an operation, for whomever, by id; undefined for most operations. */
  on(operation: Operation): readonly Guardrail[] | undefined
  /** Those of `on` that bind a request which is decided for this team and sent by this app, with their rules by field. */
  binding(operation: Operation, team: string, app: string | null): BoundGuardrails
  /** Whether any of them bounds the operation's body, so that it must be JSON and say so. */
  boundsBody(operation: Operation): boolean
  /** Those of `on` that take something out of the answer; undefined for nearly all operations. */
  onAnswer(operation: Operation): readonly Guardrail[] | undefined
  /** By id. */
  readonly all: readonly Guardrail[]
  /** The table without the exceptions that have ended. */
  at(nowMs: number): GuardrailTable
}

/** Those of a list that bind a request which is decided for this team and sent by this app. */
export function binding(guardrails: readonly Guardrail[], team: string, app: string | null): readonly Guardrail[] {
  return guardrails.filter(
    (each) =>
      (each.teams === 'all' || each.teams.has(team)) &&
      (each.apps === 'all' || (app !== null && each.apps.has(app))) &&
      !each.exceptions.some((exception) => isExcepted(exception, team, app)),
  )
}

function isExcepted({ teams, apps }: GuardrailException, team: string, app: string | null): boolean {
  return (teams === null || teams.has(team)) && (apps === null || (app !== null && apps.has(app)))
}
