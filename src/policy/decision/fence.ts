// The fence of a team: which organizations a request may name, and when a request that names none is bounded by it.
// Pure.

import { shortened } from '../../config/plural.ts'
import type { Denial, Facts, NearMiss } from '../model/decision.ts'
import { quotedName } from '../../catalogue/name-folding.ts'
import { didYouMean } from '../../config/nearest.ts'
import type { Grant, PolicySet, Team } from '../model/policy-set.ts'
import { ownerText } from '../model/remarks.ts'
import { filtersItems } from './response-filter.ts'

/** Reasons finer than the kinds of the refusals made here. */
export const misspelledName = 'misspelled-name'
export const undocumentedName = 'undocumented-parameter'

/** Whether an organization is inside the fence of a team. */
export function isInside(team: Team, organization: string): boolean {
  return team.organizations === 'all' || team.organizations.has(organization)
}

/** What a grant reaches: its own organizations, or all of its team's. */
export function reachOf(team: Team, grant: Grant | null): 'all' | ReadonlySet<string> {
  return grant?.organizations ?? team.organizations
}

/** Whether a grant that adds a permission to another one holds for all that the request touches. */
export function holdsWhereAsked({ organizations }: Grant, facts: Facts): boolean {
  return organizations === null || (isBounded(facts) && facts.organizations.every((id) => organizations.has(id)))
}

/**
 * The refusal of a request that reaches beyond the fence of a team or beyond the organizations of a grant, or that a server
 * could read as one that does; null when it stays inside.
 */
export function outsideFence(policy: PolicySet, team: Team, grant: Grant | null, facts: Facts): Denial | null {
  if (facts.organization?.includes('%') === true) return escapedId(team)
  const reach = reachOf(team, grant)
  if (reach === 'all') return doubtfulName(team, facts)
  return (
    outside(team, grant, facts) ??
    doubtfulName(team, facts) ??
    (isBounded(facts) || filtersItems(policy, facts, team) ? null : unbounded(policy, team, grant, facts)) ??
    undocumentedParameter(team, facts)
  )
}

function outside(team: Team, grant: Grant | null, facts: Facts): Denial | null {
  const beyond = facts.organizations.find((id) => !isInside(team, id))
  if (beyond !== undefined && team.organizations !== 'all') {
    const fence = [...team.organizations].join(', ')
    const text = `organization ${shown(beyond)} is not among the organizations of team ${team.id} (${fence})`
    return fenceRefusal(
      team,
      text,
      `Team ${team.id} may not touch organization ${shown(beyond)}; its organizations are ${fence}. Use one of them, or ask ${ownerText(team.owner, 'the owner of the policy')} to add the organization to the team.`,
    )
  }
  const organizations = grant?.organizations ?? null
  const missing = organizations === null ? undefined : facts.organizations.find((id) => !organizations.has(id))
  if (grant === null || organizations === null || missing === undefined) return null
  const own = [...organizations].join(', ')
  const refusal = fenceRefusal(
    team,
    `grant ${grant.id} of team ${team.id} covers it in ${own} only, and not in organization ${shown(missing)}`,
    `Grant ${grant.id} of team ${team.id} allows ${facts.operation.id} in ${own} only, and not in organization ${shown(missing)}. Use one of them, or ask ${ownerText(grant.owner, 'the owner of the policy')} for a grant in that organization.`,
  )
  return {
    ...refusal,
    owner: grant.owner,
    nearest: { team: team.id, grant: grant.id, what: 'organization', text: refusal.nearest.text },
  }
}

function unbounded(policy: PolicySet, team: Team, grant: Grant | null, { operation }: Facts): Denial {
  const narrowed = grant === null || grant.organizations === null ? null : grant
  const organizations = reachOf(team, narrowed)
  const reach = organizations === 'all' ? 'all' : [...organizations].join(', ')
  const holder = narrowed === null ? `team ${team.id}` : `grant ${narrowed.id} of team ${team.id}`
  const owner = narrowed === null ? team.owner : narrowed.owner
  const wish = narrowed === null ? 'organizations: all' : 'a grant of all organizations'
  const narrowBy = operation.organizations.query.find((name) => name === 'org_ids')
  const own = policy.catalogue.ofOneOrganization(operation)
  const ways = [
    ...(narrowBy === undefined ? [] : [`name the organizations with the query parameter ${narrowBy}`]),
    ...(own === null ? [] : [`use ${own.id} (${own.method} ${own.template}), which is about one organization`]),
    `ask ${ownerText(owner, 'the owner of the policy')} for ${wish}`,
  ]
  const advice = `${ways
    .slice(0, -1)
    .map((way) => `${way}, `)
    .join('')}${ways.length > 1 ? 'or ' : ''}${ways.at(-1) ?? ''}`
  const refusal = fenceRefusal(
    team,
    `${operation.id} names no organization and ${holder} is fenced to ${reach}`,
    `${operation.id} reaches every organization, and ${holder} is fenced to ${reach}. ${advice.charAt(0).toUpperCase()}${advice.slice(1)}.`,
  )
  return { ...refusal, owner }
}

/** A server that reads names leniently would see another request than the one that is decided. */
function doubtfulName(team: Team, { doubtful }: Facts): Denial | null {
  if (doubtful === null) return null
  const { in: site, fault, name, isOrganization } = doubtful
  const spelled = quotedName(doubtful.spelled)
  const where = site === 'query' ? 'the query parameter' : 'the member'
  const text =
    fault === 'place'
      ? `${where} ${spelled} could be taken for ${name}, which belongs into the body`
      : `${where} ${spelled} could be taken for ${name}`
  const advice = fault === 'place' ? `Send ${name} in the body, or leave it out` : `Spell it ${name}, or leave it out`
  const detail = `Servers may read ${where} ${spelled} as ${name}${fault === 'place' ? ', which belongs into the body' : ''}. ${advice}.`
  const refusal = fenceRefusal(team, text, detail)
  if (isOrganization) return refusal
  const problem = site === 'query' ? 'malformed-request' : 'body-unreadable'
  return { ...refusal, problem, reason: misspelledName, nearest: { team: team.id, grant: null, what: 'name', text } }
}

function undocumentedParameter(team: Team, { undocumented, operation }: Facts): Denial | null {
  if (undocumented === null) return null
  const near = didYouMean(undocumented, operation.parameters)
  const known = operation.parameters.length === 0 ? 'none' : operation.parameters.join(', ')
  const spelled = quotedName(undocumented)
  return {
    ...fenceRefusal(
      team,
      `the API documents no query parameter ${spelled} for ${operation.id}, and team ${team.id} has a fence`,
      `The API documents no query parameter ${spelled} for ${operation.id}${near}, and what it would reach is not known: behind the fence of team ${team.id} only documented ones pass (${known}). Leave it out.`,
    ),
    reason: undocumentedName,
  }
}

/** Fences, keys, limits and budgets know an organization by its plain id; Devin would read the escaped one as the same. */
function escapedId(team: Team): Denial {
  return fenceRefusal(
    team,
    'the id of the organization in the path is spelled with an escape',
    'The id of the organization in the path is spelled with an escape, and is compared as it stands. Spell it plainly, as the API does.',
  )
}

/** Whether what the operation touches is bounded by the organizations that the request names. */
function isBounded({ operation, narrowed }: Facts): boolean {
  return operation.scope !== 'enterprise' || narrowed
}

function fenceRefusal(team: Team, text: string, detail: string): Denial & { readonly nearest: NearMiss } {
  const kind = 'organization-not-granted'
  return {
    problem: kind,
    reason: kind,
    detail,
    team,
    grant: null,
    owner: team.owner,
    nearest: { team: team.id, grant: null, what: 'organization', text },
    rank: 1,
  }
}

/** Ids come from the caller, so messages shorten and escape them. */
function shown(organization: string): string {
  const plain = organization.replaceAll(/[^!-~]|["\\]/g, '?')
  return `"${shortened(plain, 64)}"`
}
