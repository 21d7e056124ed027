// Values that guardrails add to a request: defaults of absent fields, and members of lists. Pure.

import { JsonNumber, type StrictJson } from '../../json/value.ts'
import type { CallerAttributes } from './attributes.ts'
import { violationsOf, type Site, type Violation } from './check.ts'
import { compareNumbers } from '../../json/decimal.ts'
import { parameterText } from './places.ts'
import type { BoundField, BoundRule } from './guardrail.ts'

/** An added value. */
export interface GuardrailChange {
  readonly guardrail: string
  readonly in: Site
  /** The place that was written. */
  readonly place: string
  readonly bound: 'default' | 'add'
  readonly value: StrictJson
}

/** The new value of a place, and what was added to it. */
export interface AddedValues {
  readonly value: StrictJson | undefined
  readonly changes: readonly GuardrailChange[]
}

/**
 * Adds what the rules on one field require at one of its places. Present values stay; a second run changes nothing.
 * `absent` is the default of the field.
 */
export function addValues(
  { rules }: BoundField,
  value: StrictJson | undefined,
  place: string,
  site: Site,
  caller: CallerAttributes,
  absent: () => FieldDefault,
): AddedValues {
  const changes: GuardrailChange[] = []
  let after = value
  if (after === undefined) {
    const { chosen } = absent()
    if (chosen !== null) {
      after = site === 'query' ? [parameterText(chosen.value)] : chosen.value
      changes.push({ guardrail: chosen.by.guardrail, in: site, place, bound: 'default', value: chosen.value })
    }
  }
  for (const by of rules) {
    for (const template of by.rule.add) {
      const filled = template.for(caller)
      // A caller without the attribute, a person without an app for instance, gets the other members.
      if ('lacks' in filled || !(after === undefined || Array.isArray(after))) continue
      const member = site === 'query' ? parameterText(filled.value) : filled.value
      const list: readonly StrictJson[] = after ?? []
      if (list.includes(member)) continue
      after = [...list, member]
      changes.push({ guardrail: by.guardrail, in: site, place, bound: 'add', value: filled.value })
    }
  }
  return { value: after, changes }
}

interface Chosen {
  readonly by: BoundRule
  readonly value: StrictJson
}

/** The default of an absent field, or what is wrong when there can be none. */
export interface FieldDefault {
  readonly chosen: Chosen | null
  readonly violations: readonly Violation[]
}

/** The default of a field, worked out when the first absent place asks for it: a `*` may name very many. */
export function defaultOf(
  bounds: BoundField,
  site: Site,
  caller: CallerAttributes,
  onBroken: (violations: readonly Violation[]) => void,
): () => FieldDefault {
  let known: FieldDefault | null = null
  return () => {
    if (known !== null) return known
    known = chooseDefault(bounds, site, caller)
    onBroken(known.violations)
    return known
  }
}

/**
 * Of several defaults the smallest number, else that of the first guardrail, which keeps every bound on the field. A
 * number that no bound lets through is moved to the nearest one that does.
 */
function chooseDefault(bounds: BoundField, site: Site, caller: CallerAttributes): FieldDefault {
  const { field, rules } = bounds
  const candidates: Chosen[] = []
  const violations: Violation[] = []
  for (const by of rules) {
    const filled = by.rule.default?.for(caller)
    if (filled === undefined) continue
    if ('value' in filled) candidates.push({ by, value: filled.value })
    else {
      const text = `${field} must be put in as ${by.rule.default?.text ?? ''}, and ${caller.whyMissing(filled.lacks)}`
      violations.push({ guardrail: by.guardrail, in: site, field, bound: 'default', text })
    }
  }
  candidates.sort(smallestFirst)
  const fitting = candidates.find(({ value }) => {
    const asSent = site === 'query' ? [parameterText(value)] : value
    return violationsOf(bounds, asSent, field, site, caller).length === 0
  })
  const [first] = candidates
  return { chosen: fitting ?? (first === undefined ? null : moved(first, bounds)), violations }
}

/** Stable: what is no number keeps the order of the guardrails, behind the numbers. */
function smallestFirst(a: Chosen, b: Chosen): number {
  if (a.value instanceof JsonNumber && b.value instanceof JsonNumber) return compareNumbers(a.value.raw, b.value.raw)
  return Number(b.value instanceof JsonNumber) - Number(a.value instanceof JsonNumber)
}

function moved(chosen: Chosen, { atMost, atLeast }: BoundField): Chosen {
  if (!(chosen.value instanceof JsonNumber)) return chosen
  if (atMost !== null && compareNumbers(chosen.value.raw, atMost.bound) > 0)
    return { by: atMost.by, value: new JsonNumber(atMost.bound) }
  if (atLeast !== null && compareNumbers(chosen.value.raw, atLeast.bound) < 0)
    return { by: atLeast.by, value: new JsonNumber(atLeast.bound) }
  return chosen
}
