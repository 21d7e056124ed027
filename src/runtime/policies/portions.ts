// What the thread that examines policies hands over, cut into portions: reading one of them takes well below the time that a
// request may be held. Documents go over without their positions, which only messages about mistakes need.

import type { Diagnostic } from '../../config/diagnostics.ts'
import type { PolicyDocuments } from '../../policy/compile/compile.ts'
import type {
  DevinUsersDocument,
  GatewayLimitsDocument,
  GuardrailsDocument,
  KeyDocument,
  LimitsDocument,
  TeamDocument,
} from '../../policy/documents/document.ts'
import type { Bounds } from '../../policy/loading/bounds.ts'
import type { ExaminedPolicies } from '../../policy/loading/examine.ts'
import type { UsablePolicies } from '../../policy/loading/load.ts'
import type { PolicyText } from '../../policy/loading/read-directory.ts'

type Plain<Document> = Omit<Document, 'positionOf'>

type OneBound = Bounds['bounds'] extends ReadonlyMap<string, infer One> ? One : never
type EntriesOfTeam = Bounds['entries'] extends ReadonlyMap<string, infer One> ? One : never

/** The lists of an examination, each of which may be long. */
interface Lists {
  files: PolicyText
  teams: Plain<TeamDocument>
  keys: Plain<KeyDocument>
  limits: Plain<GatewayLimitsDocument>
  /** Of `limits`, by organization. */
  organizations: readonly [string, LimitsDocument]
  guardrails: Plain<GuardrailsDocument>
  devinUsers: Plain<DevinUsersDocument>
  bounds: readonly [string, OneBound]
  holders: string
  entries: readonly [string, EntriesOfTeam]
  invariants: UsablePolicies['invariants'][number]
  diagnostics: Diagnostic
}

/** What comes in one piece, last. */
interface Whole {
  readonly digest: string
  readonly revision: string
  readonly testsPassed: number
}

export type Portion =
  | { readonly [List in keyof Lists]: { readonly list: List; readonly items: readonly Lists[List][] } }[keyof Lists]
  | { readonly list: null; readonly whole: Whole }

/** Values and texts of one portion, about. */
const mostValues = 1000

/** The portions of an examination without an error. */
export function* portionsOf(examined: ExaminedPolicies): Generator<Portion> {
  const { files, documents, bounds, invariants, diagnostics, digest, testsPassed } = examined
  const { teams, keys, limits = [], guardrails = [], devinUsers = [], revision } = documents
  yield* cut('files', files, ({ text }) => text.length / 1000)
  yield* cut('teams', teams.map(plain), weightOf)
  yield* cut('keys', keys.map(plain), weightOf)
  for (const document of limits) {
    const { organizations, ...others } = document.limits
    yield { list: 'limits', items: [{ ...plain(document), limits: { ...others, organizations: {} } }] }
    yield* cut('organizations', Object.entries(organizations), weightOf)
  }
  for (const document of guardrails)
    for (const { items } of cut('guardrails', document.guardrails, weightOf))
      yield { list: 'guardrails', items: [{ ...plain(document), guardrails: items }] }
  for (const document of devinUsers)
    for (const { items } of cut('devinUsers', document.users, weightOf))
      yield { list: 'devinUsers', items: [{ ...plain(document), users: items }] }
  yield* cut('bounds', [...bounds.bounds], ([, { parts }]) => parts.size)
  yield* cut('holders', [...bounds.holders], () => 1)
  yield* cut('entries', [...bounds.entries], ([, entries]) => entries.reduce((sum, { size }) => sum + 2 * size, 0))
  yield* cut(
    'invariants',
    invariants.map(({ id, kind, source }) => ({ id, kind, source })),
    weightOf,
  )
  yield* cut('diagnostics', diagnostics, weightOf)
  yield { list: null, whole: { digest, revision, testsPassed } }
}

function* cut<List extends string, Item>(
  list: List,
  items: readonly Item[],
  weigh: (item: Item) => number,
): Generator<{ readonly list: List; readonly items: readonly Item[] }> {
  let portion: Item[] = []
  let weight = 0
  for (const item of items) {
    portion.push(item)
    weight += 1 + weigh(item)
    if (weight < mostValues) continue
    yield { list, items: portion }
    portion = []
    weight = 0
  }
  if (portion.length > 0) yield { list, items: portion }
}

function plain<Document extends { readonly positionOf: unknown }>(document: Document): Plain<Document> {
  const { positionOf: _positionOf, ...rest } = document
  return rest
}

/** How many values there are in one. */
function weightOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1
  let weight = 1
  for (const member of Object.values(value)) weight += weightOf(member)
  return weight
}

/** Portions as they come in. Each is put in its place at once, so that nothing of them all is left for the end. */
export class Received {
  readonly #files: PolicyText[] = []
  readonly #teams: TeamDocument[] = []
  readonly #keys: KeyDocument[] = []
  readonly #limits: GatewayLimitsDocument[] = []
  readonly #organizations: Record<string, LimitsDocument> = {}
  readonly #guardrails: GuardrailsDocument[] = []
  readonly #devinUsers: DevinUsersDocument[] = []
  readonly #bounds = new Map<string, OneBound>()
  readonly #holders = new Set<string>()
  readonly #entries = new Map<string, EntriesOfTeam>()
  readonly #invariants: Lists['invariants'][] = []
  readonly #diagnostics: Diagnostic[] = []

  add(portion: Exclude<Portion, { readonly list: null }>): void {
    switch (portion.list) {
      case 'files':
        return addAll(this.#files, portion.items)
      case 'teams':
        return addAll(this.#teams, portion.items.map(placed))
      case 'keys':
        return addAll(this.#keys, portion.items.map(placed))
      case 'limits':
        return addAll(
          this.#limits,
          portion.items.map((each) => ({
            ...placed(each),
            limits: { ...each.limits, organizations: this.#organizations },
          })),
        )
      case 'organizations':
        for (const [id, limits] of portion.items) this.#organizations[id] = limits
        return
      case 'guardrails':
        return addAll(this.#guardrails, portion.items.map(placed))
      case 'devinUsers':
        return addAll(this.#devinUsers, portion.items.map(placed))
      case 'bounds':
        for (const [name, bound] of portion.items) this.#bounds.set(name, bound)
        return
      case 'holders':
        for (const holder of portion.items) this.#holders.add(holder)
        return
      case 'entries':
        for (const [team, entries] of portion.items) this.#entries.set(team, entries)
        return
      case 'invariants':
        return addAll(this.#invariants, portion.items)
      case 'diagnostics':
        return addAll(this.#diagnostics, portion.items)
    }
  }

  /** All of it. */
  get({ digest, revision, testsPassed }: Whole): Handed {
    return {
      digest,
      testsPassed,
      files: this.#files,
      documents: {
        revision,
        teams: this.#teams,
        keys: this.#keys,
        limits: this.#limits,
        guardrails: this.#guardrails,
        devinUsers: this.#devinUsers,
      },
      bounds: { bounds: this.#bounds, holders: this.#holders, entries: this.#entries },
      invariants: this.#invariants,
      diagnostics: this.#diagnostics,
    }
  }
}

function addAll<Item>(list: Item[], items: readonly Item[]): void {
  for (const item of items) list.push(item)
}

/** An examination that found no error, without what only a command asks for. */
export interface Handed extends Pick<UsablePolicies, 'digest' | 'files' | 'bounds' | 'testsPassed' | 'invariants'> {
  readonly documents: PolicyDocuments
  readonly diagnostics: readonly Diagnostic[]
}

const nowhere = { line: 0, column: 0 }

function placed<Document extends object>(document: Document) {
  return { ...document, positionOf: () => nowhere }
}
