// The limits of a team's document, and those of the whole gateway, in the form the limiter takes. Pure.

import type { Diagnostic } from '../../config/diagnostics.ts'
import type { Quota } from '../../limits/limiter.ts'
import type { Precedence } from '../../limits/precedence.ts'
import type { AllowCompiler } from './allow.ts'
import type { GatewayLimitsDocument, LimitsDocument, QuotaDocument, TeamDocument } from '../documents/document.ts'
import {
  attemptLimits,
  type AttemptLimits,
  type GatewayLimits,
  type LimitRules,
  type OperationGroupLimits,
  type TeamLimits,
} from './team-limits.ts'

/** Null when the team has no limits. Words for groups of operations are checked as those of grants are. */
export function compileLimits(
  document: TeamDocument,
  allow: AllowCompiler,
  diagnostics: Diagnostic[],
): TeamLimits | null {
  const { limits } = document
  if (limits === null) return null
  const rules = (written: LimitsDocument): LimitRules => rulesOf(written, limits.timeZone)
  return {
    own: rules(limits),
    apps: new Map(Object.entries(limits.apps).map(([app, written]) => [app, rules(written)])),
    principal: limits.perPrincipal === null ? null : rules(limits.perPrincipal),
    operations: compileGroups({ ...document, limits }, allow, diagnostics),
    shadow: limits.mode === 'shadow',
  }
}

const attemptsByDefault = { amount: 120, perMs: 60_000, calendar: null, burst: null } as const

/** What the team states, else twice its writes, else 120 a minute. */
export function compileAttempts({ limits }: TeamDocument): AttemptLimits {
  const timeZone = limits?.timeZone ?? 'UTC'
  const stated = quotaOf(limits?.attempts ?? null, timeZone)
  const writes = quotaOf(limits?.writes ?? null, timeZone)
  const quota =
    stated ??
    (writes === null
      ? { ...attemptsByDefault, timeZone }
      : { ...writes, amount: 2 * writes.amount, burst: writes.burst === null ? null : 2 * writes.burst })
  return attemptLimits(quota, stated !== null, limits?.mode === 'shadow')
}

/** The gateway-wide limits; null when there are none. A second file of them is an error. */
export function compileGatewayLimits(
  documents: readonly GatewayLimitsDocument[],
  allow: AllowCompiler,
  diagnostics: Diagnostic[],
): GatewayLimits | null {
  const [first, ...others] = documents
  for (const { file, positionOf } of others) {
    const message = `the limits of the whole gateway are defined twice; the other ones are in ${first?.file ?? ''}`
    diagnostics.push({ file, ...positionOf(['limits']), severity: 'error', message })
  }
  if (first === undefined) return null
  const { limits } = first
  return {
    own: rulesOf(limits, limits.timeZone),
    maxWaitMs: limits.maxWaitMs,
    operations: compileGroups(first, allow, diagnostics),
    shadow: limits.mode === 'shadow',
  }
}

const weights = { high: 4, normal: 2, low: 1 } as const

/** The place of a team's requests in the queue before the upstream. */
export function precedenceOf({ team, limits }: TeamDocument, gateway: GatewayLimits | null): Precedence {
  const { priority, weight } = limits ?? ({ priority: 'normal', weight: null } as const)
  const maxWaitMs = gateway?.maxWaitMs ?? 0
  return { team, priority, weight: weight ?? weights[priority], maxRestMs: maxWaitMs }
}

type GroupsSource = Pick<TeamDocument, 'file' | 'positionOf'> & {
  readonly limits: { readonly operations: Readonly<Record<string, LimitsDocument>>; readonly timeZone: string }
}

function compileGroups(
  { file, positionOf, limits }: GroupsSource,
  allow: AllowCompiler,
  diagnostics: Diagnostic[],
): OperationGroupLimits[] {
  return Object.entries(limits.operations).map(([word, written]) => {
    const covered = allow(word)
    for (const { severity, message } of covered.problems)
      diagnostics.push({ file, ...positionOf(['limits', 'operations', word]), severity, message })
    return { name: word, operations: new Set(covered.operations), rules: rulesOf(written, limits.timeZone) }
  })
}

function rulesOf(written: LimitsDocument, timeZone: string): LimitRules {
  return {
    requests: quotaOf(written.requests, timeZone),
    writes: quotaOf(written.writes, timeZone),
    concurrent: written.concurrent,
    sessions: quotaOf(written.sessionRate, timeZone),
  }
}

function quotaOf(written: QuotaDocument | null, timeZone: string): Quota | null {
  return written === null ? null : { ...written.rate, burst: written.burst, timeZone }
}
