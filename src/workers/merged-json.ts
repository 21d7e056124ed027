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

/** The sum of one member. */
export function sumOf(of: readonly UntypedObject[], name: string): number {
  return of.reduce((total, each) => total + asNumber(each[name]), 0)
}
