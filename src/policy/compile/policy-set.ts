// Puts the compiled parts of a policy set together, and makes what is in force of it at an instant: without the grants, member
// entries and exceptions that have ended. In steps; else pure.

import type { Catalogue } from '../../catalogue/catalogue.ts'
import type { Principal } from '../../identity/principal.ts'
import type { KeyHandle } from '../../keys/key.ts'
import { createKeySelector } from '../../keys/select.ts'
import type { GuardrailTable } from '../guardrails/guardrail.ts'
import { endedBy } from '../model/ending.ts'
import type { DevinUserFinder, PolicyBudgets, PolicySet, Team } from '../model/policy-set.ts'
import { atOnce, eachInSteps, type Steps } from '../model/steps.ts'
import { createMembershipFinder } from './memberships.ts'
import { teamAt, wholeTeam, type CompiledTeam } from './team-grants.ts'

export interface PolicyParts {
  readonly revision: string
  readonly catalogue: Catalogue
  /** Sorted by id. */
  readonly teams: readonly CompiledTeam[]
  readonly keys: readonly KeyHandle[]
  readonly guardrails: GuardrailTable
  readonly devinUserOf: DevinUserFinder
  readonly budgets: PolicyBudgets
}

/** Moments of a set that are kept: the present one, and the one that is prepared. */
const mostMoments = 2

/** The whole set. What it remembers of members and keys lives as long as it. */
export function* createPolicySet(parts: PolicyParts): Steps<PolicySet> {
  const { revision, catalogue, keys, guardrails, devinUserOf, budgets } = parts
  const operationCount = catalogue.operations.length
  const teams: Team[] = []
  const instants = new Set<number>()
  const claimPaths = new Set<string>()
  yield* eachInSteps(parts.teams, (compiled) => {
    teams.push(wholeTeam(compiled, operationCount))
    for (const condition of conditionsOf(compiled)) for (const path of condition.claims.keys()) claimPaths.add(path)
    for (const { endsAtMs } of endingsOf(compiled)) if (endsAtMs !== null) instants.add(endsAtMs)
  })
  for (const { exceptions } of guardrails.all)
    for (const { ending } of exceptions) if (ending.endsAtMs !== null) instants.add(ending.endsAtMs)
  const ends = [...instants].sort((a, b) => a - b)
  const places = new Map(teams.map(({ id }, place) => [id, place]))
  const findMemberships = yield* createMembershipFinder(teams)
  const selectKey = createKeySelector(keys, catalogue.permissions)

  const common = {
    revision,
    catalogue,
    keys,
    devinUserOf,
    budgets,
    claimPaths: [...claimPaths].sort(),
    ends,
    blocked: new Map(),
    blockedTeamsOf: () => [],
    selectKey,
    at: (nowMs: number) => atOnce(momentAt(nowMs)),
    prepare: momentAt,
  }

  function setOf(now: readonly Team[], bounds: GuardrailTable): PolicySet {
    const memberships = new WeakMap<Principal, readonly Team[]>()
    return {
      ...common,
      teams: now,
      guardrails: bounds,
      team(id) {
        const place = places.get(id)
        return place === undefined ? null : (now[place] ?? null)
      },
      teamsOf(principal) {
        const known = memberships.get(principal)
        if (known !== undefined) return known
        const found = findMemberships(principal, now)
        memberships.set(principal, found)
        return found
      },
    }
  }

  const whole = setOf(teams, guardrails)
  /** By the number of instants that are over; the latest last. */
  const moments = new Map<number, PolicySet>()

  function* momentAt(nowMs: number): Steps<PolicySet> {
    const over = endedBy(ends, nowMs)
    if (over === 0) return whole
    const known = moments.get(over)
    if (known !== undefined) return known
    const now: Team[] = []
    yield* eachInSteps(parts.teams, (compiled, place) => {
      const team = teams[place]
      if (team !== undefined) now.push(teamAt(team, compiled, operationCount, nowMs))
    })
    // Somebody may have asked for the same moment meanwhile, and has it: there is only one.
    const made = moments.get(over) ?? setOf(now, guardrails.at(nowMs))
    moments.set(over, made)
    const [oldest] = moments.keys()
    if (moments.size > mostMoments && oldest !== undefined) moments.delete(oldest)
    return made
  }

  return whole
}

function* conditionsOf({ team, grants }: CompiledTeam) {
  yield* team.members
  for (const { grant } of grants) if (grant.when !== null) yield grant.when
}

function* endingsOf({ team, grants }: CompiledTeam) {
  for (const { ending } of team.members) yield ending
  for (const { grant } of grants) yield grant.ending
}
