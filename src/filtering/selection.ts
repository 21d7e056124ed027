// Selects what of an item passes: the caller's organizations in it, and no field that a guardrail drops. Pure.

import type { AnswerShape } from '../catalogue/operation.ts'
import { isJsonObject, serializeStrictJson, type JsonObject, type StrictJson } from '../json/value.ts'
import { parsed } from './item-splitter.ts'
import { UnknownShape } from './unknown-shape.ts'

export interface Selection {
  /** Items of these organizations pass; `all` when nothing is filtered by organization. */
  readonly organizations: 'all' | ReadonlySet<string>
  /** Fields that are dropped, as dotted paths; `*` is every member of a list or an object. */
  readonly drop: readonly string[]
}

export interface Selected {
  /** What passes: the item as it came where nothing is taken out of it. Null: nothing. */
  readonly bytes: Buffer | null
  /** Names the item, whether it passes or not; null where it has no such member. */
  readonly id: string | null
}

/** Makes the selection of one request. What it returns throws UnknownShape for an item that is not as the catalogue says. */
export function createSelector(shape: AnswerShape, { organizations, drop }: Selection): (bytes: Buffer) => Selected {
  const places = shape.organizations.map((place) => place.split('.'))
  const paths = drop.map((path) => path.split('.'))
  return (bytes) => {
    const item = parsed(bytes)
    if (!isJsonObject(item)) throw new UnknownShape('an item is no object')
    const id = shape.id === null ? undefined : item[shape.id]
    const visible = organizations === 'all' ? item : visiblePart(item, places, organizations, shape.optional)
    const kept = visible === null ? null : paths.reduce<StrictJson>((value, path) => without(value, path), visible)
    return {
      bytes: kept === null ? null : kept === item ? bytes : serializeStrictJson(kept),
      id: typeof id === 'string' ? id : null,
    }
  }
}

/** The item with its lists of organizations trimmed; null when it names none of the caller's anywhere. */
function visiblePart(
  item: JsonObject,
  places: readonly (readonly string[])[],
  organizations: ReadonlySet<string>,
  optional: boolean,
): StrictJson | null {
  let visible: StrictJson = item
  let isNamed = false
  for (const place of places) {
    const trimmed = trim(visible, place, { organizations, optional })
    visible = trimmed.value
    isNamed ||= trimmed.isNamed
  }
  return isNamed ? visible : null
}

interface Trimmed {
  readonly value: StrictJson
  /** Whether the value names one of the organizations. */
  readonly isNamed: boolean
}

type Rules = Readonly<{ organizations: ReadonlySet<string>; optional: boolean }>

function trim(value: StrictJson, place: readonly string[], rules: Rules): Trimmed {
  const [step, ...rest] = place
  if (value === null && rules.optional) return { value, isNamed: false }
  if (step === undefined) {
    if (typeof value !== 'string') throw new UnknownShape('an item does not name its organization')
    return { value, isNamed: rules.organizations.has(value) }
  }
  if (step === '*') {
    if (!Array.isArray(value)) throw new UnknownShape('an item does not name its organizations in a list')
    const members: readonly StrictJson[] = value
    const kept = members.map((member) => trim(member, rest, rules)).filter(({ isNamed }) => isNamed)
    const changed = kept.length !== members.length || kept.some((each, index) => each.value !== members[index])
    return { value: changed ? kept.map((each) => each.value) : value, isNamed: kept.length > 0 }
  }
  if (!isJsonObject(value)) throw new UnknownShape('an item does not name its organization')
  const member = value[step]
  if (member === undefined) {
    if (rules.optional) return { value, isNamed: false }
    throw new UnknownShape('an item does not name its organization')
  }
  const inner = trim(member, rest, rules)
  return { value: inner.value === member ? value : { ...value, [step]: inner.value }, isNamed: inner.isNamed }
}

/** The value without the member at a path; the value itself when there is none. */
function without(value: StrictJson, path: readonly string[]): StrictJson {
  const [step, ...rest] = path
  if (step === undefined) return value
  if (Array.isArray(value)) return step === '*' ? mapped(value, (member) => without(member, rest)) : value
  if (!isJsonObject(value)) return value
  const names = step === '*' ? Object.keys(value) : Object.hasOwn(value, step) ? [step] : []
  const changed = new Map<string, StrictJson | undefined>()
  for (const name of names) {
    const member = value[name] ?? null
    const kept = rest.length === 0 ? undefined : without(member, rest)
    if (kept !== member) changed.set(name, kept)
  }
  if (changed.size === 0) return value
  // In one pass: a new object for each change would take the square of their number.
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, member]): [string, StrictJson][] => {
      const kept = changed.has(name) ? changed.get(name) : member
      return kept === undefined ? [] : [[name, kept]]
    }),
  )
}

function mapped(list: readonly StrictJson[], change: (member: StrictJson) => StrictJson): StrictJson {
  const changed = list.map(change)
  return changed.every((member, index) => member === list[index]) ? list : changed
}
