// Requests that guardrails let through, and requests that two sets of guardrails treat differently. A bound divides the values
// of a field into a few kinds; one value of each kind is tried. Pure.

import type { StrictJson } from '../../json/value.ts'
import { checkedBodyOf } from '../decision/checked-body.ts'
import type { CallerAttributes, ValueTemplate } from '../guardrails/attributes.ts'
import { boundField } from '../guardrails/bound.ts'
import { violationsOf, type Site } from '../guardrails/check.ts'
import type { BoundField, Layer, Rule } from '../guardrails/guardrail.ts'
import type { Pattern } from '../guardrails/pattern.ts'
import { parameterText } from '../guardrails/places.ts'
import { withValue, type SampleRequest } from './requests.ts'

/** A field of the body or a parameter of the query. */
export interface FieldPlace {
  readonly in: Site
  readonly field: string
  /** Whether it must hold a number, whatever the bounds say. */
  readonly isNumber?: boolean
}

/** Guardrails that a request has to pass. */
export interface Guard {
  readonly layer: Layer
  /** The places whose bounds the request breaks. */
  readonly brokenBy: (request: SampleRequest) => readonly FieldPlace[]
}

/** A request that passes; `impossible`: there is none; `unknown`: none was found. */
export type PassingRequest = SampleRequest | 'impossible' | 'unknown'

/** Each round sets the fields that were broken in the one before. */
const mostRounds = 6

/** Changes values of a request until all guards let it through. What decides stays: organizations, and permissions it asks for. */
export function passingRequest(
  guards: readonly Guard[],
  request: SampleRequest,
  caller: CallerAttributes,
): PassingRequest {
  let current = request
  // A value that was set and broke something is not tried again.
  const tried = new Map<string, number>()
  for (let round = 0; round < mostRounds; round += 1) {
    const broken = guards.flatMap((guard) => guard.brokenBy(current))
    if (broken.length === 0) return current
    const distinct = new Map(broken.map((place) => [`${place.in} ${place.field}`, place]))
    for (const [name, place] of distinct) {
      if (decides(request, place)) return 'impossible'
      const bounds = boundsAt(guards, place)
      const from = (tried.get(name) ?? -1) + 1
      const values = valuesFor(bounds, place.in, caller)
      const found = values.findIndex(
        (value, index) =>
          index >= from &&
          (place.isNumber !== true || (typeof value === 'number' && value > 0)) &&
          isLetThrough(bounds, place.in, value, caller),
      )
      if (found === -1) return isExact(bounds) ? 'impossible' : 'unknown'
      tried.set(name, found)
      current = withValue(current, place.in, place.field, values[found])
    }
  }
  return 'unknown'
}

/** Whether another value would make it a request for another organization, or for another permission. */
function decides({ operation, members }: SampleRequest, { in: site, field }: FieldPlace): boolean {
  const { organizations, conditional } = operation
  if (site === 'query') return organizations.query.includes(field)
  const asks = conditional.find((each) => each.field === field)
  const isAsked = conditional.some((each) => each.permission === asks?.permission && members.includes(each.field))
  return organizations.body.includes(field) || (asks !== undefined && !isAsked)
}

/**
 * The first request with another outcome under one guard than under another, among those that differ from one of `bases` in one
 * of the places; null: none was found.
 */
export function tellingRequest(
  bases: readonly SampleRequest[],
  places: readonly FieldPlace[],
  guards: readonly Guard[],
  caller: CallerAttributes,
  isTelling: (request: SampleRequest) => boolean,
): SampleRequest | null {
  for (const base of bases) {
    if (isTelling(base)) return base
    for (const place of places) {
      if (base.members.includes(place.field) || decides(base, place)) continue
      for (const value of [undefined, ...valuesFor(boundsAt(guards, place), place.in, caller)]) {
        const request = withValue(base, place.in, place.field, value)
        if (isTelling(request)) return request
      }
    }
  }
  return null
}

/** Whether the values that are tried are of every kind: of patterns only one text that matches is known. */
export function isExact({ rules, steps }: BoundField): boolean {
  return rules.every(({ rule }) => rule.matches === null && rule.eachMatches === null) && !steps.includes('*')
}

/** All bounds that the guards set at a place, together. */
export function boundsAt(guards: readonly Guard[], { in: site, field }: FieldPlace): BoundField {
  const rules = guards.flatMap(({ layer }) => layer[site].flatMap((each) => (each.field === field ? each.rules : [])))
  return boundField(field, rules)
}

function isLetThrough(bounds: BoundField, site: Site, value: unknown, caller: CallerAttributes): boolean {
  const found = strictOf(value)
  const sent = site === 'query' ? [parameterText(found)] : found
  return violationsOf(bounds, sent, bounds.field, site, caller).length === 0
}

/** One value of each kind that the bounds tell apart. What people send comes first. */
function valuesFor(bounds: BoundField, site: Site, caller: CallerAttributes): readonly unknown[] {
  const values = [...bounds.rules.flatMap(({ rule }) => valuesAround(rule, caller)), 'any', 1, true, [], ['any'], null]
  return site === 'body' ? values : values.filter((value) => typeof value !== 'object')
}

function valuesAround(rule: Rule, caller: CallerAttributes): readonly unknown[] {
  const { atMost, atLeast, equals, oneOf, maxLength, maxItems, matches, eachMatches, reserve } = rule
  return [
    ...(atMost === null ? [] : [Number(atMost), Number(atMost) + 1]),
    ...(atLeast === null ? [] : [Number(atLeast), Number(atLeast) - 1]),
    ...(equals === null ? [] : filled(equals, caller)),
    ...(oneOf ?? []).flatMap((each) => filled(each, caller)),
    ...(maxLength === null ? [] : ['x'.repeat(maxLength), 'x'.repeat(maxLength + 1)]),
    ...(maxItems === null ? [] : [manyTexts(maxItems), manyTexts(maxItems + 1)]),
    ...(matches === null ? [] : [matching(matches)]),
    ...(eachMatches === null ? [] : [[matching(eachMatches)]]),
    ...reserve.flatMap(({ beginning }) => [`${beginning}any`, [`${beginning}any`]]),
  ]
}

function manyTexts(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `any-${index}`)
}

function filled(template: ValueTemplate, caller: CallerAttributes): readonly unknown[] {
  const found = template.for(caller)
  return 'lacks' in found ? [] : [template.constant ? template.written : found.value]
}

/** A text that a pattern of people most likely matches. */
function matching({ text }: Pattern): string {
  if (!text.startsWith('^')) return text.replaceAll('*', 'any')
  return text
    .replaceAll(/^\^|\$$/g, '')
    .replaceAll(/\((?:\?:)?([^()|]*)[^()]*\)/g, '$1')
    .replaceAll(/(?:\[[^\]]*\]|\\[wd]|\.)[+*]/g, '1')
    .replaceAll(/\\(.)/g, '$1')
}

function strictOf(value: unknown): StrictJson {
  const [found = null] = checkedBodyOf([value]).value as readonly StrictJson[]
  return found
}
