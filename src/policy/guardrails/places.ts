// Reads and changes a JSON document at the places of a dotted path, and a query at its parameters.

import { foldName } from '../../catalogue/name-folding.ts'
import { lenientParameters, type LenientParameter } from '../../catalogue/query.ts'
import { isJsonObject, serializeStrictJson, type JsonObject, type StrictJson } from '../../json/value.ts'

/**
 * Gets the value at a place (undefined where there is none) and the place's name, `repos.0`. Returns the value to
 * store there, the same one to change nothing.
 */
export type Visitor = (value: StrictJson | undefined, place: string) => StrictJson | undefined

/** A value should be added and cannot, because its parent is no object. */
export class NoPlace extends Error {
  override readonly name = 'NoPlace'
  readonly holder: string

  constructor(holder: string) {
    super(`${holder} is not an object`)
    this.holder = holder
  }
}

/**
 * Visits every place that the steps of a dotted path name. `*` stands for each item of an array, each member of an
 * object, and for a bare value where a list should be, as in `memberAt`. What is absent is visited once, where it
 * would stand; missing parents of an added value are created. Gives the same document when nothing was changed.
 * Throws NoPlace.
 */
export function visitPlaces(document: StrictJson, steps: readonly string[], visit: Visitor): StrictJson {
  return walk(document, steps, 0, null, visit) ?? document
}

function walk(
  value: StrictJson | undefined,
  steps: readonly string[],
  next: number,
  passed: string | null,
  visit: Visitor,
): StrictJson | undefined {
  const step = steps[next]
  if (step === undefined) return visit(value, passed ?? '')
  if (step === '*') return walkAll(value, steps, next + 1, passed, visit)
  const place = placeIn(passed, step)
  if (value !== undefined && isJsonObject(value)) {
    const before = Object.hasOwn(value, step) ? value[step] : undefined
    const after = walk(before, steps, next + 1, place, visit)
    return after === undefined || after === before ? value : withMember(value, step, after)
  }
  const after = walk(undefined, steps, next + 1, place, visit)
  if (after === undefined) return value
  // Null is a value that was sent, and not an object.
  if (value !== undefined) throw new NoPlace(passed ?? 'the body')
  return withMember(noMembers, step, after)
}

function placeIn(holder: string | null, name: string): string {
  return holder === null ? name : `${holder}.${name}`
}

function walkAll(
  value: StrictJson | undefined,
  steps: readonly string[],
  next: number,
  passed: string | null,
  visit: Visitor,
): StrictJson | undefined {
  if (value === undefined || value === null) return value
  if (Array.isArray(value)) {
    // `Array.isArray` forgets that the list is read-only and of what.
    const items: readonly StrictJson[] = value
    const after = items.map((item, index) => walk(item, steps, next, placeIn(passed, String(index)), visit) ?? item)
    return after.every((item, index) => item === items[index]) ? value : after
  }
  if (!isJsonObject(value)) return walk(value, steps, next, passed, visit) ?? value
  // Copied once, however many members change: callers choose how many there are.
  let copy: { [member: string]: StrictJson } | null = null
  for (const name in value) {
    const before = value[name]
    const after = walk(before, steps, next, placeIn(passed, name), visit)
    if (after !== undefined && after !== before) (copy ??= copyOf(value))[name] = after
  }
  return copy ?? value
}

const noMembers: JsonObject = Object.freeze(Object.create(null) as JsonObject)

function withMember(object: JsonObject, name: string, value: StrictJson): JsonObject {
  const copy = copyOf(object)
  copy[name] = value
  return copy
}

/** Without prototype, as parsed objects are: `__proto__` stays a member like others. */
function copyOf(object: JsonObject): { [member: string]: StrictJson } {
  const copy = Object.create(null) as { [member: string]: StrictJson }
  for (const name in object) copy[name] = object[name] ?? null
  return copy
}

/** The parameters of a query by folded name. */
export type ParametersByName = ReadonlyMap<string, readonly LenientParameter[]>

/** Reads a query once, for all the rules on it. */
export function parametersByName(query: string): ParametersByName {
  return Map.groupBy(lenientParameters(query), ({ folded }) => folded)
}

/** The values of one parameter, decoded, in order; or the first name that servers may read as its name, and need not. */
export function valuesOf(
  parameters: ParametersByName,
  name: string,
): { readonly values: readonly string[] } | { readonly spelled: string } {
  const named = parameters.get(foldName(name)) ?? []
  const odd = named.find(({ spelled, isPlain, isWellEscaped }) => spelled !== name || !isPlain || !isWellEscaped)
  return odd === undefined ? { values: named.map(({ value }) => value) } : { spelled: odd.spelled }
}

/** A value as a parameter of a query spells it. */
export function parameterText(value: StrictJson): string {
  return typeof value === 'string' ? value : serializeStrictJson(value).toString()
}

/** The query with a parameter put behind all others; what stands there already stays byte for byte. */
export function withParameter(query: string, name: string, value: string): string {
  const pair = `${encodeURIComponent(name)}=${encodeURIComponent(value)}`
  return query === '' ? pair : `${query}&${pair}`
}
