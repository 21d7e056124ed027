// Reads the query parameters of the console's API strictly: a misspelled filter must not show everything. Pure.

import { didYouMean } from '../../config/nearest.ts'
import { matrixFilters, type MatrixQuery } from './analysis-view.ts'
import { decisionFilters, type DecisionCursor, type DecisionQuery } from './decision-view.ts'

/** A query that cannot be read: a sentence for whoever sent it. */
export class QueryError extends Error {
  override readonly name = 'QueryError'
  readonly status: number

  constructor(message: string, status = 400) {
    super(message)
    this.status = status
  }
}

export type QueryFields = Readonly<Record<string, unknown>>

const longest = 512

/** Reads the filters of decisions. Throws `QueryError`. */
export function readDecisionQuery(fields: QueryFields): DecisionQuery {
  refuseUnknown(fields, [...decisionFilters, 'from', 'to', 'limit', 'cursor'])
  const filters = valuesOf(fields, decisionFilters)
  return {
    ...filters,
    id: filters.id?.replace(/^urn:uuid:/, '') ?? null,
    from: timeOf(fields, 'from'),
    to: timeOf(fields, 'to'),
    limit: countOf(fields, 'limit', 50, 200),
    cursor: cursorOf(parameterOf(fields, 'cursor')),
  }
}

/** Reads the filters of the matrix. Throws `QueryError`. */
export function readMatrixQuery(fields: QueryFields): MatrixQuery {
  refuseUnknown(fields, [...matrixFilters, 'limit'])
  return { ...valuesOf(fields, matrixFilters), limit: countOf(fields, 'limit', 1000, 5000) }
}

function valuesOf<Name extends string>(fields: QueryFields, names: readonly Name[]): Record<Name, string | null> {
  return Object.fromEntries(names.map((name) => [name, parameterOf(fields, name)])) as Record<Name, string | null>
}

/** Throws `QueryError` for a parameter that is not one of these. */
export function refuseUnknown(fields: QueryFields, known: readonly string[]): void {
  const unknown = Object.keys(fields).find((name) => !known.includes(name))
  if (unknown === undefined) return
  const listed = known.length === 0 ? 'it takes none' : `there are ${known.join(', ')}`
  throw new QueryError(`There is no parameter "${unknown.slice(0, 64)}"${didYouMean(unknown, known)}. Of parameters ${listed}.`)
}

/** Null where it is absent or empty. Throws `QueryError`. */
export function parameterOf(fields: QueryFields, name: string): string | null {
  const value = fields[name] ?? ''
  if (typeof value !== 'string') throw new QueryError(`Say ${name} once.`)
  if (value.length > longest) throw new QueryError(`${name} takes ${longest} characters at most.`)
  return value === '' ? null : value
}

/** A whole number from 1 on. Throws `QueryError`. */
export function countOf(fields: QueryFields, name: string, without: number, most: number): number {
  const text = parameterOf(fields, name)
  if (text === null) return without
  const value = /^\d{1,6}$/.test(text) ? Number(text) : 0
  if (value < 1 || value > most) throw new QueryError(`${name} takes a whole number from 1 to ${most}.`)
  return value
}

function timeOf(fields: QueryFields, name: string): string | null {
  const text = parameterOf(fields, name)
  if (text === null) return null
  const timeMs = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(timeMs))
    throw new QueryError(`${name} takes a time such as 2026-01-31T12:00:00Z; a space in an offset is an escaped plus.`)
  return new Date(timeMs).toISOString()
}

/** The text of a cursor, as callers get it. */
export function cursorText({ time, id }: DecisionCursor): string {
  return `${time}~${id}`
}

function cursorOf(text: string | null): DecisionCursor | null {
  if (text === null) return null
  const [, time, id] = /^(\d{4}-\d\d-\d\dT[\d:.]{8,12}Z)~([\w-]{1,128})$/.exec(text) ?? []
  if (time === undefined || id === undefined)
    throw new QueryError('The cursor is not one of this API: take `next` of the page before as it is.')
  return { time, id }
}
