// Documents and catalogue → one policy set, or every diagnostic. Pure.

import type { Catalogue } from '../../catalogue/catalogue.ts'
import type { Diagnostic } from '../../config/diagnostics.ts'
import type { Principal } from '../../identity/principal.ts'
import type { KeyHandle } from '../../keys/key.ts'
import { createKeySelector } from '../../keys/select.ts'
import { compileAllow, unknownPermission, type AllowCompiler } from './allow.ts'
import { unservedGrants, unsettledBudgets } from '../warnings/coverage.ts'
import { grantWarnings } from '../warnings/grant-warnings.ts'
import type {
  DevinUsersDocument,
  GatewayLimitsDocument,
  GrantDocument,
  GuardrailsDocument,
  KeyDocument,
  TeamDocument,
} from '../documents/document.ts'
import { compileBudgets } from './compile-budgets.ts'
import { compileAttempts, compileGatewayLimits, compileLimits, precedenceOf } from './compile-limits.ts'
import { compileDevinUsers } from './devin-users.ts'
import { endsOf, teamAt } from './effective.ts'
import { createMembershipFinder } from './memberships.ts'
import { openEntries } from '../warnings/open-issuers.ts'
import { createLimitFinder, type GatewayLimits } from './team-limits.ts'
import { compileGuardrails } from '../guardrails/compile.ts'
import type { GuardrailTable } from '../guardrails/guardrail.ts'
import type { Grant, PolicySet, Team, DevinUserFinder, PolicyBudgets } from '../model/policy-set.ts'
import { compileCondition } from '../model/condition.ts'
import { ownerOf } from '../model/remarks.ts'
import { sessionCreate } from '../../catalogue/operation.ts'

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

type Path = readonly (string | number)[]

/** Compiles the set. With an error among the diagnostics the set must not be used. */
export function compilePolicies(
  documents: PolicyDocuments,
  catalogue: Catalogue,
): { policy: PolicySet; diagnostics: readonly Diagnostic[] } {
  const diagnostics: Diagnostic[] = []
  const allow = compileAllow(catalogue)
  const keys = compileKeys(documents.keys, catalogue, diagnostics)
  const limits = compileGatewayLimits(documents.limits ?? [], allow, diagnostics)
  const teams = compileTeams(documents.teams, catalogue.operations.length, limits, allow, diagnostics)
  const guardrails = compileGuardrails(
    documents.guardrails ?? [],
    teams.map((team) => team.id),
    catalogue,
    diagnostics,
  )
  const create = catalogue.operation(sessionCreate)
  const budgets = compileBudgets(documents.teams, documents.limits?.[0], create, allow)
  const devinUserOf = compileDevinUsers(documents.devinUsers ?? [], diagnostics)
  const policy = createPolicySet(documents.revision, catalogue, teams, keys, guardrails, devinUserOf, budgets)
  diagnostics.push(
    ...openEntries(documents.teams),
    ...unservedGrants(policy, documents.teams),
    ...unsettledBudgets(policy, documents.teams),
    ...grantWarnings(policy, documents.teams),
  )
  return { policy, diagnostics }
}

/** Puts compiled parts together; the memos for members and keys live as long as the set. */
function createPolicySet(
  revision: string,
  catalogue: Catalogue,
  teams: readonly Team[],
  keys: readonly KeyHandle[],
  guardrails: GuardrailTable,
  devinUserOf: DevinUserFinder,
  budgets: PolicyBudgets,
): PolicySet {
  const byId = new Map(teams.map((team) => [team.id, team]))
  const findMemberships = createMembershipFinder(teams)
  const memberships = new WeakMap<Principal, readonly Team[]>()
  const claimPaths = new Set<string>()
  for (const team of teams) {
    for (const condition of [
      ...team.members,
      ...team.grants.flatMap((grant) => (grant.when === null ? [] : [grant.when])),
    ]) {
      for (const path of condition.claims.keys()) claimPaths.add(path)
    }
  }
  const ends = endsOf(teams, guardrails.all)
  const policy: PolicySet = {
    revision,
    catalogue,
    teams,
    keys,
    guardrails,
    devinUserOf,
    budgets,
    claimPaths: [...claimPaths].sort(),
    ends,
    at: (nowMs) =>
      (ends[0] ?? Infinity) > nowMs
        ? policy
        : {
            ...createPolicySet(
              revision,
              catalogue,
              teams.map((team) => teamAt(team, nowMs)),
              keys,
              guardrails.at(nowMs),
              devinUserOf,
              budgets,
            ),
            claimPaths: policy.claimPaths,
            ends,
            at: policy.at,
          },
    team: (id) => byId.get(id) ?? null,
    blocked: new Map(),
    blockedTeamsOf: () => [],
    teamsOf(principal) {
      const known = memberships.get(principal)
      if (known !== undefined) return known
      const found = findMemberships(principal)
      memberships.set(principal, found)
      return found
    },
    selectKey: createKeySelector(keys, catalogue.permissions),
  }
  return policy
}

function compileTeams(
  documents: readonly TeamDocument[],
  operationCount: number,
  limits: GatewayLimits | null,
  allow: AllowCompiler,
  diagnostics: Diagnostic[],
): Team[] {
  const teams = new Map<string, Team>()
  for (const document of documents) {
    const other = teams.get(document.team)
    if (other !== undefined) {
      diagnostics.push(
        at(document, ['team'], `team "${document.team}" is defined twice; the other one is in ${other.source.file}`),
      )
      continue
    }
    teams.set(document.team, compileTeam(document, operationCount, limits, allow, diagnostics))
  }
  return [...teams.values()].sort((a, b) => (a.id < b.id ? -1 : 1))
}

function compileTeam(
  document: TeamDocument,
  operationCount: number,
  gatewayLimits: GatewayLimits | null,
  allow: AllowCompiler,
  diagnostics: Diagnostic[],
): Team {
  // Of its full length from the beginning: V8 keeps arrays that are filled out of order as dictionaries.
  const byOperation = Array.from({ length: operationCount }, (): Grant[] | undefined => undefined)
  const byPermission = new Map<string, Grant[]>()
  const grants = document.grants.map((entry, index) => {
    const grant = compileGrant(document, entry, index)
    for (const [position, word] of entry.allow.entries()) {
      const covered = allow(word)
      for (const problem of covered.problems)
        diagnostics.push({
          ...at(document, ['grants', index, 'allow', position], problem.message),
          severity: problem.severity,
        })
      for (const operation of covered.operations) addOnce((byOperation[operation] ??= []), grant)
      for (const permission of covered.permissions) {
        const list = byPermission.get(permission) ?? []
        byPermission.set(permission, list)
        addOnce(list, grant)
      }
    }
    return grant
  })
  for (const list of [...byOperation, ...byPermission.values()]) list?.sort(warnLast)
  const { remarks } = document
  return {
    id: document.team,
    source: { file: document.file, line: document.positionOf(['team']).line },
    remarks,
    owner: ownerOf(remarks),
    members: document.members.map((entry) => ({ ...compileCondition(entry), ending: entry.ending })),
    organizations: document.organizations === 'all' ? 'all' : new Set(document.organizations),
    defaultOrganization:
      document.defaultOrganization ?? (document.organizations === 'all' ? null : (document.organizations[0] ?? null)),
    grants,
    cacheAtMostMs: document.cacheAtMostMs,
    limitsFor: createLimitFinder(document.team, compileLimits(document, allow, diagnostics), gatewayLimits),
    limitedApps: new Set(Object.keys(document.limits?.apps ?? {})),
    attempts: compileAttempts(document),
    cachedIsFree: document.limits?.cached === 'free',
    precedence: precedenceOf(document, gatewayLimits),
    byOperation,
    byPermission,
  }
}

function compileGrant(document: TeamDocument, entry: GrantDocument, index: number): Grant {
  return {
    id: entry.id,
    team: document.team,
    mode: entry.mode,
    ending: entry.ending,
    when: entry.when === null ? null : compileCondition(entry.when),
    organizations: entry.organizations === null ? null : new Set(entry.organizations),
    remarks: entry.remarks,
    owner: ownerOf(entry.remarks, document.remarks),
    allow: entry.allow,
    source: { file: document.file, line: document.positionOf(['grants', index, 'id']).line },
  }
}

/** A grant in mode `warn` decides only where no other grant of the team does. */
function warnLast(a: Grant, b: Grant): number {
  return Number(a.mode === 'warn') - Number(b.mode === 'warn')
}

function addOnce(list: Grant[], grant: Grant): void {
  if (!list.includes(grant)) list.push(grant)
}

function compileKeys(documents: readonly KeyDocument[], catalogue: Catalogue, diagnostics: Diagnostic[]): KeyHandle[] {
  const keys = new Map<string, KeyHandle>()
  const { permissions } = catalogue
  for (const document of documents) {
    const other = keys.get(document.id)
    if (other !== undefined)
      diagnostics.push(
        at(
          document,
          ['id'],
          `key "${document.id}" is defined twice; the other one is at ${other.source.file}:${other.source.line}`,
        ),
      )
    for (const [index, name] of document.permissions.entries()) {
      if (!permissions.names.has(name))
        diagnostics.push(at(document, ['permissions', index], unknownPermission(catalogue, name)))
    }
    keys.set(document.id, {
      id: document.id,
      scope: document.scope,
      organization: document.organization,
      permissions: new Set(document.permissions),
      serves:
        typeof document.servesOrganizations === 'string'
          ? document.servesOrganizations
          : new Set(document.servesOrganizations),
      secret: document.secret,
      serviceUser: document.serviceUser,
      watch: document.watch,
      expiresAtMs: document.expires === null ? null : endOf(document.expires),
      rotate: document.rotate,
      source: { file: document.file, line: document.positionOf(['id']).line },
    })
  }
  return [...keys.values()]
}

/** A date alone is the last day of the key. */
function endOf(expires: string): number {
  return Date.parse(expires) + (expires.includes('T') ? 0 : 86_400_000)
}

function at(
  document: { file: string; positionOf(path: Path): { line: number; column: number } },
  path: Path,
  message: string,
): Diagnostic {
  return { file: document.file, ...document.positionOf(path), severity: 'error', message }
}
