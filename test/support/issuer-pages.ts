// The pages of docs/identity/ as data: the token as its vendor documents it, configuration and team as they stand there, and
// what other tokens get. Nothing of it is written a second time for tests.

import { globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { isObject } from '../../src/json/untyped.ts'

type Json = Readonly<Record<string, unknown>>

export interface IssuerPage {
  readonly name: string
  readonly token: Json
  /** The entries below `issuers:`, as text. */
  readonly issuers: string
  readonly team: string
  /** Policy tests of the page; null for none. */
  readonly tests: string | null
  readonly sees: Json
  /** The documented token first, then those of the page's table. */
  readonly rows: readonly PageRow[]
}

/** One row of the table of other tokens. */
export interface PageRow {
  readonly title: string
  readonly header: Json
  /** The documented token with the changes of the row. */
  readonly token: Json
  readonly method: string
  readonly path: string
  readonly status: number
  /** Kind of the problem and reason in the record; null where the request is allowed. */
  readonly refusal: { readonly kind: string; readonly reason: string } | null
  /** Whether the page says that the record names a near miss. */
  readonly near: boolean
}

const folder = join(import.meta.dirname, '../../docs/identity')

/** The request of a row that names none. */
export const usualRequest = { method: 'GET', path: '/v3/organizations/org-payments/sessions' } as const

/** The overview, docs/identity.md. */
export const overview = readFileSync(`${folder}.md`, 'utf8')

/** Throws for a page that lacks a part, or a row that cannot be read. */
export function readIssuerPages(): readonly IssuerPage[] {
  return globSync('*.md', { cwd: folder })
    .toSorted()
    .map((file) => readPage(basename(file, '.md'), readFileSync(join(folder, file), 'utf8')))
}

function readPage(name: string, text: string): IssuerPage {
  const block = (pattern: RegExp, what: string): string => {
    const found = pattern.exec(text)?.[1]
    if (found === undefined) throw new Error(`docs/identity/${name}.md lacks ${what}`)
    return found
  }
  const token = object(block(/## The token\n[^]*?```json\n([^]*?)```/, 'a token'))
  return {
    name,
    token,
    issuers: block(/```yaml\n# config\/gateway\.yaml\nissuers:\n([^]*?)```/, 'a configuration'),
    team: block(/```yaml\n# policies\/teams\/.*\n([^]*?)```/, 'a team'),
    tests: /```yaml\n# policies\/[^/]*\.test\.yaml\n([^]*?)```/.exec(text)?.[1] ?? null,
    sees: object(block(/The gateway sees:\n\n```json\n([^]*?)```/, 'what the gateway sees')),
    rows: [
      documented(token),
      ...block(/\| in the token \| answer \| why \|\n\|[-|]+\n([^]*)$/, 'a table')
        .trimEnd()
        .split('\n')
        .map((line) => readRow(name, line, token)),
    ],
  }
}

/** The token without changes, which the page's team allows. */
function documented(token: Json): PageRow {
  return { title: 'the documented token', header: {}, token, ...usualRequest, status: 200, refusal: null, near: false }
}

function readRow(name: string, line: string, token: Json): PageRow {
  const row =
    /^\| (header )?`(\{.*\})`(?: `([A-Z]+) (\/\S*)`)? \| (\d{3})(?: `([a-z-]+)`, `([a-z-]+)`)? \| (.+) \|$/.exec(line)
  if (row === null) throw new Error(`docs/identity/${name}.md has a row that is not understood: ${line}`)
  const [, header, changes = '', method, path, status, kind, reason, why] = row
  const changed = object(changes)
  return {
    title: `${why} (${changes.slice(0, 80)})`,
    header: header === undefined ? {} : changed,
    token: header === undefined ? merged(token, changed) : token,
    method: method ?? usualRequest.method,
    path: path ?? usualRequest.path,
    status: Number(status),
    refusal: kind === undefined || reason === undefined ? null : { kind, reason },
    near: why?.includes('near miss') ?? false,
  }
}

function object(text: string): Json {
  const value: unknown = JSON.parse(text)
  if (!isObject(value)) throw new Error(`no object: ${text}`)
  return value
}

/** RFC 7396: null removes a member. */
function merged(target: Json, changes: Json): Json {
  const result: Record<string, unknown> = { ...target }
  for (const [name, change] of Object.entries(changes)) {
    const before = result[name]
    if (change === null) delete result[name]
    else result[name] = isObject(change) ? merged(isObject(before) ? before : {}, change) : change
  }
  return result
}
