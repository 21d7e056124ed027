// GET /gateway/v1/explain: how a call of this caller would be decided, with the same functions that decide it.

import { queryParameters } from '../../catalogue/target.ts'
import type { Principal } from '../../identity/principal.ts'
import { explain, lookupWanted, type ExplainedRequest, type Explanation } from '../../policy/tools/explain.ts'
import { parseCheckedBody, type CheckedBody } from '../../policy/decision/checked-body.ts'
import type { PolicySet } from '../../policy/model/policy-set.ts'
import { StrictJsonError } from '../../json/strict-json-error.ts'
import { Problem } from '../../problems.ts'
import type { DevinUsers } from '../devin-users.ts'
import { whenReady } from '../stages/stage.ts'

/**
 * Explains the call that `method`, `path` and `body` of the query describe. A promise only where a guardrail asks who the
 * caller is at Devin. Throws `malformed-request` for a query that describes none.
 */
export function explainPage(
  policy: PolicySet,
  principal: Principal,
  query: string,
  devinUsers: DevinUsers,
): Explanation | Promise<Explanation> {
  // The asked path may hold ampersands of its own, escaped; only the names of this page are read.
  const parameters = queryParameters(query)
  const valueOf = (wanted: string): string | undefined => parameters.find(([name]) => name === wanted)?.[1]
  const [method, path, body] = [valueOf('method'), valueOf('path'), valueOf('body')]
  if (method === undefined || path === undefined) {
    throw new Problem(
      'malformed-request',
      'Say which call to explain: /gateway/v1/explain?method=GET&path=%2Fv3%2Fself (percent-encode the path, and the JSON of a body).',
      { reason: 'parameter-missing' },
    )
  }
  const request: ExplainedRequest = { method: method.toUpperCase(), target: path, body: bodyOf(body) }
  const wanted = lookupWanted(policy, principal, request)
  if (wanted === null) return explainToCaller(policy, principal, request)
  return whenReady(devinUsers.find(policy, principal, wanted.organization, wanted.required), (devinUser) =>
    explainToCaller(policy, principal, { ...request, devinUser }),
  )
}

/** Who is of no team does not learn what would make a member: any pipeline may have a token of an issuer that is open to all. */
function explainToCaller(policy: PolicySet, principal: Principal, request: ExplainedRequest): Explanation {
  const found = explain(policy, principal, request)
  return policy.teamsOf(principal).length === 0 ? { ...found, nearest: null } : found
}

function bodyOf(text: string | undefined): CheckedBody | null {
  if (text === undefined || text === '') return null
  try {
    return parseCheckedBody(Buffer.from(text))
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error
    throw new Problem(
      'body-unreadable',
      `The parameter body cannot be judged: ${error.message}. Percent-encode strict JSON.`,
    )
  }
}
