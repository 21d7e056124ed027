// Which limits apply to a request: the team's own, those of its app, of the principal, of groups of operations, and the
// gateway's. Pure; usage is kept by limits/limiter.ts under the names made here.

import { type Operation, sessionCreate } from '../../catalogue/operation.ts'
import type { Principal } from '../../identity/principal.ts'
import type { Limit, Quota } from '../../limits/limiter.ts'

/** Limits of one scope; an absent limit is none. */
export interface LimitRules {
  readonly requests: Quota | null
  readonly writes: Quota | null
  readonly concurrent: number | null
  /** Creates in a sliding span of time; those of calendar windows are budgets. */
  readonly sessions: Quota | null
}

export interface OperationGroupLimits {
  /** The word of the policy: an operation id, a pattern or a permission. */
  readonly name: string
  /** Indexes of the operations it covers. */
  readonly operations: ReadonlySet<number>
  readonly rules: LimitRules
}

/** Limits of a team, or of all together. */
interface ScopeLimits {
  readonly own: LimitRules
  readonly operations: readonly OperationGroupLimits[]
  readonly shadow: boolean
}

/** Limits of all teams together. */
export interface GatewayLimits extends ScopeLimits {
  /** How long a request may wait while its key rests; 0: not at all. */
  readonly maxWaitMs: number
}

export interface TeamLimits extends ScopeLimits {
  readonly apps: ReadonlyMap<string, LimitRules>
  readonly principal: LimitRules | null
}

/**
 * Finds the limits of a request: its team's and the gateway's, to be judged together. Remembered by app and operation;
 * limits per principal are made for each request.
 */
export function createLimitFinder(
  team: string,
  limits: TeamLimits | null,
  gateway: GatewayLimits | null,
): (principal: Principal, operation: Operation) => readonly Limit[] {
  const remembered = new Map<string, readonly Limit[]>()
  return (principal, operation) => {
    const app = principal.app !== null && limits?.apps.has(principal.app) === true ? principal.app : ''
    const key = `${operation.index} ${app}`
    let shared = remembered.get(key)
    if (shared === undefined) {
      shared = [...teamLimitsOf(team, limits, app, operation), ...gatewayLimitsOf(gateway, operation)]
      remembered.set(key, shared)
    }
    if (limits === null || limits.principal === null) return shared
    const whose: Whose = {
      meter: `${team}/principal/${principal.issuer} ${principal.subject}`,
      prefix: 'principal-',
      scope: 'team',
      shadow: limits.shadow,
    }
    return [...shared, ...limitsOf(limits.principal, whose, operation)]
  }
}

/** The name of the limit of attempts, in fields and refusals. */
const attemptsName = 'attempts'

export interface AttemptLimits {
  /** The team's policy states it; else it is the default, which honest callers do not come near. */
  readonly isStated: boolean
  of(principal: Principal): Limit
}

/** The limit of attempts: one caller's, whatever its app. */
export function attemptLimits(quota: Quota, isStated: boolean, shadow: boolean): AttemptLimits {
  return {
    isStated,
    of: ({ issuer, subject }) => ({
      meter: `/${attemptsName} ${issuer} ${subject} ${spanName(quota)}`,
      name: attemptsName,
      kind: 'rate',
      scope: 'team',
      quota,
      most: 0,
      shadow,
    }),
  }
}

function teamLimitsOf(team: string, limits: TeamLimits | null, app: string, operation: Operation): Limit[] {
  if (limits === null) return []
  const whose: Whose = { meter: team, prefix: '', scope: 'team', shadow: limits.shadow }
  const ofApp = limits.apps.get(app)
  return [
    ...limitsOf(limits.own, whose, operation),
    ...(ofApp === undefined
      ? []
      : limitsOf(ofApp, { ...whose, meter: `${team}/app/${app}`, prefix: 'app-' }, operation)),
    ...groupLimitsOf(limits.operations, whose, operation),
  ]
}

/** No team has a name that begins with a slash. */
function gatewayLimitsOf(limits: GatewayLimits | null, operation: Operation): Limit[] {
  if (limits === null) return []
  const whose: Whose = { meter: '/gateway', prefix: 'gateway-', scope: 'gateway', shadow: limits.shadow }
  return [...limitsOf(limits.own, whose, operation), ...groupLimitsOf(limits.operations, whose, operation)]
}

function groupLimitsOf(groups: readonly OperationGroupLimits[], whose: Whose, operation: Operation): Limit[] {
  return groups
    .filter((group) => group.operations.has(operation.index))
    .flatMap(({ name, rules }) =>
      limitsOf(
        rules,
        { ...whose, meter: `${whose.meter}/operations/${name}`, prefix: `${whose.prefix}${name}-` },
        operation,
      ),
    )
}

/** Whose limits they are: the beginning of their meters' names and of their own. */
interface Whose extends Pick<Limit, 'meter' | 'scope' | 'shadow'> {
  readonly prefix: string
}

function limitsOf(rules: LimitRules, { meter, prefix, scope, shadow }: Whose, operation: Operation): Limit[] {
  const made: Limit[] = []
  const rate = (name: string, quota: Quota | null, kind: 'rate' | 'refundable'): void => {
    if (quota === null) return
    made.push({
      meter: `${meter} ${name} ${spanName(quota)}`,
      name: prefix + name,
      kind,
      scope,
      quota,
      most: 0,
      shadow,
    })
  }
  rate('requests', rules.requests, 'rate')
  if (operation.method !== 'GET') rate('writes', rules.writes, 'rate')
  if (rules.concurrent !== null)
    made.push({
      meter: `${meter} concurrent`,
      name: `${prefix}concurrent`,
      kind: 'concurrency',
      scope,
      quota: null,
      most: rules.concurrent,
      shadow,
    })
  if (operation.id === sessionCreate) rate('sessions', rules.sessions, 'refundable')
  return made
}

/** Part of a meter's name: a quota with another window is another usage; another amount is the same one. */
function spanName({ perMs, calendar, burst, timeZone }: Quota): string {
  return `${calendar ?? perMs ?? ''}${burst === null ? '' : ' burst'}${calendar === null ? '' : ` ${timeZone}`}`
}
