// What people write when they ask about a request: a method and a path, a path alone, an address, an operation id, a pattern or a
// permission. Each becomes the requests that it stands for. Pure.

import { shortened } from '../../config/plural.ts'
import type { Catalogue } from '../../catalogue/catalogue.ts'
import type { Operation } from '../../catalogue/operation.ts'
import { parseTarget } from '../../catalogue/target.ts'
import { compileAllow } from '../compile/allow.ts'
import { Problem } from '../../problems.ts'

export interface WrittenRequests {
  readonly requests: readonly { readonly method: string; readonly target: string }[]
  /** What was filled in or left away, a sentence each. */
  readonly notes: readonly string[]
}

export interface WrittenOptions {
  /** The organization that stands where a path names one. */
  readonly organization: string | null
  /** Whether it was said, and not taken from the caller's team. */
  readonly isSaid: boolean
}

const methods: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
  'TRACE',
  'CONNECT',
])
const mostRequests = 300
/** What stands for an organization where none was said. */
export const unsaidOrganization = 'any-org-id'

/** Reads the words of a command line, or of the parameters of a page. Gives a sentence where they name no request. */
export function readWritten(
  catalogue: Catalogue,
  words: readonly string[],
  options: WrittenOptions,
): WrittenRequests | string {
  const parts = words.flatMap((word) => word.split(/\s+/)).filter((part) => part !== '')
  const named = parts.findIndex((part) => methods.has(part.toUpperCase()))
  const method = named === -1 ? null : (parts[named] ?? '').toUpperCase()
  const [what, ...others] = named === -1 ? parts : parts.toSpliced(named, 1)
  const usage = 'say a method and a path: explain --team payments GET /v3/self'
  if (what === undefined) return usage
  if (others.length > 0) {
    // A word of letters in front of a path is meant as a method that there is not.
    const [path = ''] = others
    if (others.length === 1 && /^[A-Za-z]+$/.test(what) && path.startsWith('/'))
      return { requests: [{ method: what.toUpperCase(), target: path }], notes: [] }
    return `${quoted(others[0] ?? '')} is one argument too many: ${usage}`
  }
  return /[/?]/.test(what) ? ofPath(catalogue, method, what, options) : ofName(catalogue, method, what, options)
}

function ofPath(
  catalogue: Catalogue,
  method: string | null,
  written: string,
  options: WrittenOptions,
): WrittenRequests {
  const notes: string[] = []
  const address = /^https?:\/\/[^/?#]*(.*)$/is.exec(written)
  if (address !== null) notes.push('the host of the address is left away: every host leads to this gateway')
  const path = address === null ? written : (address[1] ?? '')
  const whole = path.startsWith('/') ? path : `/${path}`
  const [target, filled] = filledIn(whole, options)
  notes.push(...filled)
  const requests = (method === null ? methodsOf(catalogue, target) : [method]).map((each) => ({ method: each, target }))
  return { requests, notes }
}

/** The methods of a path; GET where it has none, so that the refusal is explained. */
function methodsOf(catalogue: Catalogue, text: string): readonly string[] {
  try {
    const found = catalogue.match('', parseTarget(text).segments)
    return 'why' in found && found.why === 'method' ? found.methods : ['GET']
  } catch (error) {
    if (error instanceof Problem) return ['GET']
    throw error
  }
}

function ofName(
  catalogue: Catalogue,
  method: string | null,
  word: string,
  options: WrittenOptions,
): WrittenRequests | string {
  const covered = compileAllow(catalogue)(word)
  const [problem] = covered.problems
  if (problem?.severity === 'error')
    return `${problem.message}${problem.message.endsWith('?') ? '' : '.'} Say a path, an operation id, a pattern or a permission`
  const operations = covered.operations.flatMap((index) => catalogue.operations[index] ?? [])
  const own = catalogue.operation(word)
  const all = operations.length === 0 && own !== null ? [own] : operations
  const fitting =
    method === null ? all : all.filter((each) => each.method === method || (method === 'HEAD' && each.method === 'GET'))
  const [first] = all
  if (first === undefined) return `no operation needs ${word} for itself: it is asked for by members of bodies`
  if (fitting.length === 0) return `${word} is ${first.method} ${first.template}, and not ${method ?? ''}`
  if (fitting.length > mostRequests) return `${quoted(word)} is ${fitting.length} operations: name fewer`
  const notes = new Set<string>()
  const requests = fitting.map((operation) => {
    const [target, filled] = filledIn(targetOf(operation, options), options)
    for (const note of filled) notes.add(note)
    return { method: method ?? operation.method, target }
  })
  return { requests, notes: [...notes] }
}

/** The path of an operation; where it names no organization, the one that was said stands in the query. */
function targetOf({ template, organizations }: Operation, { organization, isSaid }: WrittenOptions): string {
  if (!isSaid || organization === null || organizations.segment !== -1) return template
  return organizations.query.includes('org_ids') ? `${template}?org_ids=${organization}` : template
}

/** Puts something in the place of each `{name}`, as paths of the API reference have it. */
function filledIn(path: string, { organization, isSaid }: WrittenOptions): readonly [string, readonly string[]] {
  const notes: string[] = []
  const filled = path.replaceAll(/\{([a-z_]+)\}/g, (_, name: string) => {
    if (name !== 'org_id' || organization === null) return `any-${name.replaceAll('_', '-')}`
    if (!isSaid) notes.push(`{org_id} is ${organization}, of the caller's team; --organization says another one`)
    return organization
  })
  return [filled, notes]
}

function quoted(word: string): string {
  return JSON.stringify(shortened(word, 64))
}
