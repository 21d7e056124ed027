// Writes `src/catalogue/devin-api.json` from a catalogue of the upstream API, adding what `catalogue-rules.ts` knows.
// Run by a person when the source or a rule changes: `node tools/import-catalogue.ts path/to/catalogue.json`.

import { readFileSync, writeFileSync } from 'node:fs'
import { z } from 'zod'
import type { BodyMember, OperationEntry, PermissionEntry, ValueSet } from '../src/catalogue/data.ts'
import type { AnswerShape, ConditionalPermission, Paging } from '../src/catalogue/operation.ts'
import { cursorPaging } from '../src/catalogue/paging.ts'
import * as additions from './catalogue-additions.ts'
import * as rules from './catalogue-rules.ts'
import { sourceSchema, type Source, type SourceOperation, type SourcePermission } from './catalogue-source.ts'

function fail(message: string): never {
  throw new Error(`catalogue: ${message}`)
}

function permissionOf(source: SourcePermission): PermissionEntry {
  const documented = source.inherits_org_permission
  const implies = documented ?? source.inherits_org_permission_inferred ?? null
  const basis = documented === null ? 'inferred' : 'documented'
  return {
    name: source.name,
    scope: source.scope,
    controls: source.controls,
    implies,
    implies_basis: implies === null ? null : basis,
  }
}

/** The one name of a statement that may be written as a list. An empty list is null: any valid credential. */
function singlePermission(id: string, stated: string | readonly string[] | null): string | null {
  if (stated === null || typeof stated === 'string') return stated
  if (stated.length > 1) fail(`${id} needs several permissions at once (${stated.join(', ')}); the data holds one`)
  return stated[0] ?? null
}

function permissionFacts(source: SourceOperation): Pick<OperationEntry, 'permission' | 'permission_basis'> {
  const documented = singlePermission(source.id, source.permission)
  if (source.permission !== null) return { permission: documented, permission_basis: 'documented' }
  const inferred = singlePermission(source.id, source.permission_inferred ?? null)
  return { permission: inferred, permission_basis: inferred === null ? null : 'inferred' }
}

function conditionalOf(id: string, body: readonly BodyMember[]): ConditionalPermission[] {
  const impersonating = body.filter(({ name }) => rules.IMPERSONATION_MEMBERS.includes(name))
  return [
    ...impersonating.map(({ name }) => ({
      field: name,
      when: 'present' as const,
      permission: rules.IMPERSONATION_PERMISSION,
    })),
    ...(rules.CONDITIONAL[id] ?? []),
  ]
}

function parametersOf(path: string): string[] {
  return [...path.matchAll(/\{([a-z_]+)\}/g)].map((match) => match[1] ?? '')
}

function slashesOf(id: string, path: string): string[] {
  return parametersOf(path).filter((parameter) =>
    rules.SLASHES.some((row) => row.parameter === parameter && row.operations.some((pattern) => covers(pattern, id))),
  )
}

/** Whether a pattern of operation ids covers an id: `*` is one segment, a final `*` one or more. */
function covers(pattern: string, id: string): boolean {
  const wanted = pattern.split('.')
  const segments = id.split('.')
  const open = wanted.at(-1) === '*'
  if (open ? segments.length < wanted.length : segments.length !== wanted.length) return false
  return wanted.every((segment, index) => segment === '*' || segment === segments[index])
}

/** The shape of an answer by the documentation's words for its type: `Page<T>`, `T[]`, `{data:T[]}`, `T` or `{…}`. */
function answerOf({ id, response, query }: SourceOperation): AnswerShape | null {
  if (response === null || rules.UNKNOWN_ANSWERS.some((pattern) => pattern.test(response))) return null
  const page = /^Page<(.+)>$/.exec(response)?.[1]
  const wrapped = /^\{data:(\w+)\[\]\}$/.exec(response)?.[1]
  const bare = /^(.+)\[\]$/.exec(response)?.[1]
  const [form, items, type] =
    page !== undefined
      ? (['page', 'items', page] as const)
      : wrapped !== undefined
        ? (['page', 'data', wrapped] as const)
        : bare !== undefined
          ? (['list', null, bare] as const)
          : (['object', null, response] as const)
  const named = rules.ORGANIZATION_ANSWERS[type] ?? { organizations: [], optional: true, id: null }
  return { form, items, ...named, paging: page === undefined ? null : pagingOf(id, query) }
}

function pagingOf(id: string, query: readonly string[]): Paging | null {
  const { size, after, most } = cursorPaging
  if (!query.includes(size) || !query.includes(after)) return null
  return { ...cursorPaging, most: rules.LARGEST_PAGE[id] ?? most }
}

/** The source with what the API has gained since. Throws where the source has caught up, so that no row outlives its use. */
function withAdditions(source: Source): Source {
  const twice = [
    ...source.permissions.filter(({ name, scope }) =>
      additions.ADDED_PERMISSIONS.some((added) => added.name === name && added.scope === scope),
    ),
    ...source.endpoints.filter(({ id }) => additions.ADDED_OPERATIONS.some((added) => added.id === id)),
  ].map((entry) => ('id' in entry ? entry.id : entry.name))
  if (twice.length > 0) fail(`the source now has ${twice.join(', ')}: remove it from the additions`)
  return {
    ...source,
    permissions: [...source.permissions, ...additions.ADDED_PERMISSIONS],
    endpoints: [...source.endpoints.map(withAddedFields), ...additions.ADDED_OPERATIONS],
  }
}

function withAddedFields(source: SourceOperation): SourceOperation {
  const rows = additions.ADDED_FIELDS.filter(({ operations }) => operations.includes(source.id))
  const query = rows.flatMap((row) => row.query ?? [])
  const body = rows.flatMap((row) => row.body ?? [])
  const known = [...source.query, ...source.body.map(({ name }) => name)]
  const twice = [...query, ...body.map(({ name }) => name)].find((name) => known.includes(name))
  if (twice !== undefined) fail(`the source now has ${twice} of ${source.id}: remove it from the additions`)
  const [now, better] = additions.AMENDED_NOTES[source.id] ?? ['', '']
  if (!source.notes.includes(now)) fail(`the notes of ${source.id} have changed: look at AMENDED_NOTES`)
  return {
    ...source,
    query: [...source.query, ...query],
    body: [...source.body.map((member) => withAddedValues(source.id, member)), ...body],
    notes: source.notes.replace(now, better),
  }
}

function withAddedValues(id: string, member: BodyMember): BodyMember {
  const values = additions.ADDED_VALUES.filter(
    ({ operation, member: name }) => operation === id && name === member.name,
  )
  const gained = values.flatMap((row) => row.values)
  return gained.length === 0 ? member : { ...member, type: member.type.replace(')', `|${gained.join('|')})`) }
}

/** Names of fields, and values after a `=`, that stand on no public page that could be found. */
function unconfirmedOf(id: string): string[] {
  return [
    ...additions.ADDED_FIELDS.filter(({ operations, page }) => page === null && operations.includes(id)).flatMap(
      ({ query = [], body = [] }) => [...query, ...body.map(({ name }) => name)],
    ),
    ...additions.ADDED_VALUES.filter(({ operation, page }) => page === null && operation === id).flatMap(
      ({ member, values }) => values.map((value) => `${member}=${value}`),
    ),
  ]
}

function sourceOf({ confirmed, doc_url_confirmed }: SourceOperation): OperationEntry['source'] {
  if (!confirmed) return 'unconfirmed'
  return doc_url_confirmed ? 'page' : 'documentation'
}

/** The members and parameters that take certain values only; an enumeration with an open end (`...`) is none. */
function valuesOf(id: string, body: readonly BodyMember[]): ValueSet[] {
  const ofQuery = additions.QUERY_VALUES.filter(({ operations }) => operations.includes(id)).map(
    ({ parameter, values }) => ({ in: 'query' as const, name: parameter, values: [...values] }),
  )
  const ofBody = body.flatMap(({ name, type }) => {
    const values = /^enum\(([^)]*)\)/.exec(type)?.[1]?.split('|')
    return values === undefined || values.includes('...') ? [] : [{ in: 'body' as const, name, values }]
  })
  return [...ofQuery, ...ofBody]
}

function operationOf(source: SourceOperation): Omit<OperationEntry, 'invalidates'> {
  if (source.safe !== (source.method === 'GET')) fail(`${source.id} is a ${source.method}, yet safe is ${source.safe}`)
  const { permission, permission_basis } = permissionFacts(source)
  return {
    id: source.id,
    method: source.method,
    path: source.path,
    summary: source.summary,
    scope: source.scope,
    permission,
    permission_basis,
    alternatives: (source.permission_conflict ?? []).filter((name) => name !== permission),
    conditional: conditionalOf(source.id, source.body),
    // The source gives some writes the class of the read beside them.
    cache: source.method === 'GET' ? source.cache : 'never',
    sensitive: source.sensitive,
    stability: source.stability,
    paginated: source.paginated,
    streaming: rules.STREAMING.includes(source.id),
    idempotent: rules.IDEMPOTENT.some((pattern) => covers(pattern, source.id)),
    organizations: {
      query: source.query.filter((name) => rules.ORGANIZATION_QUERY.includes(name)),
      body: rules.ORGANIZATION_BODY[source.id] ?? [],
    },
    slashes: slashesOf(source.id, source.path),
    doc_url: source.doc_url,
    source: sourceOf(source),
    unconfirmed: unconfirmedOf(source.id),
    query: source.query,
    body: source.body,
    values: valuesOf(source.id, source.body),
    success: source.success,
    response: source.response,
    answer: answerOf(source),
    notes: source.notes,
  }
}

/**
 * The reads each write makes stale, by operation id, in catalogue order. Throws when a pattern covers nothing, when
 * a row has no write or no read, or when a write is left without a read and without a reason in `NOTHING_STALE`.
 */
function expandStale(operations: readonly Pick<OperationEntry, 'id' | 'method' | 'cache'>[]): Map<string, string[]> {
  const rows = rules.STALE_AFTER.map(({ after, stale }) => {
    const select = (patterns: readonly string[]) => {
      const lost = patterns.find((pattern) => !operations.some(({ id }) => covers(pattern, id)))
      if (lost !== undefined) fail(`the pattern "${lost}" covers no operation`)
      return operations.filter(({ id }) => patterns.some((pattern) => covers(pattern, id)))
    }
    const writes = new Set(select(after).flatMap(({ id, method }) => (method === 'GET' ? [] : [id])))
    const reads = new Set(
      select(stale).flatMap(({ id, method, cache }) => (method === 'GET' && cache !== 'never' ? [id] : [])),
    )
    if (writes.size === 0 || reads.size === 0) fail(`the row of ${after.join(', ')} has no write or no read`)
    return { writes, reads }
  })
  return new Map(
    operations.map(({ id, method }) => {
      const reads = new Set(rows.filter(({ writes }) => writes.has(id)).flatMap((row) => [...row.reads]))
      const explained = Object.hasOwn(rules.NOTHING_STALE, id)
      if (method !== 'GET' && (reads.size === 0) !== explained)
        fail(`${id}: needs a row in STALE_AFTER or NOTHING_STALE`)
      return [id, operations.filter((operation) => reads.has(operation.id)).map((operation) => operation.id)]
    }),
  )
}

function refuseLooseEnds(source: Source, operations: readonly OperationEntry[]): void {
  const permissions = new Set(source.permissions.map(({ name }) => name))
  const ids = new Set(operations.map(({ id }) => id))
  const requests = new Set(operations.map(({ method, path }) => `${method} ${path}`))
  if (ids.size !== operations.length || requests.size !== operations.length) fail('an operation stands there twice')
  for (const { id, permission, alternatives, conditional } of operations) {
    for (const name of [permission, ...alternatives, ...conditional.map((condition) => condition.permission)]) {
      if (name !== null && !permissions.has(name)) fail(`${id} names the unknown permission ${name}`)
    }
  }
  const additionIds = [
    ...[...additions.ADDED_FIELDS, ...additions.QUERY_VALUES].flatMap((row) => row.operations),
    ...additions.ADDED_VALUES.map(({ operation }) => operation),
    ...Object.keys(additions.AMENDED_NOTES),
  ]
  const byRule = [
    ...Object.keys(rules.CONDITIONAL),
    ...Object.keys(rules.ORGANIZATION_BODY),
    ...rules.STREAMING,
    ...additionIds,
  ]
  const replacements = [...source.legacy_endpoints, ...rules.OLDER_SPELLINGS].flatMap(
    ({ replacement }) => replacement ?? [],
  )
  const lost = [...byRule, ...Object.keys(rules.NOTHING_STALE), ...replacements].find((id) => !ids.has(id))
  if (lost !== undefined) fail(`there is no operation ${lost}`)
  const empty = rules.IDEMPOTENT.find((pattern) => !operations.some(({ id }) => covers(pattern, id)))
  if (empty !== undefined) fail(`the pattern "${empty}" covers no operation`)
  const repeatable = operations.find(({ idempotent, method }) => idempotent && method !== 'POST' && method !== 'PATCH')
  if (repeatable !== undefined) fail(`${repeatable.id} is a ${repeatable.method}, which may be repeated without a key`)
  // An organization id in a body that the fence does not look at would be a way around it.
  const unjudged = operations.find(
    ({ id, body }) => /org_ids?\b/.test(JSON.stringify(body)) && !Object.hasOwn(rules.ORGANIZATION_BODY, id),
  )
  if (unjudged !== undefined) fail(`the body of ${unjudged.id} mentions an organization; add it to ORGANIZATION_BODY`)
}

/** One member a line, lists on one line: a change of a rule shows as changed lines, and the file stays readable. */
function print(data: Readonly<Record<string, unknown>>): string {
  const section = (rows: readonly object[]) =>
    `[\n${rows
      .map((row) => {
        const members = Object.entries(row).map(
          ([name, value]) => `      ${JSON.stringify(name)}: ${JSON.stringify(value)}`,
        )
        return `    {\n${members.join(',\n')}\n    }`
      })
      .join(',\n')}\n  ]`
  const members = Object.entries(data).map(
    ([name, value]) => `  ${JSON.stringify(name)}: ${Array.isArray(value) ? section(value) : JSON.stringify(value)}`,
  )
  return `{\n${members.join(',\n')}\n}\n`
}

/** The text of the data file for the text of a source catalogue. Throws when the source or a rule does not fit. */
export function importCatalogue(text: string): string {
  const parsed = sourceSchema.safeParse(JSON.parse(text))
  if (!parsed.success) fail(`the source has an unknown shape\n${z.prettifyError(parsed.error)}`)
  const source = withAdditions(parsed.data)
  const bare = source.endpoints.map(operationOf)
  const stale = expandStale(bare)
  const operations = bare.map((operation) => ({ ...operation, invalidates: stale.get(operation.id) ?? [] }))
  refuseLooseEnds(source, operations)
  const retired = source.legacy_endpoints.map(({ method, path, replacement, version }) => {
    return { method, path, replacement, version }
  })
  return print({
    generated_from: source.generated_from,
    permissions: source.permissions.map(permissionOf),
    operations,
    legacy: [...retired, ...rules.OLDER_SPELLINGS],
  })
}

if (import.meta.main) {
  const [path] = process.argv.slice(2)
  if (path === undefined) {
    process.stderr.write('usage: node tools/import-catalogue.ts path/to/catalogue.json\n')
    process.exitCode = 2
  } else {
    writeFileSync(
      new URL('../src/catalogue/devin-api.json', import.meta.url),
      importCatalogue(readFileSync(path, 'utf8')),
    )
  }
}
