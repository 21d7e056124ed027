// Invariants as they are checked: documents compiled against the teams and the catalogue, with every mistake at its place.
// Pure.

import type { Operation } from '../../catalogue/operation.ts'
import type { Diagnostic } from '../../config/diagnostics.ts'
import { didYouMean } from '../../config/nearest.ts'
import { compileAllow, unknownPermission } from '../compile/allow.ts'
import type { InvariantDocument, InvariantsDocument } from '../documents/invariant-document.ts'
import { compileCondition, type Condition } from '../model/condition.ts'
import { namedOrganizations } from '../model/named-organizations.ts'
import type { PolicySet } from '../model/policy-set.ts'
import type { Source } from '../model/source.ts'

export interface Invariant {
  readonly id: string
  readonly source: Source
  readonly column: number
  readonly kind: 'never' | 'always'
  readonly teams: ReadonlySet<string>
  readonly callers: Condition | null
  /** Indexes of operations. */
  readonly operations: ReadonlySet<number>
  /** Permissions that `do` names: requests whose body needs one of them are meant as well. */
  readonly permissions: ReadonlySet<string>
  readonly organizations: 'any' | 'own' | 'outside' | ReadonlySet<string>
  readonly key: {
    readonly scope: 'organization' | 'enterprise' | null
    readonly permissions: ReadonlySet<string> | null
  } | null
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
  const { operations, permissions } = operationsOf(about, policy, report)
  for (const [index, name] of (about.key?.permissions ?? []).entries()) {
    if (!policy.catalogue.permissions.names.has(name))
      report(['key', 'permissions', index], unknownPermission(policy.catalogue, name))
  }
  const named = namedOrganizations(policy)
  for (const [index, each] of (Array.isArray(about.organizations) ? about.organizations : []).entries()) {
    // An invariant may well keep everybody away from an organization that nobody names.
    const near = named.includes(each) ? '' : didYouMean(each, named)
    if (near !== '')
      report(['organizations', index], `no team and no key names organization "${each}"${near}`, 'warning')
  }
  return {
    id,
    kind,
    teams: teamsOf(about, policy, report),
    callers: about.callers === null ? null : compileCondition(about.callers),
    operations,
    permissions,
    organizations: Array.isArray(about.organizations)
      ? new Set(about.organizations)
      : ((about.organizations as 'own' | 'outside' | null) ?? (kind === 'always' ? 'own' : 'any')),
    key:
      about.key === null
        ? null
        : {
            scope: about.key.scope,
            permissions: about.key.permissions === null ? null : new Set(about.key.permissions),
          },
  }
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
): { readonly operations: ReadonlySet<number>; readonly permissions: ReadonlySet<string> } {
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
  const operations = catalogue.operations.filter(
    (operation) =>
      catalogue.isServed(operation) && fits(operation) && (about.do === null || named.has(operation.index)),
  )
  if (operations.length === 0 && named.size > 0)
    report(
      ['do'],
      'none of these operations is of this kind: the invariant says nothing. Remove write, sensitive or scope',
    )
  return { operations: new Set(operations.map(({ index }) => index)), permissions }
}
