// Reads what operators ask to be explained, strictly. Pure.

import { didYouMean } from '../../config/nearest.ts'
import type { CallerDescription } from '../../policy/tools/described-caller.ts'
import { QueryError } from './query.ts'

export interface AskedExplanation {
  readonly method: string
  /** Path with an optional query. */
  readonly path: string
  /** Undefined: there is none. */
  readonly body: unknown
  readonly as: CallerDescription
  readonly devinUser: string | null
}

const members = ['method', 'path', 'body', 'as'] as const
const texts = ['team', 'sub', 'email', 'app', 'actor', 'issuer', 'devin_user'] as const
const callerMembers = [...texts, 'groups', 'claims'] as const

/** Throws `QueryError`. `text`: the body of the request. */
export function readExplainRequest(text: unknown): AskedExplanation {
  const found = objectOf(parsed(text), 'the body')
  refuseOthers(found, members, 'the body')
  const as = found['as'] === undefined ? {} : objectOf(found['as'], 'as')
  refuseOthers(as, callerMembers, 'as')
  const { groups = [], claims = {} } = as
  if (!Array.isArray(groups) || !groups.every((each) => typeof each === 'string'))
    throw new QueryError('as.groups: it is a list of texts.')
  const said = Object.fromEntries(texts.map((name) => [name, textIn(as, `as.${name}`, name)]))
  return {
    method: (textIn(found, 'method', 'method') ?? missing('method')).toUpperCase(),
    path: textIn(found, 'path', 'path') ?? missing('path'),
    body: found['body'],
    as: { ...said, groups, claims: objectOf(claims, 'as.claims') },
    devinUser: said['devin_user'] ?? null,
  }
}

function parsed(text: unknown): unknown {
  try {
    return typeof text === 'string' ? JSON.parse(text) : null
  } catch {
    return null
  }
}

function objectOf(value: unknown, where: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new QueryError(`${where}: it is a JSON object, such as {"method":"GET","path":"/v3/self","as":{"team":"payments"}}.`)
  return { ...value }
}

function refuseOthers(found: Readonly<Record<string, unknown>>, known: readonly string[], where: string): void {
  const stray = Object.keys(found).find((name) => !known.includes(name))
  if (stray !== undefined)
    throw new QueryError(`${where}: there is no "${stray.slice(0, 64)}" here${didYouMean(stray, known)}. There are ${known.join(', ')}.`)
}

function textIn(found: Readonly<Record<string, unknown>>, where: string, name: string): string | null {
  const value = found[name] ?? null
  if (value === null) return null
  if (typeof value !== 'string') throw new QueryError(`${where}: it is a text.`)
  return value === '' ? null : value
}

function missing(name: string): never {
  throw new QueryError(`${name}: say it, as in {"method":"GET","path":"/v3/self","as":{"team":"payments"}}.`)
}
