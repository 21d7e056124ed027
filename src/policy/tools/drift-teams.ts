// Whom a change of the API concerns: the teams whose grants cover an operation, and the guardrails that bound a field of it.

import type { Catalogue } from '../../catalogue/catalogue.ts'
import type { Operation } from '../../catalogue/operation.ts'
import { compileAllow } from '../compile/allow.ts'
import type { PolicySet } from '../model/policy-set.ts'

export interface ConcernedTeam {
  readonly team: string
  /** Those of its grants that cover the operation. */
  readonly grants: readonly string[]
}

/**
 * Finds the teams that an operation concerns. The catalogue may be an extension of the policies' own: grants by pattern and by
 * permission then cover what it adds.
 */
export function concernedTeams(
  policy: PolicySet,
  catalogue: Catalogue,
): (operation: Operation) => readonly ConcernedTeam[] {
  const allow = compileAllow(catalogue)
  return (operation) =>
    policy.teams.flatMap(({ id, grants }) => {
      const covering = grants.filter(
        (grant) => grant.mode !== 'off' && grant.allow.some((word) => allow(word).operations.includes(operation.index)),
      )
      return covering.length > 0 || operation.open ? [{ team: id, grants: covering.map((grant) => grant.id) }] : []
    })
}

/** Ids of the guardrails that bound a body field or query parameter of the operation, or something inside it. */
export function guardrailsOn(policy: PolicySet, operation: Operation, place: 'body' | 'query', name: string): string[] {
  return (policy.guardrails.on(operation) ?? [])
    .filter((guardrail) => guardrail[place].some(({ field }) => field === name || field.startsWith(`${name}.`)))
    .map(({ id }) => id)
}
