// What guardrails take out of the answer to one request: whose items pass, and which fields are dropped. Pure.

import type { Facts, ResponseFilter } from '../model/decision.ts'
import { createHash } from 'node:crypto'
import { binding, type Guardrail } from '../guardrails/guardrail.ts'
import type { PolicySet, Team } from '../model/policy-set.ts'

/** Whether the items of the answer are checked by the fence of this team, so that the request need name no organization. */
export function filtersItems(policy: PolicySet, { operation, principal }: Facts, team: Team): boolean {
  return enforcedFor(policy, team, operation, principal.app).some(
    ({ response }) => response?.filterItemsBy === 'organizations',
  )
}

/** Whether the same holds for the operation whichever app of the team asks. */
export function filtersAnswers(policy: PolicySet, team: Team, operation: Facts['operation']): boolean {
  return (policy.guardrails.onAnswer(operation) ?? none).some(
    ({ mode, teams, response }) =>
      mode === 'enforce' && response?.filterItemsBy === 'organizations' && (teams === 'all' || teams.has(team.id)),
  )
}

/**
 * The filter for a request that is allowed; null when its caller may see all of the answer. `teams` are those that would
 * allow it, the one that decided first, and `reaches` what they allow it in: together they show what each shows.
 */
export function responseFilter(
  policy: PolicySet,
  facts: Facts,
  teams: readonly Team[],
  reaches: readonly Reach[],
): ResponseFilter | null {
  const [decided] = teams
  if (decided === undefined || policy.guardrails.onAnswer(facts.operation) === undefined) return null
  const isFiltered = filtersItems(policy, facts, decided)
  const shown = isFiltered ? new Set(teams) : [decided]
  const guardrails = [...shown].flatMap((team) => enforcedFor(policy, team, facts.operation, facts.principal.app))
  const organizations = isFiltered ? visibleIn(reaches, facts) : 'all'
  const drop = sorted(guardrails.flatMap(({ response }) => response?.dropFields ?? []))
  if (organizations === 'all' && drop.length === 0) return null
  return {
    guardrails: sorted(guardrails.map(({ id }) => id)),
    organizations,
    drop,
    digest: createHash('sha256')
      .update(JSON.stringify([organizations, drop]))
      .digest('base64url'),
  }
}

type Reach = Team['organizations']

/** The fence has checked what the request names; where it names nothing, what the grants reach is visible. */
function visibleIn(reaches: readonly Reach[], { narrowed, organizations }: Facts): 'all' | readonly string[] {
  if (reaches.includes('all')) return 'all'
  return sorted(narrowed ? organizations : reaches.flatMap((reach) => [...reach]))
}

const none: readonly Guardrail[] = []

function enforcedFor(
  policy: PolicySet,
  team: Team,
  operation: Facts['operation'],
  app: string | null,
): readonly Guardrail[] {
  const bound = policy.guardrails.onAnswer(operation)
  if (bound === undefined) return none
  return binding(bound, team.id, app).filter(({ mode }) => mode === 'enforce')
}

function sorted(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)].sort()
}
