// Limits of requests under way compared with the connections to the upstream: beyond what a team gets of those, requests wait
// instead of being refused. Pure.

import { counted } from '../../config/plural.ts'
import type { Diagnostic } from '../../config/diagnostics.ts'
import { mostForOneTeam } from '../../limits/connection-shares.ts'
import type { GatewayLimitsDocument, LimitsDocument, TeamDocument } from '../documents/document.ts'
import { precedenceOf } from '../compile/compile-limits.ts'
import { warningAt } from './coverage.ts'

/** Warnings about `concurrent` of teams and of all together that `upstream.connections` of one instance cannot serve. */
export function concurrencyWarnings(
  teams: readonly TeamDocument[],
  [gateway]: readonly GatewayLimitsDocument[],
  connections: number,
): readonly Diagnostic[] {
  const warnings = teams.flatMap((document) => teamWarnings(document, connections))
  const together = gateway?.limits.mode === 'enforce' ? gateway : undefined
  if (together !== undefined) warnings.unshift(...gatewayWarnings(together, connections))
  if (warnings.length > 0 || (together !== undefined && together.limits.concurrent !== null)) return warnings
  const bounded = teams.filter(({ limits }) => limits?.mode === 'enforce' && limits.concurrent !== null)
  const sum = bounded.reduce((total, { limits }) => total + (limits?.concurrent ?? 0), 0)
  const [first] = bounded
  if (first === undefined || sum <= connections) return []
  const message = `the teams together may have ${counted(sum, 'request')} under way, and upstream.connections is ${connections}: bound them together by limits.concurrent in limits.yaml, or raise upstream.connections`
  return [warningAt(first, ['limits', 'concurrent'], message)]
}

/** One scope of a document with the bound in it. */
interface Scope {
  readonly path: readonly string[]
  /** Whom it speaks of. */
  readonly whom: string
  readonly limits: LimitsDocument
}

function gatewayWarnings(document: GatewayLimitsDocument, connections: number): Diagnostic[] {
  const { limits } = document
  const scopes = [{ path: [], whom: 'all teams', limits }, ...groupsOf(limits.operations, 'all teams')]
  return tooHigh(scopes, connections).map(({ path, whom, concurrent }) =>
    warningAt(
      document,
      ['limits', ...path, 'concurrent'],
      `concurrent lets ${counted(concurrent, 'request')} of ${whom} be under way, and upstream.connections is ${connections}: the rest waits for a connection instead of being refused; lower it to at most ${connections}, or raise upstream.connections`,
    ),
  )
}

function teamWarnings(document: TeamDocument, connections: number): Diagnostic[] {
  const { limits, team } = document
  if (limits?.mode !== 'enforce') return []
  const whom = `team ${team}`
  const { perPrincipal } = limits
  const scopes: readonly Scope[] = [
    { path: [], whom, limits },
    ...Object.entries(limits.apps).map(([app, each]) => ({
      path: ['apps', app],
      whom: `app ${app} of ${whom}`,
      limits: each,
    })),
    ...(perPrincipal === null
      ? []
      : [{ path: ['per_principal'], whom: `each caller of ${whom}`, limits: perPrincipal }]),
    ...groupsOf(limits.operations, whom),
  ]
  const most = mostForOneTeam(connections, precedenceOf(document, null).weight)
  return tooHigh(scopes, most).map(({ path, whom: who, concurrent }) =>
    warningAt(
      document,
      ['limits', ...path, 'concurrent'],
      `concurrent lets ${who} have ${counted(concurrent, 'request')} under way, and upstream.connections is ${connections}, of which a team alone gets at most ${most}: the rest waits for a connection instead of being refused; lower it to at most ${most}, or raise upstream.connections`,
    ),
  )
}

function groupsOf(operations: Readonly<Record<string, LimitsDocument>>, whom: string): readonly Scope[] {
  return Object.entries(operations).map(([word, limits]) => ({
    path: ['operations', word],
    whom: `${word} by ${whom}`,
    limits,
  }))
}

/** The scopes whose bound is above `most`, unless the first one, which holds for all, bounds them further. */
function tooHigh(scopes: readonly Scope[], most: number): readonly (Scope & { readonly concurrent: number })[] {
  const whole = scopes[0]?.limits.concurrent ?? null
  const inner = whole !== null && whole <= most ? [] : scopes
  return inner.flatMap((scope) => {
    const { concurrent } = scope.limits
    return concurrent === null || concurrent <= most ? [] : [{ ...scope, concurrent }]
  })
}
