// The bounds around a right, as texts that can be compared: guardrails, limits and budgets. Two rights with equal texts are
// bounded alike. Pure.

import { counted } from '../../config/plural.ts'
import { unitsOf, type Budget } from '../../budgets/budget.ts'
import { sessionCreate, type Operation } from '../../catalogue/operation.ts'
import type { Principal } from '../../identity/principal.ts'
import type { Limit, Quota } from '../../limits/limiter.ts'
import type { BoundField, Rule } from '../guardrails/guardrail.ts'
import type { FieldPlace } from './guarded-request.ts'
import type { TeamView } from './right.ts'

/** The bounds of the guardrails in force on one operation, one text for each: `body max_acu_limit at most 25`. */
export function guardrailBounds(view: TeamView, operation: Operation, app: string | null): readonly string[] {
  return sorted([...fieldTexts(view, operation, app).values()].flat())
}

/** The places that two views bound otherwise. */
export function placesBoundOtherwise(
  views: readonly [TeamView, TeamView],
  operation: Operation,
  app: string | null,
): readonly FieldPlace[] {
  const [one, other] = [fieldTexts(views[0], operation, app), fieldTexts(views[1], operation, app)]
  const names = [...new Set([...one.keys(), ...other.keys()])]
  return names
    .filter((name) => sorted(one.get(name) ?? []).join('\n') !== sorted(other.get(name) ?? []).join('\n'))
    .map((name): FieldPlace => {
      const site = name.startsWith('query ') ? 'query' : 'body'
      return { in: site, field: name.slice(site.length + 1) }
    })
}

/** Texts by place: `body max_acu_limit`. */
function fieldTexts(view: TeamView, operation: Operation, app: string | null): ReadonlyMap<string, readonly string[]> {
  const layer = view.guardrailsOn(operation, app)
  return new Map(
    (['query', 'body'] as const).flatMap((site) =>
      layer[site].map((bounds) => [`${site} ${bounds.field}`, fieldBounds(site, bounds)] as const),
    ),
  )
}

/** Each bound that a rule can have, in words. */
const boundTexts: Readonly<Record<Exclude<keyof Rule, 'field'>, (bounds: BoundField) => readonly string[]>> = {
  forbid: ({ forbid }) => (forbid === undefined ? [] : ['forbidden']),
  require: ({ require }) => (require === undefined ? [] : ['required']),
  atMost: ({ atMost }) => (atMost === null ? [] : [`at most ${atMost.bound}`]),
  atLeast: ({ atLeast }) => (atLeast === null ? [] : [`at least ${atLeast.bound}`]),
  maxLength: ({ maxLength }) => (maxLength === null ? [] : [`at most ${counted(maxLength.bound, 'character')}`]),
  maxItems: ({ maxItems }) => (maxItems === null ? [] : [`at most ${counted(maxItems.bound, 'item')}`]),
  equals: ofRules(({ equals }) => (equals === null ? [] : [`equal to ${equals.text}`])),
  oneOf: ofRules(({ oneOf }) => (oneOf === null ? [] : [`one of ${oneOf.map(({ text }) => text).join(', ')}`])),
  matches: ofRules(({ matches }) => (matches === null ? [] : [`like ${matches.text}`])),
  eachMatches: ofRules(({ eachMatches }) => (eachMatches === null ? [] : [`each item like ${eachMatches.text}`])),
  default: ({ rules, putsNothing }) =>
    rules.flatMap(({ rule }) =>
      rule.default === null || putsNothing ? [] : [`${rule.default.text} where it is absent`],
    ),
  add: ofRules(({ add }) => add.map(({ text }) => `${text} is added`)),
  reserve: ofRules(({ reserve }) =>
    reserve.map(({ beginning, own }) => `${beginning}… reserved${own === null ? '' : `, but for ${own.text}`}`),
  ),
}

function ofRules(textsOf: (rule: Rule) => readonly string[]): (bounds: BoundField) => readonly string[] {
  return ({ rules }) => rules.flatMap(({ rule }) => textsOf(rule))
}

function fieldBounds(site: 'query' | 'body', bounds: BoundField): readonly string[] {
  const { forbid, require } = boundTexts
  // What must be absent has no other bound.
  const inForce = bounds.forbid === undefined ? Object.values(boundTexts) : [forbid, require]
  return inForce.flatMap((textsOf) => textsOf(bounds)).map((text) => `${site} ${bounds.field} ${text}`)
}

/** Limits and budgets that a request of this caller counts against: `requests 300/min, burst 50`. */
export function limitBounds(
  { policy, team }: Pick<TeamView, 'policy' | 'team'>,
  principal: Principal,
  operation: Operation,
  organization: string | null,
): readonly string[] {
  if (team === null) return []
  const attempts = operation.method === 'GET' || !team.attempts.isStated ? [] : [team.attempts.of(principal)]
  const budgets = operation.id === sessionCreate ? policy.budgets.of(team.id, principal, organization) : []
  return sorted([...[...team.limitsFor(principal, operation), ...attempts].map(limitText), ...budgets.map(budgetText)])
}

/** Its name and amount. */
export function limitText({ name, quota, most, shadow }: Limit): string {
  return `${name} ${quota === null ? most : quotaText(quota)}${shadow ? ', in shadow mode' : ''}`
}

function quotaText({ amount, perMs, calendar, burst, timeZone }: Quota): string {
  if (calendar !== null) return `${amount}/${calendar} in ${timeZone}`
  return `${amount}/${spanText(perMs ?? 0)}${burst === null ? '' : `, burst ${burst}`}`
}

function spanText(ms: number): string {
  const units = [
    [3_600_000, 'h'],
    [60_000, 'min'],
    [1_000, 's'],
  ] as const
  const [size, unit] = units.find(([each]) => ms % each === 0) ?? [1, 'ms']
  return ms === size ? unit : `${ms / size} ${unit}`
}

function budgetText({ name, owner, hard, soft, period, shadow, measure }: Budget): string {
  const bounds = [
    hard === null ? null : `hard ${hard / unitsOf(measure)}`,
    soft === null ? null : `soft ${soft / unitsOf(measure)}`,
  ].filter((text) => text !== null)
  const turns = period === null ? '' : ` each ${period.calendar} in ${period.timeZone}, from ${period.turnsAtHour}:00`
  return `budget ${name} of ${owner}: ${bounds.join(', ')} ${measure}${turns}${shadow ? ', in shadow mode' : ''}`
}

function sorted(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)].sort()
}
