// Reads what operators ask to be explained, strictly. Pure.

import { didYouMean } from '../../config/nearest.ts'
import type { CallerDescription } from '../../policy/tools/described-caller.ts'
import { StrictJsonError } from '../../json/strict-json-error.ts'
import { parseStrictJson } from '../../json/strict-parser.ts'
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

/** The head of no request is longer, so that no caller could send such a path. */
const longestPath = 32 * 1024
const longestMethod = 64
/** What is explained may be as deep and as large as a body that the policy reads, and stands inside of this one. */
const bounds = { maxDepth: 66, maxValues: 20_000 }

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
    method: within(textIn(found, 'method', 'method') ?? missing('method'), 'method', longestMethod).toUpperCase(),
    path: within(textIn(found, 'path', 'path') ?? missing('path'), 'path', longestPath),
    body: found['body'],
    as: { ...said, groups, claims: objectOf(claims, 'as.claims') },
    devinUser: said['devin_user'] ?? null,
  }
}

function parsed(text: unknown): unknown {
  if (typeof text !== 'string') return null
  try {
    // What is too deep would exhaust the stack of whoever reads it.
    parseStrictJson(Buffer.from(text), bounds)
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof StrictJsonError && error.fault !== 'syntax')
      throw new QueryError(`the body cannot be read: ${error.message}`)
    return null
  }
}

function within(text: string, name: string, most: number): string {
  if (text.length > most) throw new QueryError(`${name}: it takes ${most} characters at most.`)
  return text
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
