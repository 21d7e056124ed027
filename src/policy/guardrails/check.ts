// Whether a value keeps the bounds of the rules on its field: pure, exact for numbers, strict about types. A value of
// another type than its bound speaks of breaks it, since a lenient server could read "99" or [99] as 99.

import { counted } from '../../config/plural.ts'
import { isJsonObject, JsonNumber, type StrictJson } from '../../json/value.ts'
import type { CallerAttributes, ValueTemplate } from './attributes.ts'
import { compareNumbers, isNumberText } from '../../json/decimal.ts'
import { mostCloseCharacters, type Pattern } from './pattern.ts'
import { parameterText } from './places.ts'
import { brokenReservation } from './reserve.ts'
import type { BoundField, BoundRule } from './guardrail.ts'

/** A bound that a request breaks. */
export interface Violation {
  readonly guardrail: string
  readonly in: Site | 'grant'
  /** The field as the guardrail spells it; of a grant the operation. */
  readonly field: string
  /** Name of the bound: `at_most`. */
  readonly bound: string
  /** A clause that names the place, the bound and what was found: `max_acu_limit must be at most 25, and is 99`. */
  readonly text: string
  /** What the caller most likely got wrong, as a sentence of advice. */
  readonly hint?: string | null
}

/** `body`: values have JSON types. `query`: every value is a text, and there may be several. */
export type Site = 'body' | 'query'

/** Every bound that a value breaks; undefined is an absent one. Of several numbers of one kind the tightest speaks. */
export function violationsOf(
  bounds: BoundField,
  value: StrictJson | undefined,
  place: string,
  site: Site,
  caller: CallerAttributes,
): readonly Violation[] {
  const { rules, require, forbid, atMost, atLeast, maxLength, maxItems } = bounds
  const found: Violation[] = []
  const name = site === 'query' ? `the parameter ${place}` : place
  const broken = (by: BoundRule, bound: string, clause: string, where = name): void => {
    const hint = require === undefined ? hintOf(value, bounds, site) : null
    found.push({ guardrail: by.guardrail, in: site, field: by.rule.field, bound, text: `${where} ${clause}`, hint })
  }
  if (value === undefined) {
    if (require !== undefined) broken(require, 'require', 'must be there, and is absent')
    return found
  }
  if (forbid !== undefined) broken(forbid, 'forbid', 'is forbidden: leave it out')
  if (value === null && require !== undefined) broken(require, 'require', 'must be there, and is null')
  const values = site === 'query' && Array.isArray(value) ? (value as readonly StrictJson[]) : [value]
  for (const each of values) {
    for (const by of rules) {
      const { equals, oneOf, matches } = by.rule
      if (equals !== null) {
        const clause = brokenEquals(equals, each, site, caller)
        if (clause !== null) broken(by, 'equals', clause)
      }
      if (oneOf !== null && !oneOf.some((choice) => isSame(choice, each, site, caller)))
        broken(
          by,
          'one_of',
          `must be one of ${oneOf.map((choice) => choice.text).join(', ')}, and is ${shown(each, 'another text')}`,
        )
      if (matches !== null) {
        const found = mismatch(matches, each, caller)
        if (found !== null) broken(by, 'matches', `must match ${matches.text}, and is ${found}`)
      }
    }
    const number = numberText(each, site)
    if (atMost !== null && (number === null || compareNumbers(number, atMost.bound) > 0))
      broken(atMost.by, 'at_most', `must be at most ${atMost.bound}, and is ${shown(each, numberWord(number))}`)
    if (atLeast !== null && (number === null || compareNumbers(number, atLeast.bound) < 0))
      broken(atLeast.by, 'at_least', `must be at least ${atLeast.bound}, and is ${shown(each, numberWord(number))}`)
    if (maxLength !== null && (typeof each !== 'string' || isLonger(each, maxLength.bound)))
      broken(
        maxLength.by,
        'max_length',
        `must be a text of at most ${counted(maxLength.bound, 'character')}, and is ${typeof each === 'string' ? 'longer' : shown(each)}`,
      )
  }
  if (maxItems !== null && !(Array.isArray(value) && value.length <= maxItems.bound))
    broken(
      maxItems.by,
      'max_items',
      `must be a list of at most ${counted(maxItems.bound, 'item')}, and ${Array.isArray(value) ? `holds ${value.length}` : `is ${shown(value)}`}`,
    )
  const forged = brokenReservation(bounds, value, caller)
  if (forged !== null)
    broken(forged.by, 'reserve', forged.clause, forged.item === null ? name : `${name}.${forged.item}`)
  for (const by of rules) {
    if (by.rule.add.length > 0 && !Array.isArray(value)) broken(by, 'add', `must be a list, and is ${shown(value)}`)
    if (by.rule.eachMatches !== null)
      brokenItems(by.rule.eachMatches, value, caller, (clause, at) =>
        broken(by, 'each_matches', clause, at === null ? name : `${name}.${at}`),
      )
  }
  return found
}

/** Advice about values of another type: `null` for what was not set, and a number as text. */
function hintOf(value: StrictJson | undefined, { atMost, atLeast }: BoundField, site: Site): string | null {
  if (site === 'query') return null
  if (value === null) return 'Leave out fields that are not set: null is a value.'
  const isNumber = typeof value === 'string' && isNumberText(value) && (atMost !== null || atLeast !== null)
  return isNumber ? 'Write numbers without quotes.' : null
}

function brokenEquals(equals: ValueTemplate, value: StrictJson, site: Site, caller: CallerAttributes): string | null {
  const filled = equals.for(caller)
  if ('lacks' in filled) return `must be ${equals.text}, and ${caller.whyMissing(filled.lacks)}`
  return isEqual(filled.value, value, site) ? null : `must be ${equals.text}, and is ${shown(value, 'another text')}`
}

function isSame(template: ValueTemplate, value: StrictJson, site: Site, caller: CallerAttributes): boolean {
  const filled = template.for(caller)
  return 'value' in filled && isEqual(filled.value, value, site)
}

/** Numbers by what they are worth, everything else by what it is; in a query by its text. */
function isEqual(wanted: StrictJson, value: StrictJson, site: Site): boolean {
  if (wanted instanceof JsonNumber) {
    const number = numberText(value, site)
    return number !== null && compareNumbers(number, wanted.raw) === 0
  }
  return site === 'query' ? value === parameterText(wanted) : value === wanted
}

function numberText(value: StrictJson, site: Site): string | null {
  if (value instanceof JsonNumber) return value.raw
  return site === 'query' && typeof value === 'string' && isNumberText(value) ? value : null
}

/** Describes a value that does not match; null when it does. */
function mismatch(pattern: Pattern, value: StrictJson, caller: CallerAttributes): string | null {
  if (typeof value !== 'string') return shown(value)
  if (pattern.test(value, caller.effort)) return null
  return caller.effort.isSpent
    ? `beyond the ${mostCloseCharacters} characters of a request that are looked at (fewer by a long regular expression)`
    : 'another text'
}

function brokenItems(
  pattern: Pattern,
  value: StrictJson,
  caller: CallerAttributes,
  broken: (clause: string, at: number | null) => void,
): void {
  if (!Array.isArray(value))
    return broken(`must be a list of texts that match ${pattern.text}, and is ${shown(value)}`, null)
  const items: readonly StrictJson[] = value
  for (const [at, item] of items.entries()) {
    const found = mismatch(pattern, item, caller)
    if (found !== null) return broken(`must match ${pattern.text}, and is ${found}`, at)
  }
}

/** In characters as people count them: a pair of surrogates is one. */
function isLonger(text: string, most: number): boolean {
  if (text.length <= most) return false
  if (text.length > most * 2) return true
  let length = 0
  for (const _ of text) length += 1
  return length > most
}

/** A number in a query is a text, and may be repeated as it is no secret. */
function numberWord(number: string | null): string {
  return number === null ? 'a text' : number.slice(0, 40)
}

/** Describes the value that was found. Texts are never repeated: they could be secrets, and refusals are recorded. */
function shown(value: StrictJson, text = 'a text'): string {
  if (value === null || typeof value === 'boolean') return String(value)
  if (value instanceof JsonNumber) return value.raw.length > 40 ? `${value.raw.slice(0, 40)}…` : value.raw
  if (typeof value === 'string') return text
  return isJsonObject(value) ? 'an object' : 'a list'
}
