// Invariants as they are checked: documents compiled against the teams and the catalogue, with every mistake at its place.
// Pure.

import type { Operation } from '../../catalogue/operation.ts'
import type { Diagnostic } from '../../config/diagnostics.ts'
import { didYouMean } from '../../config/nearest.ts'
import type { Principal } from '../../identity/principal.ts'
import { compileAllow, unknownPermission } from '../compile/allow.ts'
import type { CallerSelectionDocument, InvariantDocument, InvariantsDocument } from '../documents/invariant-document.ts'
import { compileCondition, conditionHolds, type Condition } from '../model/condition.ts'
import type { PolicySet, Team } from '../model/policy-set.ts'
import type { Source } from '../model/source.ts'

export interface Invariant {
  readonly id: string
  readonly source: Source
  readonly column: number
  readonly kind: 'never' | 'always'
  readonly teams: ReadonlySet<string>
  /** Callers for whom the first holds and the second does not; null: whoever. */
  readonly callers: { readonly only: Condition; readonly except: Condition | null } | null
  /** Indexes of operations. */
  readonly operations: ReadonlySet<number>
  /** Indexes of operations whose body can need one of the permissions. */
  readonly conditional: ReadonlySet<number>
  /** Permissions that `do` names: requests whose body needs one of them are meant as well. */
  readonly permissions: ReadonlySet<string>
  readonly organizations: 'any' | 'own' | 'outside' | NamedOrganizations
  readonly key: {
    readonly scope: 'organization' | 'enterprise' | null
    readonly permissions: ReadonlySet<string> | null
  } | null
}

export interface NamedOrganizations {
  readonly named: ReadonlySet<string>
  /** All but those that are named. */
  readonly excepted: boolean
}

/** Compiles all documents. With an error among the diagnostics the set must not be used. */
export function compileInvariants(
  documents: readonly InvariantsDocument[],
  policy: PolicySet,
): { readonly invariants: readonly Invariant[]; readonly diagnostics: readonly Diagnostic[] } {
  const diagnostics: Diagnostic[] = []
  const seen = new Map<string, Source>()
  const invariants = documents.flatMap((document) =>
    document.invariants.map((written, index): Invariant => {
      const at = (path: readonly (string | number)[]) => document.positionOf(['invariants', index, ...path])
      const report: Report = (path, message, severity = 'error') => {
        diagnostics.push({ file: document.file, ...at(path), severity, message })
      }
      const { line, column } = at(['id'])
      const other = seen.get(written.id)
      if (other !== undefined)
        report(['id'], `invariant "${written.id}" is defined twice; the other one is at ${other.file}:${other.line}`)
      seen.set(written.id, { file: document.file, line })
      return { ...compile(written, policy, report), source: { file: document.file, line }, column }
    }),
  )
  return { invariants, diagnostics }
}

type Report = (path: readonly (string | number)[], message: string, severity?: Diagnostic['severity']) => void

function compile(
  { id, kind, about }: InvariantDocument,
  policy: PolicySet,
  reportAt: Report,
): Omit<Invariant, 'source' | 'column'> {
  const report: Report = (path, ...told) => reportAt([kind, ...path], ...told)
  const { operations, conditional, permissions } = operationsOf(about, policy, report)
  for (const [index, name] of (about.key?.permissions ?? []).entries()) {
    if (!policy.catalogue.permissions.names.has(name))
      report(['key', 'permissions', index], unknownPermission(policy.catalogue, name))
  }
  return {
    id,
    kind,
    teams: teamsOf(about, policy, report),
    callers: about.callers === null ? null : callersOf(about.callers),
    operations,
    conditional,
    permissions,
    organizations: organizationsOf(about.organizations ?? (kind === 'always' ? 'own' : 'any')),
    key:
      about.key === null
        ? null
        : {
            scope: about.key.scope,
            permissions: about.key.permissions === null ? null : new Set(about.key.permissions),
          },
  }
}

function callersOf({ except, ...only }: CallerSelectionDocument): NonNullable<Invariant['callers']> {
  return { only: compileCondition(only), except: except === undefined ? null : compileCondition(except) }
}

function organizationsOf(
  written: NonNullable<InvariantDocument['about']['organizations']> | 'any',
): Invariant['organizations'] {
  if (typeof written === 'string') return written
  return 'except' in written
    ? { named: new Set(written.except), excepted: true }
    : { named: new Set(written), excepted: false }
}

function teamsOf({ teams }: InvariantDocument['about'], policy: PolicySet, report: Report): ReadonlySet<string> {
  const all = policy.teams.map((team) => team.id)
  if (teams === 'all') return new Set(all)
  const [named, path] = 'except' in teams ? [teams.except, ['teams', 'except']] : [teams, ['teams']]
  for (const [index, name] of named.entries()) {
    if (!all.includes(name)) report([...path, index], `unknown team "${name}"${didYouMean(name, all)}`)
  }
  if (!('except' in teams)) return new Set(named)
  const others = all.filter((id) => !named.includes(id))
  if (others.length === 0)
    report(path, 'every team is excepted: the invariant says nothing until there is another one', 'warning')
  return new Set(others)
}

function operationsOf(
  about: InvariantDocument['about'],
  { catalogue }: PolicySet,
  report: Report,
): Pick<Invariant, 'operations' | 'conditional' | 'permissions'> {
  const fits = ({ method, sensitive, scope }: Operation): boolean =>
    (about.write === null || about.write === (method !== 'GET')) &&
    (about.sensitive === null || about.sensitive === sensitive) &&
    (about.scope === null || about.scope === scope)
  const allow = compileAllow(catalogue)
  const permissions = new Set<string>()
  const named = new Set<number>()
  for (const [index, word] of (about.do ?? []).entries()) {
    const covered = allow(word)
    for (const problem of covered.problems) report(['do', index], problem.message)
    const isAsked = catalogue.operations.some(({ conditional }) =>
      conditional.some(({ permission }) => covered.permissions.includes(permission)),
    )
    if (covered.operations.length === 0 && covered.problems.length === 0 && !isAsked)
      report(['do', index], `no operation that is served needs "${word}": the invariant says nothing about it`)
    for (const operation of covered.operations) named.add(operation)
    for (const permission of covered.permissions) permissions.add(permission)
  }
  const ofKind = catalogue.operations.filter((operation) => catalogue.isServed(operation) && fits(operation))
  const operations = ofKind.filter(({ index }) => about.do === null || named.has(index))
  const conditional = ofKind.filter((operation) =>
    operation.conditional.some(({ permission }) => permissions.has(permission)),
  )
  const isUnknown = about.do !== null && named.size === 0 && permissions.size === 0
  if (operations.length === 0 && conditional.length === 0 && !isUnknown)
    report(
      about.do === null ? [] : ['do'],
      'no operation is of this kind: the invariant says nothing. Remove write, sensitive or scope',
    )
  const indexes = (found: typeof operations) => new Set(found.map(({ index }) => index))
  return { operations: indexes(operations), conditional: indexes(conditional), permissions }
}

/** Whether an invariant is about a caller of its teams. */
export function speaksOfCaller({ callers }: Pick<Invariant, 'callers'>, principal: Principal): boolean {
  if (callers === null) return true
  const { only, except } = callers
  return conditionHolds(only, principal) && (except === null || !conditionHolds(except, principal))
}

/** Whether an invariant is about an organization, as it is seen from a team. */
export function speaksOfOrganization(
  { organizations, kind }: Pick<Invariant, 'organizations' | 'kind'>,
  operation: Operation,
  team: Team,
  organization: string,
): boolean {
  if (organizations === 'any') return true
  if (typeof organizations !== 'string') return organizations.named.has(organization) !== organizations.excepted
  return isOwn(kind, operation, team, organization) === (organizations === 'own')
}

/** Of a team with all organizations its default one; without one, enterprise operations must always reach all of them. */
function isOwn(kind: Invariant['kind'], { scope }: Operation, team: Team, organization: string): boolean {
  if (team.organizations !== 'all') return team.organizations.has(organization)
  if (team.defaultOrganization !== null) return organization === team.defaultOrganization
  return kind === 'always' && scope === 'enterprise'
}
