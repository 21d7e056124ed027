// What `drift` found, as the command prints it in JSON.

import type { Catalogue } from '../../catalogue/catalogue.ts'
import type { Drift } from '../../catalogue/drift/compare.ts'
import type { Difference } from '../../catalogue/drift/differences.ts'
import type { OpenApiDocument } from '../../catalogue/drift/document.ts'
import type { Proposal, ProposedOperation } from '../../catalogue/drift/proposal.ts'
import type { PublishedOperation } from '../../catalogue/drift/published.ts'
import type { Operation } from '../../catalogue/operation.ts'
import type { PolicySet } from '../../policy/model/policy-set.ts'
import { concernedTeams, guardrailsOn, type ConcernedTeam } from '../../policy/tools/drift-teams.ts'

interface KnownOperationReport {
  readonly id: string
  readonly method: string
  readonly path: string
  readonly stability: string
  readonly served: boolean
  readonly source: string
}

export interface NewOperationReport {
  readonly method: string
  readonly path: string
  readonly summary: string
  /** Null: the document states none. An empty list: it says that none is needed. */
  readonly permissions: readonly string[] | null
  /** Where the permission stands in the document. */
  readonly permission_source: string | null
  readonly query: readonly string[]
  readonly body: readonly string[]
  readonly proposal: ProposedOperation | null
  /** Why nothing is proposed. */
  readonly problem: string | null
  /** Who would get it by the grants of today, were it served. Null: no policies. */
  readonly teams: readonly ConcernedTeam[] | null
}

export type DifferenceReport = Difference & { readonly guardrails?: readonly string[] }

export interface ChangedOperationReport extends KnownOperationReport {
  readonly changes: readonly DifferenceReport[]
  readonly teams: readonly ConcernedTeam[] | null
}

export interface VanishedOperationReport extends KnownOperationReport {
  readonly teams: readonly ConcernedTeam[] | null
}

export interface DriftReport {
  readonly document: { readonly title: string; readonly version: string; readonly openapi: string }
  /** Operations that both sides have. */
  readonly compared: number
  readonly new: readonly NewOperationReport[]
  readonly changed: readonly ChangedOperationReport[]
  readonly vanished: readonly VanishedOperationReport[]
  /** Fields and values (`field=value`) that the catalogue has by report only, and the document does not name. */
  readonly unconfirmed: readonly { readonly id: string; readonly names: readonly string[] }[]
  /** The document was said to describe some operations only. */
  readonly partial: boolean
  readonly not_compared: readonly { readonly prefix: string; readonly operations: number }[]
  readonly retired: number
}

export interface DriftFacts {
  readonly document: OpenApiDocument
  readonly drift: Drift
  readonly proposal: Proposal
  readonly policy: PolicySet | null
  readonly catalogue: Catalogue
  /** The catalogue with the proposal. */
  readonly extended: Catalogue
}

/** Puts together what was found and whom it concerns. */
export function driftReport({ document, drift, proposal, policy, catalogue, extended }: DriftFacts): DriftReport {
  const now = policy === null ? null : concernedTeams(policy, catalogue)
  const then = policy === null ? null : concernedTeams(policy, extended)
  const known = (operation: Operation): KnownOperationReport => ({
    id: operation.id,
    method: operation.method,
    path: operation.template,
    stability: operation.stability,
    served: catalogue.isServed(operation),
    source: operation.source,
  })
  const fresh = (operation: PublishedOperation): NewOperationReport => {
    const made = proposal.operations.get(operation) ?? ''
    const proposed = typeof made === 'string' ? null : made
    const added = proposed === null ? null : extended.operation(proposed.id)
    return {
      method: operation.method,
      path: operation.path,
      summary: operation.summary,
      permissions: operation.permission === null ? null : [operation.permission.name ?? []].flat(),
      permission_source: operation.permission?.where ?? null,
      query: [...operation.query.keys()],
      body: [...(operation.body?.members?.keys() ?? [])],
      proposal: proposed,
      problem: typeof made === 'string' ? made : null,
      teams: then === null || added === null ? null : then(added),
    }
  }
  const withGuardrails = (operation: Operation, difference: Difference): DifferenceReport => {
    if (policy === null || (difference.in !== 'body' && difference.in !== 'query')) return difference
    return { ...difference, guardrails: guardrailsOn(policy, operation, difference.in, difference.name) }
  }
  return {
    document: { title: document.title, version: document.version, openapi: document.openapi },
    compared: drift.compared,
    new: drift.new.map(fresh),
    changed: drift.changed.map(({ operation, differences }) => ({
      ...known(operation),
      changes: differences.map((difference) => withGuardrails(operation, difference)),
      teams: now?.(operation) ?? null,
    })),
    vanished: drift.vanished.map((operation) => ({ ...known(operation), teams: now?.(operation) ?? null })),
    unconfirmed: drift.unconfirmed.map(({ operation, names }) => ({ id: operation.id, names })),
    partial: drift.partial,
    not_compared: drift.notCompared,
    retired: drift.retired,
  }
}
