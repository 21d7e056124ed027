// Stage: the decision again, where it depends on the body or the caller's Devin user. What was judged is what is sent.

import { setImmediate } from 'node:timers/promises'
import { evaluate, evaluateBody, type Evaluation } from '../../../policy/decision/evaluate.ts'
import { smallBodyBytes, type Bodies } from '../../bodies/collect.ts'
import { judgeBody } from '../../bodies/judge.ts'
import type { RequestContext } from '../../context.ts'
import type { DevinUsers } from '../../devin-users.ts'
import { DecisionMemo } from '../../evaluation-memo.ts'
import { refusalOf } from '../../refusals/request.ts'
import { whenReady, type Stage, type StageResult } from '../stage.ts'

export interface JudgeBodyParts {
  readonly devinUsers: DevinUsers
  readonly bodies: Bodies
}

export function createJudgeBody({ devinUsers, bodies }: JudgeBodyParts): Stage {
  function judge(context: RequestContext, first: Evaluation, received: Buffer): StageResult | Promise<StageResult> {
    context.receivedBody = received
    const { guardrails } = context.policy
    const body = judgeBody(received, context.fields, guardrails.boundsBody(first.facts.operation))
    const evaluated = (): StageResult | Promise<StageResult> =>
      identify(context, evaluateBody(context.policy, first, body))
    return received.length > smallBodyBytes ? inOwnTurn(evaluated) : evaluated()
  }

  /** Parsing a large body, judging it and writing it anew each take long: others have their turn in between. */
  async function inOwnTurn(work: () => StageResult | Promise<StageResult>): Promise<StageResult> {
    await setImmediate()
    const result = await work()
    await setImmediate()
    return result
  }

  function identify(context: RequestContext, evaluation: Evaluation): StageResult | Promise<StageResult> {
    if (evaluation.needsDevinUser === null) return settle(context, evaluation)
    const { policy, target } = context
    const { principal, operation, organization } = evaluation.facts
    const found = devinUsers.find(policy, principal, organization, evaluation.needsDevinUser === 'enforced')
    return Promise.resolve(found).then((devinUser) => {
      context.devinUser = devinUser
      return settle(context, evaluate(policy, principal, operation, target, evaluation.body, devinUser))
    })
  }

  function settle(context: RequestContext, evaluation: Evaluation): StageResult {
    const { decided, memo } = context
    if (evaluation !== decided) {
      const isSameDecision = evaluation.decision === decided.decision && evaluation.facts === decided.facts
      context.wasEvaluated(evaluation, isSameDecision ? memo.afterBody : new DecisionMemo())
    }
    return refusalOf(context) ?? undefined
  }

  return {
    name: 'judge-body',
    run(context) {
      const first = context.decided
      if (!first.needsBody) return identify(context, first)
      return whenReady(bodies.whole(context), (received) => judge(context, first, received))
    },
  }
}
