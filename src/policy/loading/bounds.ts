// Lists the bounds of a policy set by name, so that a reload that loses some is noticed: a file that is half written
// or briefly missing looks like a removed bound. Pure.

import { mapValues } from '../documents/document-fields.ts'
import type { MemberEntry } from '../documents/condition-document.ts'
import type {
  GatewayLimitsDocument,
  GuardrailsDocument,
  LimitsDocument,
  PolicyDocument,
  TeamDocument,
} from '../documents/document.ts'

import { eachInSteps, type Steps } from '../model/steps.ts'

interface Bound {
  /** Where each part is gone, one by one: `body.max_acu_limit.at_most`. */
  readonly parts: ReadonlySet<string>
  /** Without its owner a bound is moot: the limits of a removed team forbid nothing. */
  readonly holder: string | null
}

/** By name, as operators read it: `guardrail "bounded-sessions"`. */
export interface Bounds {
  readonly bounds: ReadonlyMap<string, Bound>
  /** Teams and grants that exist. */
  readonly holders: ReadonlySet<string>
  /** Conditions of the entries of members, by team. */
  readonly entries: ReadonlyMap<string, readonly Conditions[]>
}

/** The values of each attribute that is named, as JSON. */
type Conditions = ReadonlyMap<string, readonly string[]>

/** The enforced guardrails, limits, conditions of grants and of members, and invariants. */
export function boundsOf(documents: readonly PolicyDocument[]): Bounds {
  const bounds = new Map<string, Bound>()
  const holders = new Set<string>()
  const entries = new Map<string, readonly Conditions[]>()
  const add = (name: string, holder: string | null, written: unknown): void => {
    const parts = [...pathsOf(written)].filter((path) => path !== '')
    const before = bounds.get(name)?.parts ?? []
    if (parts.length > 0) bounds.set(name, { parts: new Set([...before, ...parts]), holder })
  }
  for (const document of documents) {
    if (document.kind === 'guardrails') addGuardrails(document, add)
    else if (document.kind === 'limits') addGatewayLimits(document, add)
    else if (document.kind === 'team') {
      addTeam(document, holders, add)
      entries.set(document.team, document.members.map(conditionsOf))
    } else if (document.kind === 'invariants')
      for (const { id, kind, about } of document.invariants) add(`invariant "${id}"`, null, { [kind]: about })
  }
  return { bounds, holders, entries }
}

/** One text for each bound that the later set does not have any more, sorted. */
export function* vanishedBounds(before: Bounds, after: Bounds): Steps<readonly string[]> {
  const vanished: string[] = []
  yield* eachInSteps(before.bounds, ([name, { parts, holder }]) => {
    if (holder !== null && !after.holders.has(holder)) return
    const left = after.bounds.get(name)?.parts
    if (left === undefined) vanished.push(name)
    else for (const part of parts) if (!left.has(part)) vanished.push(`${part} of ${name}`)
  })
  yield* eachInSteps(before.entries, ([team, entries]) => {
    const known = new Set(entries.map(textOf))
    for (const entry of after.entries.get(team) ?? [])
      if (!known.has(textOf(entry)))
        for (const name of lostConditions(entries, entry))
          vanished.push(`the condition ${name} of an entry of members of team "${team}"`)
  })
  return [...new Set(vanished)].sort()
}

const textOf = (conditions: Conditions): string => JSON.stringify([...conditions])

/** What an entry of before says beside all that this one says. */
function lostConditions(entries: readonly Conditions[], entry: Conditions): readonly string[] {
  const wider = entries.find(
    (known) =>
      known.size > entry.size &&
      [...entry].every(([name, values]) => values.every((value) => known.get(name)?.includes(value) === true)),
  )
  return [...(wider?.keys() ?? [])].filter((name) => !entry.has(name))
}

/** An entry that ends has that as a condition. */
function conditionsOf({ ending, claims = {}, ...others }: MemberEntry): Conditions {
  const named = { ...others, ...claims, ...(ending.endsAtMs === null ? {} : { until: true }) }
  return new Map(
    Object.entries(named).map(([name, value]) => [name, [value].flat().map((each) => JSON.stringify(each))]),
  )
}

type Add = (name: string, holder: string | null, written: unknown) => void

/** Members that only describe a grant or a guardrail; every other member narrows it. */
const remarks: ReadonlySet<string> = new Set(['except', 'ending', 'id', 'mode', 'remarks', 'reason', 'allow'])

function withoutRemarks(written: object): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(written).filter(([name]) => !remarks.has(name)))
}

function addGuardrails({ guardrails }: GuardrailsDocument, add: Add): void {
  for (const guardrail of guardrails) {
    const { id, mode, on, teams, apps, response } = guardrail
    if (mode !== 'enforce') continue
    add(`guardrail "${id}"`, null, {
      ...withoutRemarks(guardrail),
      on: setOf(on),
      teams: setOf(teams),
      apps: setOf(apps),
      response:
        response === null ? null : { filter_items_by: response.filterItemsBy, fields: setOf(response.dropFields) },
    })
  }
}

/** Whether each word is there matters, not their order. */
function setOf(words: 'all' | readonly string[]): Readonly<Record<string, true>> {
  return Object.fromEntries((words === 'all' ? ['all'] : words).map((word) => [word, true]))
}

function addGatewayLimits({ limits }: GatewayLimitsDocument, add: Add): void {
  const { mode, operations, organizations } = limits
  if (mode !== 'enforce') return
  add('the limits of the gateway', null, {
    ...amountsOf(limits),
    operations: mapValues(operations, amountsOf),
    organizations: mapValues(organizations, amountsOf),
  })
}

function addTeam({ team, limits, grants }: TeamDocument, holders: Set<string>, add: Add): void {
  const holder = `team ${team}`
  holders.add(holder)
  if (limits?.mode === 'enforce') {
    add(`the limits of team "${team}"`, holder, {
      ...amountsOf(limits),
      attempts: limits.attempts === null ? null : true,
      apps: mapValues(limits.apps, amountsOf),
      per_principal: limits.perPrincipal === null ? null : amountsOf(limits.perPrincipal),
      operations: mapValues(limits.operations, amountsOf),
    })
  }
  for (const grant of grants) {
    const itself = `grant ${team} ${grant.id}`
    holders.add(itself)
    add(`the condition of grant "${grant.id}" of team "${team}"`, itself, {
      ...withoutRemarks(grant),
      until: grant.ending.endsAtMs === null ? null : true,
    })
  }
}

/** The limits that are set, as policies spell them. */
function amountsOf(limits: LimitsDocument): Readonly<Record<string, unknown>> {
  const { requests, writes, concurrent, sessionRate, acus, sessions, openSessions } = limits
  return {
    requests: requests === null ? null : true,
    writes: writes === null ? null : true,
    concurrent,
    sessions: sessionRate === null ? sessions?.hard : true,
    acus: acus?.hard,
    open_sessions: openSessions?.hard,
  }
}

/** Lists of which every member binds; of other lists fewer members bind more. */
const bindingLists: ReadonlySet<string> = new Set(['reserve', 'add'])

/** Dotted paths of the values that are set. */
function* pathsOf(value: unknown, path = ''): Generator<string> {
  if (value === null || value === undefined) return
  if (typeof value !== 'object') yield path
  else if (Array.isArray(value)) {
    yield path
    if (bindingLists.has(path.slice(path.lastIndexOf('.') + 1)))
      yield* value.map((member) => `${path} ${String(member)}`)
  } else {
    for (const [key, member] of Object.entries(value)) yield* pathsOf(member, path === '' ? key : `${path}.${key}`)
  }
}
