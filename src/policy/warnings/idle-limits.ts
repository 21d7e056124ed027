// Limits that bind nothing: on what their team may not do, below others that are always reached first, or empty. Pure.

import { sessionCreate } from '../../catalogue/operation.ts'
import type { Diagnostic } from '../../config/diagnostics.ts'
import { fewHints } from '../../config/nearest.ts'
import { operationsCovered } from '../compile/allow.ts'
import type { GatewayLimitsDocument, LimitsDocument, TeamDocument } from '../documents/document.ts'
import type { PolicySet } from '../model/policy-set.ts'
import { warningAt } from './coverage.ts'

type Path = readonly (string | number)[]
type Warn = (path: Path, message: string) => void

/** Warnings about the limits of teams and of the whole gateway. */
export function idleLimits(
  policy: PolicySet,
  teams: readonly TeamDocument[],
  gateway: readonly GatewayLimitsDocument[],
): readonly Diagnostic[] {
  const warnings: Diagnostic[] = []
  const granted = new Map(teams.map(({ team }) => [team, grantedTo(policy, team)]))
  for (const document of teams) {
    const warn: Warn = (path, message) => warnings.push(warningAt(document, ['limits', ...path], message))
    const ofTeam = granted.get(document.team)
    if (document.limits !== null && ofTeam !== undefined) checkTeam(policy, document, document.limits, ofTeam, warn)
  }
  const all = new Set([...granted.values()].flatMap((each) => [...each]))
  for (const document of gateway)
    checkGateway(policy, document, teams, all, (path, message) =>
      warnings.push(warningAt(document, ['limits', ...path], message)),
    )
  return warnings
}

/** Ids of the operations that grants of a team cover, those on trial included. */
function grantedTo(policy: PolicySet, id: string): ReadonlySet<string> {
  const team = policy.team(id)
  return new Set(
    policy.catalogue.operations
      .filter((operation) => operation.open || team?.grantsOn(operation).some(({ mode }) => mode !== 'off') === true)
      .map((operation) => operation.id),
  )
}

function checkTeam(
  policy: PolicySet,
  { team, members }: TeamDocument,
  limits: NonNullable<TeamDocument['limits']>,
  granted: ReadonlySet<string>,
  warn: Warn,
): void {
  const whom = `team ${team}`
  const groups = Object.entries(limits.operations)
  const apps = Object.entries(limits.apps)
  const { perPrincipal } = limits
  const settles = limits.attempts !== null || limits.priority !== 'normal' || limits.weight !== null
  const isEmpty = apps.length === 0 && groups.length === 0 && perPrincipal === null && !settles
  if (isEmpty && measuresOf(limits).length === 0) warn([], nothing('limits'))
  checkMeasures(policy, limits, granted, whom, [], warn)
  const known = new Set(members.flatMap((entry) => entry.app ?? []))
  const isClosed = members.every((entry) => entry.app !== undefined)
  const hint = fewHints()
  for (const [app, each] of apps) {
    const path = ['apps', app]
    if (measuresOf(each).length === 0) warn(path, nothing(`limits of app "${app}"`))
    checkMeasures(policy, each, granted, whom, path, warn)
    checkOuter(each, limits, `the limits of ${whom}`, path, warn)
    if (isClosed && !known.has(app))
      warn(path, `no member of ${whom} calls with app "${app}", so its limits bind nothing${hint(app, known)}`)
  }
  if (perPrincipal !== null) {
    if (measuresOf(perPrincipal).length === 0) warn(['per_principal'], nothing('per_principal'))
    checkMeasures(policy, perPrincipal, granted, whom, ['per_principal'], warn)
    checkOuter(perPrincipal, limits, `the limits of ${whom}`, ['per_principal'], warn)
  }
  checkGroups(policy, groups, granted, whom, warn)
  for (const [word, each] of groups) checkOuter(each, limits, `the limits of ${whom}`, ['operations', word], warn)
}

function checkGateway(
  policy: PolicySet,
  { limits }: GatewayLimitsDocument,
  teams: readonly TeamDocument[],
  granted: ReadonlySet<string>,
  warn: Warn,
): void {
  const groups = Object.entries(limits.operations)
  const organizations = Object.entries(limits.organizations)
  const isEmpty = groups.length === 0 && organizations.length === 0 && limits.maxWaitMs === 0
  if (isEmpty && measuresOf(limits).length === 0) warn([], nothing('limits'))
  checkGroups(policy, groups, granted, 'any team', warn)
  for (const [word, each] of groups) checkOuter(each, limits, 'the limits of all teams', ['operations', word], warn)
  const known = new Set(teams.flatMap((team) => team.organizations))
  const hint = fewHints()
  for (const [id, each] of organizations) {
    if (measuresOf(each).length === 0) warn(['organizations', id], nothing(`budgets of organization "${id}"`))
    // A team that reaches all; no organization is called so.
    if (!known.has('all') && !known.has(id))
      warn(
        ['organizations', id],
        `no team may touch organization "${id}", so its budgets bind nothing${hint(id, known)}`,
      )
  }
}

function checkGroups(
  policy: PolicySet,
  groups: readonly (readonly [string, LimitsDocument])[],
  granted: ReadonlySet<string>,
  whom: string,
  warn: Warn,
): void {
  for (const [word, limits] of groups) {
    const path = ['operations', word]
    const covered = operationsCovered(policy.catalogue, word)
    const both = new Set(covered.filter((id) => granted.has(id)))
    if (measuresOf(limits).length === 0) warn(path, nothing(`limits of "${word}"`))
    else if (covered.length > 0 && both.size === 0)
      warn(
        path,
        `no grant allows ${whom} what "${word}" covers, so its limits bind nothing: remove them, or add the grant`,
      )
    else checkMeasures(policy, limits, both, `what "${word}" covers for ${whom}`, path, warn)
  }
}

const nothing = (what: string): string =>
  `${what}: no limit is named here, so nothing is bounded. Add one, or remove the key`

/** Measures of writes and of sessions where there is nothing that they measure. */
function checkMeasures(
  policy: PolicySet,
  limits: LimitsDocument,
  granted: ReadonlySet<string>,
  whom: string,
  path: Path,
  warn: Warn,
): void {
  const writes = [...granted].some((id) => policy.catalogue.operation(id)?.method !== 'GET')
  for (const [name] of measuresOf(limits)) {
    if (name === 'writes' && !writes) warn([...path, name], `${name} binds nothing: no grant allows a write (${whom})`)
    if (['sessions', 'acus', 'open_sessions'].includes(name) && !granted.has(sessionCreate))
      warn([...path, name], `${name} binds nothing: no grant allows ${sessionCreate} (${whom})`)
  }
}

/** An inner limit above the one of all together is never reached. */
function checkOuter(inner: LimitsDocument, outer: LimitsDocument, whose: string, path: Path, warn: Warn): void {
  const bounds = new Map(measuresOf(outer).map(([name, bound]) => [name, bound]))
  for (const [name, bound] of measuresOf(inner)) {
    const above = bounds.get(name)
    if (above === undefined || above.span !== bound.span || bound.amount <= above.amount) continue
    warn(
      [...path, name],
      `${name} is higher here (${bound.amount}) than in ${whose} (${above.amount}), which are reached first: lower it, or remove it`,
    )
  }
}

interface Measure {
  readonly amount: number
  /** Only equal spans can be compared. */
  readonly span: string
}

/** The limits that are set, as policies spell them. */
function measuresOf(limits: LimitsDocument): readonly (readonly [string, Measure])[] {
  const { requests, writes, concurrent, sessionRate, acus, sessions, openSessions } = limits
  const rate = (quota: LimitsDocument['requests']): Measure | null =>
    quota === null
      ? null
      : { amount: quota.rate.amount, span: `${quota.rate.calendar ?? quota.rate.perMs} ${quota.burst ?? ''}` }
  const budget = (each: LimitsDocument['acus']): Measure | null =>
    each === null ? null : { amount: each.hard ?? Infinity, span: `${each.calendar} ${each.hard === null}` }
  const measures: readonly (readonly [string, Measure | null])[] = [
    ['requests', rate(requests)],
    ['writes', rate(writes)],
    ['concurrent', concurrent === null ? null : { amount: concurrent, span: '' }],
    ['sessions', rate(sessionRate) ?? budget(sessions)],
    ['acus', budget(acus)],
    ['open_sessions', budget(openSessions)],
  ]
  return measures.flatMap(([name, measure]) => (measure === null ? [] : [[name, measure] as const]))
}
