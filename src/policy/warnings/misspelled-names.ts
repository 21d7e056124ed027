// Organizations and apps that are spelled nearly as another place spells them, and requests of policy tests that nobody can make.
// Only Devin and the tokens know which of them exist, so that these are warnings. Pure.

import { parseTarget, isOwnTarget, type Target } from '../../catalogue/target.ts'
import type { Diagnostic } from '../../config/diagnostics.ts'
import { misspellingOf } from '../../config/nearest.ts'
import { quoted } from '../../config/units.ts'
import { Problem } from '../../problems.ts'
import type {
  GatewayLimitsDocument,
  GuardrailsDocument,
  KeyDocument,
  TeamDocument,
  TestCaseDocument,
  TestDocument,
} from '../documents/document.ts'
import type { ConditionDocument } from '../model/condition.ts'
import type { PolicySet } from '../model/policy-set.ts'
import { nearestOperation } from '../requests/nearest-operation.ts'
import { warningAt } from './coverage.ts'

type Path = readonly (string | number)[]
type Document = Pick<TeamDocument, 'file' | 'positionOf'>

/** The files in which names stand. */
export interface NamingDocuments {
  readonly teams: readonly TeamDocument[]
  readonly keys: readonly KeyDocument[]
  readonly limits: readonly GatewayLimitsDocument[]
  readonly guardrails: readonly GuardrailsDocument[]
  readonly tests: readonly TestDocument[]
}

/** A name at its place; `by`: the team or key that says it. */
interface Mention {
  readonly by: string
  readonly document: Document
  readonly path: Path
  readonly name: string
}

/** Warnings about names that no other rule already knows to be wrong. */
export function misspelledNames(policy: PolicySet, documents: NamingDocuments): readonly Diagnostic[] {
  return [
    ...misspelledOrganizations(documents, policy),
    ...misspelledApps(documents),
    ...misspelledCallers(documents),
    ...requestsOfNobody(documents.tests, policy),
  ]
}

/** Fences and keys tell of each other; where one of them holds all organizations nothing else would tell a wrong name. */
function misspelledOrganizations(
  { teams, keys, limits, tests }: NamingDocuments,
  policy: PolicySet,
): readonly Diagnostic[] {
  const ofTeams = teams.flatMap(fenceOf)
  const ofKeys = keys.flatMap(organizationsOfKey)
  const isOpen = teams.some(({ organizations }) => organizations === 'all')
  const isServed = keys.some(({ servesOrganizations }) => servesOrganizations === 'all')
  const sayers = new Map<string, Set<string>>()
  for (const { name, by } of [...ofTeams, ...ofKeys]) sayers.set(name, (sayers.get(name) ?? new Set()).add(by))
  // What is told elsewhere: fences by the lack of a key, keys by the lack of a team.
  const doubted = [
    ...ofTeams.filter(({ path }) => isServed || path[0] !== 'organizations'),
    ...(isOpen ? [...ofKeys, ...limits.flatMap(organizationsOfLimits)] : []),
    ...tests.flatMap((document) => organizationsOfTest(document, policy)),
  ].filter(({ name, by }) => [...(sayers.get(name) ?? [])].every((each) => each === by))
  const known = [...sayers.keys()]
  // A set that names very many once is made by a program, which does not misspell.
  if (doubted.length * known.length > mostComparisons) return []
  return doubted.flatMap(({ document, path, name, by }) => {
    const others = known.filter((each) => [...(sayers.get(each) ?? [])].some((sayer) => sayer !== by))
    return doubtOf(document, path, name, new Set(others), 'no other team and no other key names organization')
  })
}

const mostComparisons = 100_000

function fenceOf(document: TeamDocument): readonly Mention[] {
  const { team, organizations: fence, defaultOrganization: chosen, grants } = document
  const at = (path: Path, name: string): Mention => ({ by: `team ${team}`, document, path, name })
  if (fence !== 'all') return fence.map((name, index) => at(['organizations', index], name))
  return [
    ...(chosen === null ? [] : [at(['default_organization'], chosen)]),
    ...grants.flatMap(({ organizations }, grant) =>
      (organizations ?? []).map((name, index) => at(['grants', grant, 'organizations', index], name)),
    ),
  ]
}

function organizationsOfKey(document: KeyDocument): readonly Mention[] {
  const { id, organization, servesOrganizations: served } = document
  const at = (path: Path, name: string): Mention => ({ by: `key ${id}`, document, path, name })
  return [
    ...(organization === null ? [] : [at(['organization'], organization)]),
    ...(typeof served === 'string' ? [] : served.map((name, index) => at(['serves_organizations', index], name))),
  ]
}

function organizationsOfLimits(document: GatewayLimitsDocument): readonly Mention[] {
  return Object.keys(document.limits.organizations).map((name) => ({
    by: 'limits',
    document,
    path: ['limits', 'organizations', name],
    name,
  }))
}

/** Those in the paths of the cases. */
function organizationsOfTest(document: TestDocument, policy: PolicySet): readonly Mention[] {
  return casesOf(document).flatMap(({ path, asked }) => {
    const [method, target] = requestOf(asked)
    const found = target === null ? null : policy.catalogue.match(method, target.segments)
    const operation = found === null || !('why' in found) ? found : found.why === 'unserved' ? found.operation : null
    const name = operation === null ? undefined : target?.segments[operation.organizations.segment]
    return name === undefined ? [] : [{ by: 'test', document, path: [...path, 'do'], name }]
  })
}

/** Apps of limits and guardrails, beside those that entries of members and grants name. */
function misspelledApps({ teams, guardrails }: NamingDocuments): readonly Diagnostic[] {
  const known = namedIn(teams).app
  const ofLimits = teams.flatMap((document) =>
    // Where every member names its app, another rule knows that nobody calls with this one.
    document.members.every(({ app }) => app !== undefined)
      ? []
      : Object.keys(document.limits?.apps ?? {}).flatMap((app) =>
          doubtOf(document, ['limits', 'apps', app], app, known, 'no team names app'),
        ),
  )
  const ofGuardrails = guardrails.flatMap((document) =>
    document.guardrails.flatMap(({ apps, except, teams: bound }, index) => {
      const at: Path = ['guardrails', index]
      const isTold = teams
        .filter(({ team }) => bound === 'all' || bound.includes(team))
        .every(({ members }) => members.every(({ app }) => app !== undefined))
      return [
        ...(apps === 'all' || isTold
          ? []
          : apps.flatMap((app, place) => doubtOf(document, [...at, 'apps', place], app, known, 'no team names app'))),
        ...except.flatMap((each, exception) =>
          (each.apps ?? []).flatMap((app, place) =>
            doubtOf(document, [...at, 'except', exception, 'apps', place], app, known, 'no team names app'),
          ),
        ),
      ]
    }),
  )
  return [...ofLimits, ...ofGuardrails]
}

const attributes = ['groups', 'app', 'subject', 'email', 'actor'] as const

/** Callers of policy tests: a denial that is expected comes for another reason than was meant. */
function misspelledCallers({ teams, tests }: NamingDocuments): readonly Diagnostic[] {
  const known = namedIn(teams)
  const claims = new Set(conditionsOf(teams).flatMap((each) => Object.keys(each.claims ?? {}).map(topOf)))
  return tests.flatMap((document) =>
    document.blocks.flatMap(({ as }, block) => [
      ...Object.keys(as.claims ?? {}).flatMap((name) =>
        doubtOf(document, [block, 'as', 'claims', name], name, claims, 'no team names claim'),
      ),
      ...attributes.flatMap((name) =>
        [as[name] ?? []].flat().flatMap((value, place) => {
          const at: Path = [block, 'as', name, ...(name === 'groups' ? [place] : [])]
          return doubtOf(document, at, value, known[name], `no team names ${name === 'groups' ? 'group' : name}`)
        }),
      ),
    ]),
  )
}

/** The claim in which the one of a path stands. */
function topOf(path: string): string {
  return path.replace(/(?<!\\)\..*$/, '').replaceAll('\\', '')
}

function conditionsOf(teams: readonly TeamDocument[]): readonly ConditionDocument[] {
  return teams.flatMap(({ members, grants }) => [...members, ...grants.flatMap(({ when }) => when ?? [])])
}

/** The values of all conditions on callers. */
function namedIn(teams: readonly TeamDocument[]): Readonly<Record<(typeof attributes)[number], ReadonlySet<string>>> {
  const conditions = conditionsOf(teams)
  const named = (name: (typeof attributes)[number]): ReadonlySet<string> =>
    new Set(conditions.flatMap((each) => each[name] ?? []))
  return {
    groups: named('groups'),
    app: named('app'),
    subject: named('subject'),
    email: named('email'),
    actor: named('actor'),
  }
}

/** Cases that expect a denial, and get it because no operation has such a path. */
function requestsOfNobody(tests: readonly TestDocument[], { catalogue }: PolicySet): readonly Diagnostic[] {
  return tests.flatMap((document) =>
    casesOf(document).flatMap(({ path, asked }) => {
      const [method, target] = requestOf(asked)
      if (asked.expect === 'allow' || asked.reason !== undefined || target === null) return []
      const found = catalogue.match(method, target.segments)
      if (!('why' in found) || found.why === 'unserved') return []
      const near = nearestOperation(catalogue, method, target.segments)
      const hint = near === null ? '' : `; did you mean ${near.method} ${near.template}?`
      const message = `no operation is ${method} ${target.path}, so it is denied whatever the policies say${hint}${hint === '' ? '. ' : ' '}Where that is meant, add reason: unknown-operation`
      return [warningAt(document, [...path, 'do'], message)]
    }),
  )
}

function casesOf({ blocks }: TestDocument): readonly { readonly path: Path; readonly asked: TestCaseDocument }[] {
  return blocks.flatMap(({ cases }, block) => cases.map((asked, index) => ({ path: [block, 'cases', index], asked })))
}

/** Method and target; null for one of the gateway's own pages, and for one that is refused before it is looked for. */
function requestOf({ do: asked }: TestCaseDocument): readonly [method: string, target: Target | null] {
  const space = asked.indexOf(' ')
  const [method, text] = [asked.slice(0, space), asked.slice(space + 1).trim()]
  if (isOwnTarget(text)) return [method, null]
  try {
    return [method, parseTarget(text)]
  } catch (error) {
    if (error instanceof Problem) return [method, null]
    throw error
  }
}

function doubtOf(
  document: Document,
  path: Path,
  name: string,
  known: ReadonlySet<string>,
  what: string,
): readonly Diagnostic[] {
  const near = misspellingOf(name, known)
  return near === null ? [] : [warningAt(document, path, `${what} ${quoted(name)}; did you mean ${quoted(near)}?`)]
}
