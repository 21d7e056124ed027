// Counts what became of recorded decisions: by result, and in groups with one example each. Bounded, however many there are. Pure.

import { callerData } from '../tools/described-caller.ts'
import type { PolicySet } from '../model/policy-set.ts'
import { outcomeOf, type Outcome, type OutcomeKind } from './outcome.ts'
import type { RecordedDecision } from './recorded-decision.ts'

/** `from` and `to`: of what is not replayable the recorded decision, and the facts that are missing. */
export interface ReplayGroup extends Pick<Outcome, 'team' | 'operation' | 'from' | 'to'> {
  readonly result: OutcomeKind
  readonly count: number
  readonly example: ReplayExample
}

/** The first decision of a group. */
export interface ReplayExample {
  readonly decision_id: string
  readonly time: string
  readonly method: string | null
  /** Values that no rule reads are made up. */
  readonly path: string | null
  readonly as: Readonly<Record<string, unknown>> | null
}

/** Groups beyond these are counted together: names in a log are its writer's. */
const mostGroups = 5_000
/** Records whose outcome is remembered: most of a log repeat others. */
const mostKnown = 1_000

/** What is remembered of a record. */
interface Known {
  readonly kind: OutcomeKind
  readonly group: Counted | null
  readonly isOlder: boolean
}

type Counted = Omit<ReplayGroup, 'count'> & { count: number }

export class ReplayTally {
  readonly #policy: PolicySet
  readonly #groups = new Map<string, Counted>()
  readonly #known = new Map<string, Known>()
  /** How many rights had ended when the last record was written. */
  #ended = 0
  readonly counts: Record<OutcomeKind, number> = {
    same: 0,
    'newly-allowed': 0,
    'newly-denied': 0,
    'other-key': 0,
    'other-guardrail': 0,
    'not-replayable': 0,
  }
  /** Decisions of earlier versions, which did not record the names of undocumented parameters. */
  older = 0

  constructor(policy: PolicySet) {
    this.#policy = policy
  }

  /** Counts a record like one before it; false where there was none, or it is forgotten. */
  repeated(content: string, time: string): boolean {
    this.#turnTo(time)
    const known = this.#known.get(content)
    if (known === undefined) return false
    this.#count(known)
    return true
  }

  /** Decides one record again. `content`: equal for records that say the same but for time and ids; null: unknown. */
  add(record: RecordedDecision, content: string | null): void {
    this.#turnTo(record.time)
    const outcome = outcomeOf(this.#policy, record)
    const { kind, replay } = outcome
    const result = { kind, group: this.#groupOf(outcome, record), isOlder: replay?.isWhole === false }
    if (content !== null) {
      if (this.#known.size >= mostKnown) this.#known.clear()
      this.#known.set(content, result)
    }
    this.#count(result)
  }

  /** What was decided before a right ended says nothing of what came after it. */
  #turnTo(time: string): void {
    const { ends } = this.#policy
    if (ends.length === 0) return
    const atMs = Date.parse(time)
    const ended = ends.filter((end) => end <= atMs).length
    if (ended === this.#ended) return
    this.#ended = ended
    this.#known.clear()
  }

  #count({ kind, group, isOlder }: Known): void {
    this.counts[kind] += 1
    if (isOlder) this.older += 1
    if (group !== null) group.count += 1
  }

  #groupOf(outcome: Outcome, record: RecordedDecision): Counted | null {
    const { kind, team, operation, from, to } = outcome
    if (kind === 'same') return null
    const key = JSON.stringify([kind, team, operation, from, to])
    const known = this.#groups.get(key) ?? (this.#groups.size >= mostGroups ? this.#others(kind) : undefined)
    if (known !== undefined) return known
    const made = { result: kind, team, operation, from, to, count: 0, example: exampleOf(outcome, record) }
    this.#groups.set(key, made)
    return made
  }

  /** The largest first, by result. */
  groups(): readonly ReplayGroup[] {
    const order: readonly OutcomeKind[] = [
      'newly-denied',
      'newly-allowed',
      'other-key',
      'other-guardrail',
      'not-replayable',
    ]
    return [...this.#groups.values()].toSorted(
      (a, b) => order.indexOf(a.result) - order.indexOf(b.result) || b.count - a.count,
    )
  }

  #others(kind: OutcomeKind): Counted | undefined {
    return [...this.#groups.values()].find(({ result }) => result === kind)
  }
}

function exampleOf({ replay }: Outcome, { decision_id, time }: RecordedDecision): ReplayExample {
  return {
    decision_id,
    time,
    method: replay?.operation.method ?? null,
    path: replay?.address ?? null,
    as: replay === null ? null : callerData(replay.principal),
  }
}
