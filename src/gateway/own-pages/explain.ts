// GET /gateway/v1/explain: how a call of this caller would be decided, with the same functions that decide it.

import { queryParameters } from '../../catalogue/target.ts'
import type { Principal } from '../../identity/principal.ts'
import { explainFully, lookupWanted, type ExplainedRequest } from '../../policy/tools/explain.ts'
import { withRefusal, withSteps, type Explanation } from '../../policy/tools/explanation.ts'
import { parseCheckedBody, type CheckedBody } from '../../policy/decision/checked-body.ts'
import type { PolicySet } from '../../policy/model/policy-set.ts'
import { readWritten } from '../../policy/requests/written-request.ts'
import { StrictJsonError } from '../../json/strict-json-error.ts'
import { Problem } from '../../problems.ts'
import type { DevinUsers } from '../devin-users.ts'
import { atTheMoment, type MomentParts } from './moment.ts'

export interface ExplainParts extends MomentParts {
  readonly devinUsers: DevinUsers
}

/** Several requests, where the query stands for several. */
export interface Explanations {
  readonly notes: readonly string[]
  readonly explanations: readonly Explanation[]
}

/**
 * Explains the call that `method`, `path` and `body` of the query describe; `path` may be an operation id, and without `method` each
 * one that the path knows is explained. Rejects with `malformed-request` for a query that describes none.
 */
export async function explainPage(
  policy: PolicySet,
  principal: Principal,
  query: string,
  parts: ExplainParts,
): Promise<Explanation | Explanations> {
  // The asked path may hold ampersands of its own, escaped; only the names of this page are read.
  const parameters = queryParameters(query)
  const valueOf = (wanted: string): string | undefined => parameters.find(([name]) => name === wanted)?.[1]
  const [method, path] = [valueOf('method'), valueOf('path') ?? valueOf('operation')]
  if (path === undefined) throw sayWhich()
  const body = bodyOf(valueOf('body'))
  if (method !== undefined && path.startsWith('/'))
    return await explainOne(policy, principal, { method: method.toUpperCase(), target: path, body }, parts)
  const said = valueOf('organization')
  const [team] = policy.teamsOf(principal)
  const organization = said ?? team?.defaultOrganization ?? null
  const words = method === undefined ? [path] : [method, path]
  const written = readWritten(policy.catalogue, words, { organization, isSaid: said !== undefined })
  if (typeof written === 'string')
    throw new Problem('malformed-request', `${written}.`, { reason: 'parameter-unclear' })
  const asked = written.requests.slice(0, mostExplained)
  const explanations: Explanation[] = []
  for (const request of asked) explanations.push(await explainOne(policy, principal, { ...request, body }, parts))
  const left = written.requests.length - asked.length
  const notes = left === 0 ? written.notes : [...written.notes, `${left} more are not explained: ask for fewer`]
  const [only] = explanations
  if (only === undefined || explanations.length > 1) return { notes, explanations }
  return withSteps(
    only,
    notes.map((text) => ({ stage: 'note', ok: true, text })),
  )
}

/** Explaining takes time, and any caller may ask. */
const mostExplained = 20

function sayWhich(): Problem {
  return new Problem(
    'malformed-request',
    'Say which call to explain: /gateway/v1/explain?method=GET&path=%2Fv3%2Fself (percent-encode the path, and the JSON of a body).',
    { reason: 'parameter-missing' },
  )
}

async function explainOne(
  policy: PolicySet,
  principal: Principal,
  request: ExplainedRequest,
  parts: ExplainParts,
): Promise<Explanation> {
  const wanted = lookupWanted(policy, principal, request)
  try {
    const devinUser =
      wanted === null ? undefined : await parts.devinUsers.find(policy, principal, wanted.organization, wanted.required)
    const explained = explainFully(policy, principal, { ...request, devinUser })
    const found = await atTheMoment(policy, explained, parts)
    // Who is of no team does not learn what would make a member: any pipeline may have a token of an issuer that is open to all.
    return policy.teamsOf(principal).length === 0 ? { ...found, nearest: null } : found
  } catch (error) {
    // The request itself would be refused for it.
    if (error instanceof Problem) return withRefusal(null, policy, request, error, 'guardrail')
    throw error
  }
}

function bodyOf(text: string | undefined): CheckedBody | null {
  if (text === undefined || text === '') return null
  try {
    return parseCheckedBody(Buffer.from(text))
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error
    throw new Problem(
      'body-unreadable',
      `The parameter body cannot be read: ${error.message}. Percent-encode strict JSON.`,
    )
  }
}
