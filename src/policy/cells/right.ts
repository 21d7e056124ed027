// What a policy set gives the callers of one team for one request: the decision, the key, and the bounds around it. The same
// evaluation as that of requests, as if the caller were in no other team. Pure.

import type { Principal } from '../../identity/principal.ts'
import type { KeyChoice } from '../../keys/select.ts'
import { evaluate } from '../decision/evaluate.ts'
import { isWithheld } from '../decision/guarded-decision.ts'
import type { ResponseFilter } from '../model/decision.ts'
import type { Grant, PolicySet, Team } from '../model/policy-set.ts'
import { fulfilsAny } from './caller-classes.ts'
import type { SampleRequest } from './requests.ts'

/** `bounded`: allowed as far as the guardrails on its body and query let it through. */
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
  /** The right to send a request, whatever values its body and query have. */
  rightTo(principal: Principal, request: SampleRequest): Right
}

const noUser = { unknown: 'nobody was asked' }

/** Sees a policy set with the eyes of a team. */
export function viewOf(policy: PolicySet, id: string): TeamView {
  const team = policy.team(id)
  const teams = team === null ? [] : [team]
  const teamsOf = (principal: Principal): readonly Team[] =>
    team !== null && fulfilsAny(team.members, principal) ? teams : []
  const bounded: PolicySet = { ...policy, teams, teamsOf }
  // Values of body and query are infinitely many: their bounds are compared as they are written. What guardrails take out of
  // answers stays, for a fence may rely on it.
  const unbounded: PolicySet = { ...bounded, guardrails: { ...policy.guardrails, on: () => undefined } }
  return {
    policy,
    team,
    rightTo(principal, { operation, target, body }) {
      const free = evaluate(unbounded, principal, operation, target, body)
      if (free.decision.effect === 'deny' || policy.guardrails.on(operation) === undefined) return rightFrom(free)
      if (team !== null && isWithheld(policy, team, operation, principal))
        return { ...denied('guardrail'), grant: free.decision.grant }
      // An added value can name an organization, or need a permission of its own.
      const sent = evaluate(bounded, principal, operation, target, body, noUser)
      return sent.decision.reason === 'guardrail' ? rightFrom(free) : rightFrom(sent)
    },
  }
}

function rightFrom({ decision, key }: ReturnType<typeof evaluate>): Right {
  const { effect, reason, grant, response } = decision
  if (effect === 'deny') return { ...denied(reason), grant }
  return key === null ? { ...denied('key-unavailable'), grant } : { effect, reason, grant, key, filter: response }
}

function denied(reason: string): Right {
  return { effect: 'deny', reason, grant: null, key: null, filter: null }
}
