// Which limits apply to a request of a team: the team's own, those of its app, of the principal, and of groups of
// operations. Pure; usage is kept by limits/limiter.ts under the names made here.

import type { Operation } from '../catalogue/operation.ts'
import type { Principal } from '../identity/principal.ts'
import type { Limit } from '../limits/limiter.ts'
import type { Quota } from '../limits/meter.ts'

/** Limits of one scope; an absent limit is none. */
export interface LimitRules {
  readonly requests: Quota | null
  readonly writes: Quota | null
  readonly concurrent: number | null
  readonly sessions: Quota | null
}

export interface OperationGroupLimits {
  /** The word of the policy: an operation id, a pattern or a permission. */
  readonly name: string
  /** Indexes of the operations it covers. */
  readonly operations: ReadonlySet<number>
  readonly rules: LimitRules
}

export interface TeamLimits {
  readonly own: LimitRules
  readonly apps: ReadonlyMap<string, LimitRules>
  readonly principal: LimitRules | null
  readonly operations: readonly OperationGroupLimits[]
  readonly shadow: boolean
}

/** The operation whose successes count as sessions. */
const sessionCreate = 'org.sessions.create'
const none: readonly Limit[] = []

/** Finds the limits of a request. Remembered by app and operation; limits per principal are made for each request. */
export function createLimitFinder(
  team: string,
  limits: TeamLimits | null,
): (principal: Principal, operation: Operation) => readonly Limit[] {
  if (limits === null) return () => none
  const remembered = new Map<string, readonly Limit[]>()
  return (principal, operation) => {
    const app = principal.app !== null && limits.apps.has(principal.app) ? principal.app : ''
    const key = `${operation.index} ${app}`
    let shared = remembered.get(key)
    if (shared === undefined) remembered.set(key, (shared = sharedLimits(team, limits, app, operation)))
    if (limits.principal === null) return shared
    return [
      ...shared,
      ...limitsOf(
        limits.principal,
        `${team}/principal/${principal.issuer} ${principal.subject}`,
        'principal-',
        operation,
        limits.shadow,
      ),
    ]
  }
}

function sharedLimits(team: string, limits: TeamLimits, app: string, operation: Operation): readonly Limit[] {
  const ofApp = limits.apps.get(app)
  return [
    ...limitsOf(limits.own, team, '', operation, limits.shadow),
    ...(ofApp === undefined ? [] : limitsOf(ofApp, `${team}/app/${app}`, 'app-', operation, limits.shadow)),
    ...limits.operations
      .filter((group) => group.operations.has(operation.index))
      .flatMap((group) =>
        limitsOf(group.rules, `${team}/operations/${group.name}`, `${group.name}-`, operation, limits.shadow),
      ),
  ]
}

function limitsOf(rules: LimitRules, scope: string, prefix: string, operation: Operation, shadow: boolean): Limit[] {
  const made: Limit[] = []
  const rate = (name: string, quota: Quota | null, kind: 'rate' | 'budget'): void => {
    if (quota !== null)
      made.push({ meter: `${scope} ${name} ${spanName(quota)}`, name: prefix + name, kind, quota, most: 0, shadow })
  }
  rate('requests', rules.requests, 'rate')
  if (operation.method !== 'GET') rate('writes', rules.writes, 'rate')
  if (rules.concurrent !== null)
    made.push({
      meter: `${scope} concurrent`,
      name: `${prefix}concurrent`,
      kind: 'concurrency',
      quota: null,
      most: rules.concurrent,
      shadow,
    })
  if (operation.id === sessionCreate) rate('sessions', rules.sessions, 'budget')
  return made
}

/** Part of a meter's name: a quota with another window is another usage; another amount is the same one. */
function spanName({ perMs, calendar, burst, timeZone }: Quota): string {
  return `${calendar ?? perMs ?? ''}${burst === null ? '' : ' burst'}${calendar === null ? '' : ` ${timeZone}`}`
}
