// What a policy set gives the callers of one team for one request: the decision, the key, and the bounds around it. The same
// evaluation as that of requests, as if the caller were in no other team. Pure.

import type { Operation } from '../../catalogue/operation.ts'
import type { Principal } from '../../identity/principal.ts'
import type { KeyChoice } from '../../keys/select.ts'
import { evaluate, type Evaluation } from '../decision/evaluate.ts'
import { isWithheld } from '../decision/guarded-decision.ts'
import { CallerAttributes } from '../guardrails/attributes.ts'
import { boundGuardrails } from '../guardrails/bound.ts'
import type { Layer } from '../guardrails/guardrail.ts'
import type { ResponseFilter } from '../model/decision.ts'
import type { Grant, PolicySet, Team } from '../model/policy-set.ts'
import { fulfilsAny } from './caller-classes.ts'
import { passingRequest, type FieldPlace } from './guarded-request.ts'
import { sampleDevinUser, type SampleRequest } from './requests.ts'

/** Allowed where some values of body and query pass the guardrails. */
export interface Right {
  readonly effect: 'allow' | 'deny'
  /** Reason of the decision, or `key-unavailable`. */
  readonly reason: string
  readonly grant: Grant | null
  readonly key: KeyChoice | null
  readonly filter: ResponseFilter | null
}

/** One policy set as one of its teams sees it. */
export interface TeamView {
  readonly policy: PolicySet
  /** Null where the set has no such team. */
  readonly team: Team | null
  /** The right to send a request, with other values in body and query where guardrails want them. */
  rightTo(principal: Principal, request: SampleRequest): Right
  /** The request as it is. */
  evaluationOf(principal: Principal, request: SampleRequest): Evaluation
  /** The guardrails in force on an operation; empty where there is no such team. */
  guardrailsOn(operation: Operation, app: string | null): Layer
}

const noGuardrails = boundGuardrails([]).enforced

/** Sees a policy set with the eyes of a team. */
export function viewOf(policy: PolicySet, id: string): TeamView {
  const team = policy.team(id)
  const teams = team === null ? [] : [team]
  const teamsOf = (principal: Principal): readonly Team[] =>
    team !== null && fulfilsAny(team.members, principal) ? teams : []
  const bounded: PolicySet = { ...policy, teams, teamsOf }
  // Of values that nobody could say the bounds are compared as they are written. What guardrails take out of answers stays,
  // for a fence may rely on it.
  const unbounded: PolicySet = { ...bounded, guardrails: { ...policy.guardrails, on: () => undefined } }
  const evaluationOf = (principal: Principal, { operation, target, body }: SampleRequest): Evaluation =>
    evaluate(bounded, principal, operation, target, body, sampleDevinUser)
  const guardrailsOn = (operation: Operation, app: string | null): Layer =>
    team === null || policy.guardrails.on(operation) === undefined
      ? noGuardrails
      : policy.guardrails.binding(operation, team.id, app).enforced
  const rightTo = (principal: Principal, request: SampleRequest): Right => {
    const { operation, target, body } = request
    const free = evaluate(unbounded, principal, operation, target, body)
    if (free.decision.effect === 'deny' || policy.guardrails.on(operation) === undefined) return rightFrom(free)
    if (team !== null && isWithheld(policy, team, operation, principal))
      return { ...denied('guardrail'), grant: free.decision.grant }
    // An added value can name an organization, or need a permission of its own.
    const sent = evaluationOf(principal, request)
    if (sent.decision.reason !== 'guardrail') return rightFrom(sent)
    const layer = guardrailsOn(operation, principal.app)
    const brokenBy = (each: SampleRequest): readonly FieldPlace[] => brokenPlaces(evaluationOf(principal, each))
    const caller = new CallerAttributes(principal, id, request.organization, sampleDevinUser)
    const passing = passingRequest([{ layer, brokenBy }], request, caller)
    if (passing === 'impossible') return { ...denied('guardrail'), grant: free.decision.grant }
    return rightFrom(passing === 'unknown' ? free : evaluationOf(principal, passing))
  }
  return { policy, team, rightTo, evaluationOf, guardrailsOn }
}

/** Where a request breaks guardrails in force; empty for one that they let through. */
export function brokenPlaces({ verdict }: Evaluation): readonly FieldPlace[] {
  return (verdict?.violations ?? []).flatMap(({ in: site, field }) => (site === 'grant' ? [] : [{ in: site, field }]))
}

function rightFrom({ decision, key }: Evaluation): Right {
  const { effect, reason, grant, response } = decision
  if (effect === 'deny') return { ...denied(reason), grant }
  return key === null ? { ...denied('key-unavailable'), grant } : { effect, reason, grant, key, filter: response }
}

function denied(reason: string): Right {
  return { effect: 'deny', reason, grant: null, key: null, filter: null }
}
