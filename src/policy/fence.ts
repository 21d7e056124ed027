// The fence of a team: which organizations a request may name, and when one that names none is held by it all the same. Pure.

import type { Facts, Refusal } from './decide.ts'
import type { PolicySet, Team } from './policy-set.ts'
import { filtersItems } from './response-filter.ts'

/** Whether an organization is inside the fence of a team. */
export function isInside(team: Team, organization: string): boolean {
  return team.organizations === 'all' || team.organizations.has(organization)
}

/** The refusal of a request that reaches beyond the fence of a team; null when it stays inside. */
export function outsideFence(policy: PolicySet, team: Team, facts: Facts): Refusal | null {
  if (facts.organization?.includes('%') === true) return escapedId(team)
  if (team.organizations === 'all') return null
  const outside = facts.organizations.find((id) => !isInside(team, id))
  if (outside === undefined && (isBounded(facts) || filtersItems(policy, facts, team))) return null
  const fence = [...team.organizations].join(', ')
  if (outside !== undefined) {
    const text = `organization ${shown(outside)} is outside the fence of team ${team.id} (${fence})`
    return fenceRefusal(
      team,
      text,
      `Team ${team.id} may not touch organization ${shown(outside)}; its organizations are ${fence}. Use one of them, or ask the owner of the policy to widen the fence.`,
    )
  }
  const text = `${facts.operation.id} names no organization and team ${team.id} is fenced to ${fence}`
  const narrowBy = facts.operation.organizations.query.find((name) => name === 'org_ids')
  const advice =
    narrowBy === undefined
      ? "Use the organization's own operation"
      : `Name the organizations with the query parameter ${narrowBy}`
  return fenceRefusal(
    team,
    text,
    `${facts.operation.id} reaches every organization, and team ${team.id} is fenced to ${fence}. ${advice}, or ask the owner of the policy for organizations: all.`,
  )
}

/** Fences, keys, limits and budgets know an organization by its plain id; Devin would read the escaped one as the same. */
function escapedId(team: Team): Refusal {
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

function fenceRefusal(team: Team, text: string, detail: string): Refusal {
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

/** Ids come from the caller: short and plain in any text. */
function shown(organization: string): string {
  const plain = organization.replaceAll(/[^A-Za-z0-9._|%:@-]/g, '?')
  return `"${plain.length > 64 ? `${plain.slice(0, 64)}…` : plain}"`
}
