// Reads what the workers answer, for those who merge it: a member that is missing or of another type counts as empty. Pure.

import { isObject, type UntypedObject } from '../json/untyped.ts'

export function asObject(value: unknown): UntypedObject {
  return isObject(value) ? value : {}
}

export function asObjects(value: unknown): readonly UntypedObject[] {
  return Array.isArray(value) ? value.map(asObject) : []
}

export function asNumber(value: unknown): number {
  return typeof value === 'number' ? value : 0
}

export function asText(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

export function asTexts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : []
}

/** The sum of one member. */
export function sumOf(of: readonly UntypedObject[], name: string): number {
  return of.reduce((total, each) => total + asNumber(each[name]), 0)
}

/** The sums of some members, by name; by default of all that any of the objects has. */
export function sumsOf(
  of: readonly UntypedObject[],
  names: readonly string[] = of.flatMap((each) => Object.keys(each)),
): Readonly<Record<string, number>> {
  return Object.fromEntries(names.map((name) => [name, sumOf(of, name)]))
}

/** The earliest of times as ISO texts; null where there is none. */
export function earliest(of: readonly UntypedObject[], name: string): string | null {
  return asTexts(of.map((each) => each[name])).toSorted()[0] ?? null
}

/** The latest of times as ISO texts; null where there is none. */
export function latest(of: readonly UntypedObject[], name: string): string | null {
  const times = asTexts(of.map((each) => each[name]))
  return times.toSorted().at(-1) ?? null
}

/** One row for each value of some members, in the order in which they come first. */
export function distinct(
  rows: readonly UntypedObject[],
  names: readonly string[],
  join: (known: UntypedObject, each: UntypedObject) => UntypedObject,
): readonly UntypedObject[] {
  const groups = Map.groupBy(rows, (each) => JSON.stringify(names.map((name) => each[name])))
  return [...groups.values()].map((group) => group.reduce(join))
}
