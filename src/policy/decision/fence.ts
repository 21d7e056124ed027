// The fence of a team: which organizations a request may name, and when a request that names none is bounded by it.
// Pure.

import type { Denial, Facts } from '../model/decision.ts'
import { quotedName } from '../../catalogue/name-folding.ts'
import { didYouMean } from '../../config/nearest.ts'
import type { PolicySet, Team } from '../model/policy-set.ts'
import { filtersItems } from './response-filter.ts'

/** Reasons finer than the kinds of the refusals made here. */
export const misspelledName = 'misspelled-name'
export const undocumentedName = 'undocumented-parameter'

/** Whether an organization is inside the fence of a team. */
export function isInside(team: Team, organization: string): boolean {
  return team.organizations === 'all' || team.organizations.has(organization)
}

/**
 * The refusal of a request that reaches beyond the fence of a team, or that a server could read as one that does; null when
 * it stays inside.
 */
export function outsideFence(policy: PolicySet, team: Team, facts: Facts): Denial | null {
  if (facts.organization?.includes('%') === true) return escapedId(team)
  if (team.organizations === 'all') return doubtfulName(team, facts)
  const fence = [...team.organizations].join(', ')
  const outside = facts.organizations.find((id) => !isInside(team, id))
  if (outside !== undefined) {
    const text = `organization ${shown(outside)} is outside the fence of team ${team.id} (${fence})`
    return fenceRefusal(
      team,
      text,
      `Team ${team.id} may not touch organization ${shown(outside)}; its organizations are ${fence}. Use one of them, or ask the owner of the policy to widen the fence.`,
    )
  }
  return (
    doubtfulName(team, facts) ??
    (isBounded(facts) || filtersItems(policy, facts, team) ? null : unbounded(team, facts, fence)) ??
    undocumentedParameter(team, facts)
  )
}

function unbounded(team: Team, { operation }: Facts, fence: string): Denial {
  const text = `${operation.id} names no organization and team ${team.id} is fenced to ${fence}`
  const narrowBy = operation.organizations.query.find((name) => name === 'org_ids')
  const advice =
    narrowBy === undefined
      ? "Use the organization's own operation"
      : `Name the organizations with the query parameter ${narrowBy}`
  return fenceRefusal(
    team,
    text,
    `${operation.id} reaches every organization, and team ${team.id} is fenced to ${fence}. ${advice}, or ask the owner of the policy for organizations: all.`,
  )
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

function fenceRefusal(team: Team, text: string, detail: string): Denial {
  const kind = 'organization-not-granted'
  return {
    problem: kind,
    reason: kind,
    detail,
    team,
    grant: null,
    nearest: { team: team.id, grant: null, what: 'organization', text },
    rank: 1,
  }
}

/** Ids come from the caller, so messages shorten and escape them. */
function shown(organization: string): string {
  const plain = organization.replaceAll(/[^A-Za-z0-9._|%:@-]/g, '?')
  return `"${plain.length > 64 ? `${plain.slice(0, 64)}…` : plain}"`
}
