// Requests to begin with, found in the policies themselves: one that is allowed, one that is denied, one that is answered from the
// cache, a create, and one that a guardrail bounds.

import { sessionCreate, type CacheClass, type Operation } from '../../catalogue/operation.ts'
import { parseCheckedBody } from '../../policy/decision/checked-body.ts'
import type { PolicySet, Team } from '../../policy/model/policy-set.ts'
import { explain } from '../../policy/tools/explain.ts'
import type { Explanation } from '../../policy/tools/explanation.ts'
import { principalFrom } from '../../policy/tools/suite.ts'
import type { TestPrincipalDocument } from '../../policy/documents/document.ts'

/** Requests of one team's member. Null: the policies give no such example. */
export interface FirstRequests {
  readonly team: string
  /** Paths of reads. */
  readonly allowed: string | null
  readonly denied: string | null
  readonly cached: string | null
  readonly created: Create | null
  /** A create that costs too much. */
  readonly bounded: Create | null
}

export interface Create {
  readonly path: string
  readonly body: string
}

/** Kept long enough to be seen in a second request that a person types. */
const noticeable: ReadonlySet<CacheClass> = new Set(['medium', 'long', 'closed-window-long'])
const preferred = ['org.sessions.list', 'org.playbooks.list']

/** Finds them for the first team that has an allowed read, teams with a fence first. `callerOf` is a member of a team. */
export function firstRequests(
  policy: PolicySet,
  callerOf: (team: string) => TestPrincipalDocument,
): FirstRequests | null {
  const fenced = policy.teams.filter(({ organizations }) => organizations !== 'all')
  const found = [...new Set([...fenced, ...policy.teams])].map((team) => requestsOf(policy, team, callerOf(team.id)))
  return found.find(({ allowed }) => allowed !== null) ?? found[0] ?? null
}

function requestsOf(policy: PolicySet, team: Team, caller: TestPrincipalDocument): FirstRequests {
  const principal = principalFrom(caller)
  const ask = (method: string, target: string, body: string | null = null): Explanation =>
    explain(policy, principal, {
      method,
      target,
      body: body === null ? null : parseCheckedBody(Buffer.from(body)),
    })
  const own = team.defaultOrganization ?? (team.organizations === 'all' ? null : ([...team.organizations][0] ?? null))
  const reads = readsOf(policy)
  const pathOf = ({ template }: Operation, organization: string | null): string | null =>
    template.includes('{org_id}') && organization === null ? null : template.replace('{org_id}', organization ?? '')
  const granted = reads.filter((read) => {
    const path = pathOf(read, own)
    return path !== null && ask('GET', path).effect === 'allow'
  })
  const [first] = granted
  const cached = granted.find((read) => noticeable.has(read.cache))
  const refused = reads.find((read) => read.template.includes('{org_id}') && !granted.includes(read))
  const foreign = organizationsOf(policy).findLast((id) => team.organizations !== 'all' && !team.organizations.has(id))
  const creates = policy.catalogue.operations.find(({ id }) => id === sessionCreate)
  const createPath = creates === undefined ? null : pathOf(creates, own)
  const createWith = (body: string, isWanted: (found: Explanation) => boolean): Create | null =>
    createPath !== null && isWanted(ask('POST', createPath, body)) ? { path: createPath, body } : null
  return {
    team: team.id,
    allowed:
      first === undefined ? null : `${pathOf(first, own) ?? ''}${first.parameters.includes('first') ? '?first=1' : ''}`,
    denied:
      foreign !== undefined && first !== undefined && first.template.includes('{org_id}')
        ? pathOf(first, foreign)
        : refused === undefined
          ? null
          : pathOf(refused, own),
    cached: cached === undefined ? null : pathOf(cached, own),
    created: createWith('{"prompt":"Upgrade a dependency","max_acu_limit":5}', ({ effect }) => effect === 'allow'),
    bounded: createWith('{"prompt":"Migrate everything","max_acu_limit":500}', ({ reason }) => reason === 'guardrail'),
  }
}

/** Reads that need no parameter but the organization; those that say most to a newcomer first. */
function readsOf({ catalogue }: PolicySet): Operation[] {
  const rank = ({ id, scope }: Operation): number => {
    const at = preferred.indexOf(id)
    return at !== -1 ? at : scope === 'organization' ? preferred.length : preferred.length + 1
  }
  return catalogue.operations
    .filter((operation) => operation.method === 'GET' && catalogue.isServed(operation) && !operation.open)
    .filter(({ template }) => /^[^{}]*(\{org_id\}[^{}]*)?$/.test(template))
    .toSorted((a, b) => rank(a) - rank(b))
}

function organizationsOf({ teams, keys }: PolicySet): string[] {
  const ofTeams = teams.flatMap(({ organizations }) => (organizations === 'all' ? [] : [...organizations]))
  const ofKeys = keys.flatMap(({ organization }) => (organization === null ? [] : [organization]))
  return [...new Set([...ofTeams, ...ofKeys])].sort()
}
