// One call of the simulated API as the handlers see it, and the shape of their tables.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { OperationEntry } from '../../catalogue/data.ts'
import type { ServiceUser } from './directory.ts'

/** A JSON object of the API; members are read through the small readers below, so no type is taken on trust. */
export type Item = Readonly<Record<string, unknown>>

/** What a handler gets: the authorized call with its checked body and its instant. */
export interface Call {
  readonly operation: OperationEntry
  /** A path parameter, percent-decoded. */
  parameter(name: string): string
  readonly query: URLSearchParams
  /** The JSON body, checked against the documented members; empty when there is none. */
  readonly body: Item
  readonly caller: ServiceUser
  /** Organization of the path, or `enterprise`: the shelf on which the objects of this call stand. */
  readonly owner: string
  readonly nowMs: number
  /** The same instant in whole seconds, the unit of nearly all times in the API. */
  readonly seconds: number
  /** The raw exchange, for uploads (the unread body) and event streams. */
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

/** Returns the JSON body to answer with the operation's success code, `null` for no body, or an Answer. */
export type Handler = (call: Call) => unknown

/** Handlers by operation id. */
export type Handlers = Readonly<Record<string, Handler>>

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
