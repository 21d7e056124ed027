// A comparison as text and as data. Pure.

import { callerData } from '../tools/described-caller.ts'
import { counted } from '../../config/plural.ts'
import { shellOption, shellWord } from '../tools/shell-word.ts'
import { addressIn, type Comparison, type RightChange } from './compare.ts'
import { changeKinds } from './words.ts'
import { describeCallers } from '../cells/caller-classes.ts'
import { sampleDevinUser } from '../cells/requests.ts'
import { callersText, rowsOf, weightOf, type ChangeRow } from './rows.ts'

/** A caller as it would be sent to `explain`. */
export interface ExampleCaller {
  readonly team: string
  readonly subject: string
  /** Absent where any will do. */
  readonly issuer?: string
  readonly email?: string
  readonly groups: readonly string[]
  readonly app?: string
  readonly actor?: string
  readonly claims?: Readonly<Record<string, unknown>>
  /** Where guardrails ask for it. */
  readonly devin_user_id?: string
}

export interface ChangeData {
  readonly change: string
  readonly team: string
  readonly callers: string
  readonly operation: string
  /** Members of the body that make the difference; absent for none. */
  readonly with?: readonly string[]
  /** Alike in this; `org-any-other` stands for every one that no set names. Null: the request names none. */
  readonly organizations: readonly (string | null)[]
  /** Only requests differ that name several of them at once. */
  readonly together?: true
  readonly from: string
  readonly to: string
  /** The other team by which these callers have the right before it is gained, or after it is lost. */
  readonly also_by?: string
  readonly example: {
    readonly method: string
    readonly path: string
    readonly body?: unknown
    readonly as: ExampleCaller
  }
}

export interface ComparisonData {
  readonly cells: number
  readonly undecided: number
  readonly changes: readonly ChangeData[]
  /** What is no difference in rights now: other ends, trials, rights without a key. */
  readonly notes: readonly string[]
}

/** One entry for each team, class of callers, operation and organizations that are alike. */
export function comparisonData({ decided, undecided, changes, notes }: Comparison): ComparisonData {
  return {
    cells: decided,
    undecided,
    notes,
    changes: rowsInOrder(changes).map((change) => ({
      change: change.change,
      team: change.team,
      callers: describeCallers(change.callers, change.allCallers),
      operation: change.request.operation.id,
      ...(change.request.members.length === 0 ? {} : { with: change.request.members }),
      organizations: change.organizations,
      ...(change.together ? { together: true } : {}),
      from: change.from,
      to: change.to,
      ...(change.alsoBy === null ? {} : { also_by: change.alsoBy }),
      example: exampleOf(change),
    })),
  }
}

function rowsInOrder(changes: readonly RightChange[]): readonly RightChange[] {
  return [...changes].sort(
    (a, b) =>
      changeKinds.indexOf(a.change) - changeKinds.indexOf(b.change) ||
      weightOf(b.request.operation) - weightOf(a.request.operation) ||
      (a.team < b.team ? -1 : a.team > b.team ? 1 : 0) ||
      (a.request.operation.id < b.request.operation.id ? -1 : 1),
  )
}

function exampleOf(change: RightChange): ChangeData['example'] {
  const { operation, bodyText } = change.request
  return {
    method: operation.method,
    path: addressIn(change),
    ...(bodyText === null ? {} : { body: JSON.parse(bodyText) as unknown }),
    as: { ...callerOf(change), ...(change.asksUser ? { devin_user_id: sampleDevinUser.id } : {}) },
  }
}

function callerOf({ team, callers }: RightChange): ExampleCaller {
  const [{ principal, named: says }] = callers
  const { issuer, ...data } = callerData(principal)
  return { team, ...data, ...(says.issuer ? { issuer } : {}) }
}

const verbs = {
  gained: 'gain',
  lost: 'lose',
  key: 'with another key:',
  guardrail: 'with other bounds of guardrails:',
  limit: 'with other limits:',
  filter: 'with another part of the answer:',
} as const
const mostNamed = 8

/** Lines for a terminal; with `explain`, the commands that show the difference. */
export function comparisonText(comparison: Comparison, explainIn: readonly [string, string]): readonly string[] {
  const rows = rowsOf(comparison.changes)
  return [
    ...rows.flatMap((row) => [
      `${marks[row.change]} ${sentence(row)}`,
      ...detailsOf(row).map((line) => `    ${line}`),
      `    see: ${commandFor(row, explainIn)}`,
    ]),
    ...(rows.length === 0 ? ['no difference in rights'] : []),
    ...comparison.notes.map((note) => `note: ${note}`),
    comparisonSummary(comparison, rows),
  ]
}

/** A sentence for each row, with what is in force before and after it. */
export function changeSentences({ changes }: Pick<Comparison, 'changes'>): readonly ChangeSentence[] {
  return rowsOf(changes).map((row) => ({ change: row.change, what: sentence(row), details: detailsOf(row) }))
}

export interface ChangeSentence {
  readonly change: ChangeRow['change']
  readonly what: string
  readonly details: readonly string[]
}

const marks = { gained: '+', lost: '-', key: '~', guardrail: '~', limit: '~', filter: '~' } as const

function sentence(row: ChangeRow): string {
  const whose = `${row.team}: ${callersText(row)}`
  const operations = named(row.operations)
  const had = row.change === 'gained' ? 'they had it already' : 'they keep it'
  const kept = row.alsoBy === null ? '' : ` (${had}, as members of team ${row.alsoBy})`
  return `${whose} ${verbs[row.change]} ${operations}${organizationsPhrase(row)}${kept}`
}

function detailsOf({ change, from, to }: ChangeRow): readonly string[] {
  if (change === 'gained') return [`${to}; before: ${from}`]
  if (change === 'lost') return [`${to}; before: ${from}`]
  return [`before: ${from}`, `after:  ${to}`]
}

function organizationsPhrase(row: ChangeRow): string {
  const text = organizationsText(row)
  return text === '' ? '' : ` in ${text}`
}

/** Where rows differ, in words; empty where the requests name no organization. */
export function organizationsText({ organizations, together }: ChangeRow): string {
  const ids = organizations.filter((id) => id !== null)
  if (ids.length === 0) return ''
  if (together) return `${named(ids)}, where one request names several of them`
  return `${named(ids)}${organizations.includes(null) ? ' and without naming one' : ''}`
}

function named(names: readonly string[]): string {
  const more = names.length - mostNamed
  return more > 0 ? `${names.slice(0, mostNamed).join(', ')} and ${more} more` : names.join(', ')
}

/** How many cells were decided, and how many differ. */
export function comparisonSummary({ decided, undecided, changes }: Comparison, rows: readonly ChangeRow[]): string {
  const counts = changeKinds.flatMap((kind) => {
    const count = changes.reduce((sum, each) => (each.change === kind ? sum + each.organizations.length : sum), 0)
    return count === 0 ? [] : [`${count} ${kind}`]
  })
  const found = rows.length === 0 ? '' : `; ${counts.join(', ')}`
  return `${counted(decided, 'cell')} decided under both sets, ${undecided} could not be${found}`
}

/** The command that shows the request of a row: under the set that allows it. */
export function commandFor({ change, example }: ChangeRow, [from, to]: readonly [string, string]): string {
  return explainingCommand(example, change === 'lost' ? from : to)
}

/** The command that shows one request under one of the sets. */
function explainingCommand(change: RightChange, policies: string): string {
  const [{ principal, named: says }] = change.callers
  const { operation, bodyText } = change.request
  const claims = Object.entries(principal.claims).flatMap(([path, values]) =>
    [values].flat().map((value) => shellOption('claim', `${path}=${claimText(String(value))}`)),
  )
  return [
    'devin-gateway explain',
    shellOption('policies', policies),
    ...(says.issuer ? [shellOption('issuer', principal.issuer)] : []),
    ...(says.subject ? [shellOption('sub', principal.subject)] : []),
    ...(principal.email === null ? [] : [shellOption('email', principal.email)]),
    ...principal.groups.map((group) => shellOption('group', group)),
    ...(principal.app === null ? [] : [shellOption('app', principal.app)]),
    ...(principal.actor === null ? [] : [shellOption('actor', principal.actor)]),
    ...claims,
    operation.method,
    shellWord(addressIn(change)),
    ...(bodyText === null ? [] : [shellOption('body', bodyText)]),
    ...(change.asksUser ? [shellOption('devin-user', sampleDevinUser.id)] : []),
  ].join(' ')
}

/** `explain` takes what begins like a list for one. */
function claimText(value: string): string {
  return /^[[{]/.test(value) ? JSON.stringify([value]) : value
}
