// Stage: finds the operation and evaluates the policy, as far as that is possible without the body.

import type { Principal } from '../../identity/principal.ts'
import { evaluate, findOperation } from '../../policy/decision/evaluate.ts'
import { tooLarge } from '../bodies/collect.ts'
import type { PolicySet } from '../../policy/model/policy-set.ts'
import type { RequestContext } from '../context.ts'
import { DecisionMemo, RepeatedRequests, type Evaluated } from '../evaluation-memo.ts'
import { refusalOf } from '../refusals/request.ts'
import type { Stage } from './stage.ts'

export function createAuthorize(maxBodyBytes: number): Stage {
  return {
    name: 'authorize',
    run(context) {
      const { principal, fields } = context
      if (principal === null) throw new Error('nobody was authenticated')
      const { evaluation, memo } = evaluateFirst(context, principal)
      context.wasEvaluated(evaluation, memo)
      const refusal = refusalOf(context)
      if (refusal !== null) return refusal
      return fields.bodyLength !== null && fields.bodyLength > maxBodyBytes
        ? tooLarge(maxBodyBytes, 'bodies.max_size')
        : undefined
    },
  }
}

/** By policy snapshot, so that a reload starts with an empty memo. */
const repeatedRequests = new WeakMap<PolicySet, RepeatedRequests>()

/** Made once for a request that its caller repeats. */
function evaluateFirst(context: RequestContext, principal: Principal): Evaluated {
  const { policy, rawTarget, target } = context
  const method = context.method ?? ''
  let repeated = repeatedRequests.get(policy)
  if (repeated === undefined) repeatedRequests.set(policy, (repeated = new RepeatedRequests()))
  const known = repeated.find(principal, method, rawTarget)
  if (known !== null) {
    context.operation = known.evaluation.facts.operation
    return known
  }
  context.operation = findOperation(policy, method, target)
  const evaluated = { evaluation: evaluate(policy, principal, context.operation, target), memo: new DecisionMemo() }
  repeated.note(principal, method, rawTarget, evaluated)
  return evaluated
}
