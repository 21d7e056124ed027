// The requests that were allowed, each kind once: what a tighter policy set must still allow. Pure.

import { parseTarget, type Target } from '../../catalogue/target.ts'
import type { Operation } from '../../catalogue/operation.ts'
import type { Principal } from '../../identity/principal.ts'
import type { CheckedBody } from '../decision/checked-body.ts'
import { evaluate, findOperation, type Evaluation } from '../decision/evaluate.ts'
import type { DevinUser } from '../guardrails/attributes.ts'
import { conditionHolds } from '../model/condition.ts'
import type { PolicySet, Team } from '../model/policy-set.ts'
import type { RecordedDecision } from '../replay/recorded-decision.ts'
import { redecide, replayOf } from '../replay/replay.ts'

/** Requests that no rule tells apart. */
export interface SeenRequest {
  readonly principal: Principal
  readonly operation: Operation
  readonly target: Target
  readonly body: CheckedBody | null | undefined
  readonly devinUser: DevinUser | undefined
  /** Under the set in force. */
  readonly evaluation: Evaluation
  count: number
  lastSeen: string
}

type Kind = Omit<SeenRequest, 'count' | 'lastSeen'> & { readonly address: string }

/** Behind every time. */
const always = '~'

/** More kinds of requests than a policy set tells apart in practice. */
const mostKinds = 100_000
const mostKnown = 8_000

export class SeenRequests {
  readonly #policy: PolicySet
  readonly #kinds = new Map<string, SeenRequest>()
  readonly #known = new Map<string, SeenRequest | null>()
  /** Allowed then, and not under the set in force, or not to be decided again. */
  left = 0

  constructor(policy: PolicySet) {
    this.#policy = policy
  }

  get all(): readonly SeenRequest[] {
    return [...this.#kinds.values()]
  }

  /** Counts a record like one before it; false where there was none, or it is forgotten. */
  repeated(content: string, time: string): boolean {
    const known = this.#known.get(content)
    if (known === undefined) return false
    this.#count(known, time)
    return true
  }

  add(record: RecordedDecision, content: string | null): void {
    const kind = record.effect === 'allow' && typeof record.operation === 'string' ? this.#kindOf(record) : null
    if (kind === null && record.effect === 'allow' && typeof record.operation === 'string') this.left += 1
    if (content !== null) {
      if (this.#known.size >= mostKnown) this.#known.clear()
      this.#known.set(content, kind)
    }
    this.#count(kind, record.time)
  }

  #count(kind: SeenRequest | null, time: string): void {
    if (kind === null) return
    kind.count += 1
    if (time > kind.lastSeen) kind.lastSeen = time
  }

  #kindOf(record: RecordedDecision): SeenRequest | null {
    const policy = this.#policy
    const replay = replayOf(policy, record)
    if (typeof replay === 'string') return null
    const { evaluation, missing } = redecide(policy, record, replay)
    if (missing.length > 0 || !isAllowed(evaluation)) return null
    return this.#kindLike({ ...replay, evaluation })
  }

  /** A request of a policy test: it counts as seen where it is granted, and as no decision. Throws for an unknown path. */
  require(
    principal: Principal,
    method: string,
    address: string,
    body: CheckedBody | null,
    devinUser?: DevinUser,
  ): void {
    const target = parseTarget(address)
    const operation = findOperation(this.#policy, method, target)
    const evaluation = evaluate(this.#policy, principal, operation, target, body, devinUser)
    // A guardrail refuses what is granted: without the grant the reason would be another one.
    if (!isAllowed(evaluation) && evaluation.decision.reason !== 'guardrail') return
    this.#kindLike({ principal, operation, target, address, body, devinUser, evaluation }).lastSeen = always
  }

  #kindLike({ principal, operation, target, body, address, devinUser, evaluation }: Kind): SeenRequest {
    const policy = this.#policy
    const key = JSON.stringify([
      conditionsHeld(policy.teamsOf(principal), principal),
      principal.app,
      principal.issuer,
      operation.id,
      address,
      body === undefined ? null : (body?.bytes.toString() ?? ''),
      devinUser,
    ])
    const known = this.#kinds.get(key)
    if (known !== undefined) return known
    if (this.#kinds.size >= mostKinds)
      throw new Error(`the log holds more than ${mostKinds} kinds of requests: name fewer files`)
    const made = { principal, operation, target, body, devinUser, evaluation, count: 0, lastSeen: '' }
    this.#kinds.set(key, made)
    return made
  }
}

/** Whether a request may be sent, as far as it was decided. */
function isAllowed({ decision, key, needsBody, needsDevinUser }: Evaluation): boolean {
  return decision.effect === 'allow' && (key !== null || needsBody || needsDevinUser !== null)
}

/** How many of the requests another set denies. */
export function deniedUnder(policy: PolicySet, seen: readonly SeenRequest[]): number {
  return seen.reduce((sum, request) => (isAllowed(evaluatedUnder(policy, request)) ? sum : sum + request.count), 0)
}

/** Requests that another set serves with another key. */
export interface OtherKey {
  readonly before: string
  readonly after: string
  /** Recorded decisions. */
  readonly count: number
}

export function otherKeysUnder(policy: PolicySet, seen: readonly SeenRequest[]): readonly OtherKey[] {
  const found = new Map<string, OtherKey>()
  for (const request of seen) {
    const before = request.evaluation.key?.key.id
    const after = evaluatedUnder(policy, request).key?.key.id
    if (request.count === 0 || before === undefined || after === undefined || before === after) continue
    const pair = JSON.stringify([before, after])
    found.set(pair, { before, after, count: (found.get(pair)?.count ?? 0) + request.count })
  }
  return [...found.values()]
}

function evaluatedUnder(policy: PolicySet, { principal, operation, target, body, devinUser }: SeenRequest): Evaluation {
  const first = evaluate(policy, principal, operation, target, body)
  return first.needsDevinUser === null ? first : evaluate(policy, principal, operation, target, body, devinUser)
}

/** Which entries and conditions of the caller's teams hold for it. */
function conditionsHeld(teams: readonly Team[], principal: Principal): readonly string[] {
  return teams.map(({ id, members, grants }) => {
    const held = [...members, ...grants.flatMap(({ when }) => (when === null ? [] : [when]))]
    return `${id} ${held.map((condition) => (conditionHolds(condition, principal) ? '1' : '0')).join('')}`
  })
}
