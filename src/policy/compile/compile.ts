// Documents and catalogue → one policy set, or every diagnostic. Pure.

import type { Catalogue } from '../../catalogue/catalogue.ts'
import { sessionCreate } from '../../catalogue/operation.ts'
import type { Diagnostic } from '../../config/diagnostics.ts'
import type {
  DevinUsersDocument,
  GatewayLimitsDocument,
  GuardrailsDocument,
  KeyDocument,
  TeamDocument,
} from '../documents/document.ts'
import { compileGuardrails } from '../guardrails/compile.ts'
import type { PolicySet } from '../model/policy-set.ts'
import { atOnce, type Steps } from '../model/steps.ts'
import { unservedGrants, unsettledBudgets } from '../warnings/coverage.ts'
import { grantWarnings } from '../warnings/grant-warnings.ts'
import { openEntries } from '../warnings/open-issuers.ts'
import { compileAllow } from './allow.ts'
import { compileBudgets } from './compile-budgets.ts'
import { compileKeys } from './compile-keys.ts'
import { compileGatewayLimits } from './compile-limits.ts'
import { compileTeams } from './compile-teams.ts'
import { compileDevinUsers } from './devin-users.ts'
import { createPolicySet } from './policy-set.ts'

export interface PolicyDocuments {
  /** Digest of all files. */
  readonly revision: string
  readonly teams: readonly TeamDocument[]
  readonly keys: readonly KeyDocument[]
  /** At most one; empty where there are no gateway-wide limits. */
  readonly limits?: readonly GatewayLimitsDocument[]
  readonly guardrails?: readonly GuardrailsDocument[]
  readonly devinUsers?: readonly DevinUsersDocument[]
}

/** Compiles the set and warns. With an error among the diagnostics the set must not be used. */
export function compilePolicies(
  documents: PolicyDocuments,
  catalogue: Catalogue,
): { policy: PolicySet; diagnostics: readonly Diagnostic[] } {
  const found: Diagnostic[] = []
  const policy = atOnce(compileInSteps(documents, catalogue, found))
  const diagnostics = [
    ...found,
    ...openEntries(documents.teams),
    ...unservedGrants(policy, documents.teams),
    ...unsettledBudgets(policy, documents.teams),
    ...grantWarnings(policy, documents.teams),
  ]
  return { policy, diagnostics }
}

/** Compiles the set without its warnings; adds to `diagnostics`. With an error among them the set must not be used. */
export function* compileInSteps(
  documents: PolicyDocuments,
  catalogue: Catalogue,
  diagnostics: Diagnostic[],
): Steps<PolicySet> {
  const allow = compileAllow(catalogue)
  const keys = yield* compileKeys(documents.keys, catalogue, diagnostics)
  const limits = compileGatewayLimits(documents.limits ?? [], allow, diagnostics)
  const teams = yield* compileTeams(documents.teams, limits, allow, diagnostics)
  const ids = new Set(teams.map(({ team }) => team.id))
  const guardrails = yield* compileGuardrails(documents.guardrails ?? [], ids, catalogue, diagnostics)
  const create = catalogue.operation(sessionCreate)
  const budgets = yield* compileBudgets(documents.teams, documents.limits?.[0], create, allow)
  const devinUserOf = yield* compileDevinUsers(documents.devinUsers ?? [], diagnostics)
  const { revision } = documents
  return yield* createPolicySet({ revision, catalogue, teams, keys, guardrails, devinUserOf, budgets })
}
