// JSON objects of the API: how their members are read, their ids and their times.

import { randomUUID } from 'node:crypto'

/** A JSON object of the API; members are read through the small readers below, so no type is taken on trust. */
export type Item = Readonly<Record<string, unknown>>

/** Owner of what belongs to the whole enterprise. */
export const ENTERPRISE = 'enterprise'

/** The member if it is a string, else null. */
export function text(item: Item, name: string): string | null {
  const value = item[name]
  return typeof value === 'string' ? value : null
}

/** The member's strings; empty when it is no list. */
export function texts(item: Item, name: string): string[] {
  const value = item[name]
  return Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : []
}

/** The member if it is a number, else null. */
export function number(item: Item, name: string): number | null {
  const value = item[name]
  return typeof value === 'number' ? value : null
}

/** The member's objects; empty when it is no list. */
export function objects(item: Item, name: string): Item[] {
  const value = item[name]
  return Array.isArray(value) ? value.filter(isItem) : []
}

/** Whether a value is a JSON object. */
export function isItem(value: unknown): value is Item {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** ISO 8601 in UTC, the form of times in schedules and reviews. */
export function isoTime(ms: number): string {
  return new Date(ms).toISOString()
}

/** A new id in the API's form: a prefix and 32 hexadecimal digits. */
export function newId(prefix: string): string {
  return `${prefix}-${randomUUID().replaceAll('-', '')}`
}
