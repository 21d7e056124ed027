// Stage: which operation it is and what the policy says, as far as that can be said without the body.

import type { Principal } from '../../identity/principal.ts'
import { evaluate, findOperation, type Evaluation } from '../../policy/evaluate.ts'
import { tooLarge } from '../bodies/collect.ts'
import type { RequestContext } from '../context.ts'
import { refusalOf } from '../refusals/request.ts'
import type { Stage } from './stage.ts'

export function createAuthorize(maxBodyBytes: number): Stage {
  return {
    name: 'authorize',
    run(context) {
      const { principal, fields } = context
      if (principal === null) throw new Error('nobody was authenticated')
      const evaluation = evaluateFirst(context, principal)
      context.evaluation = evaluation
      const refusal = refusalOf(evaluation)
      if (refusal !== null) return refusal
      return fields.bodyLength !== null && fields.bodyLength > maxBodyBytes ? tooLarge(maxBodyBytes) : undefined
    },
  }
}

/** Made once for a request that its caller repeats. */
function evaluateFirst(context: RequestContext, principal: Principal): Evaluation {
  const { policy, rawTarget, target } = context
  const method = context.method ?? ''
  const known = policy.repeated.find(principal, method, rawTarget)
  context.operation = known === null ? findOperation(policy, method, target) : known.facts.operation
  if (known !== null) return known
  const evaluation = evaluate(policy, principal, context.operation, target)
  policy.repeated.note(principal, method, rawTarget, evaluation)
  return evaluation
}
