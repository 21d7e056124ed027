// Explains a described request as the command `explain` does, under the policies, blocks and keys of now. Counts nothing.

import type { AskedExplanation } from '../../../admin/console/explain-request.ts'
import { QueryError } from '../../../admin/console/query.ts'
import { callerBlocked } from '../../../blocks/refusals.ts'
import { didYouMean } from '../../../config/nearest.ts'
import { keyUnusable } from '../../../gateway/refusals/keys.ts'
import { StrictJsonError } from '../../../json/strict-json-error.ts'
import { checkedBodyOf, type CheckedBody } from '../../../policy/decision/checked-body.ts'
import { describedCaller, untrustedIssuer } from '../../../policy/tools/described-caller.ts'
import { explainFully } from '../../../policy/tools/explain.ts'
import { withRefusal, withUnusableKey, type Explanation } from '../../../policy/tools/explanation.ts'
import { principalFrom } from '../../../policy/tools/suite.ts'
import type { ConsoleOptions } from '../console-options.ts'

/** Throws `QueryError` for a team that does not exist. */
export function explained({ core, blocks }: ConsoleOptions, asked: AskedExplanation): Explanation {
  const { config, keyring } = core
  const policy = blocks.policy()
  const { team = null } = asked.as
  const ids = core.policies.current.teams.map(({ id }) => id)
  if (team !== null && !ids.includes(team)) throw new QueryError(`There is no team "${team}"${didYouMean(team, ids)}.`)
  const principal = principalFrom(describedCaller(asked.as, core.policies.current, config.issuers))
  const request = {
    method: asked.method,
    target: asked.path,
    body: asked.body === undefined ? null : bodyOf(asked.body),
    devinUser: asked.devinUser === null ? undefined : { id: asked.devinUser },
  }
  const { explanation, evaluation } = explainFully(policy, principal, request)
  const untrusted = untrustedIssuer(principal.issuer, config.issuers)
  if (untrusted !== null) return withRefusal(explanation, policy, request, untrusted)
  const block = blocks.list.find(principal)
  if (block !== null) return withRefusal(explanation, policy, request, callerBlocked(block), 'caller')
  const key = evaluation?.key?.key ?? null
  const state = key === null || explanation.effect === 'deny' ? 'ready' : keyring.stateOf(key)
  if (key === null || state === 'ready') return explanation
  return withUnusableKey(explanation, keyUnusable(key.id, state, blocks.list))
}

/** Throws `QueryError` for a body that the gateway would not read either. */
function bodyOf(value: unknown): CheckedBody {
  try {
    return checkedBodyOf(value)
  } catch (error) {
    throw error instanceof StrictJsonError ? new QueryError(`body: it cannot be read: ${error.message}`) : error
  }
}
