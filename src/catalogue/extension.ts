// Extension files: operations that the built-in catalogue does not list. Checks on form; catalogue.ts compares them
// with the rest of the catalogue.

import { z } from 'zod'
import type { Diagnostic } from '../config/diagnostics.ts'
import { orNull, text, textAt, where, withoutTwins, type ReadonlyOutput } from '../config/fields.ts'
import { quoted } from '../config/units.ts'
import { readYaml, type Position } from '../config/yaml/document.ts'
import { cursorPaging } from './paging.ts'
import { cacheClasses } from './operation.ts'

/** `position`: of its id. */
export type ExtensionOperation = ReadonlyOutput<typeof operation> & { readonly position: Position }

export interface Extension {
  readonly file: string
  readonly operations: readonly ExtensionOperation[]
}

/** What is not GET counts as a write. */
const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'M-SEARCH'] as const

const operationId = () =>
  z
    .string()
    .regex(/^[a-z0-9_-]+(\.[a-z0-9_-]+)+$/, 'must be lower-case words with dots between them, like org.reports.list')

const answer = z
  .strictObject({
    form: z
      .enum(['object', 'list', 'page'])
      .describe('`object`: one object; `list`: a bare array; `page`: an object that holds the items in one member.'),
    items: text().default('items').describe('Member of a page that holds the items.'),
    organization: text()
      .optional()
      .describe(
        'Member of an item (or of the object) that holds its organization id, dotted; `list.*.org_id` where an item names several.',
      ),
    optional: z.boolean().default(false).describe('Items may belong to no organization: the member is null or absent.'),
    id: orNull(text()).describe('Member that names the item; paging finds its place by it.'),
    paging: z
      .enum(['cursor', 'none'])
      .default('none')
      .describe('`cursor`: by `first` and `after`, as lists of the API are; `none`: the list comes whole.'),
  })
  .refine(({ form, paging }) => form === 'page' || paging === 'none', {
    error: 'only a page is paged by cursor',
    path: ['paging'],
  })
  .transform(({ organization, items, paging, ...rest }) => ({
    ...rest,
    items: rest.form === 'page' ? items : null,
    organizations: organization === undefined ? [] : [organization],
    paging: paging === 'cursor' ? cursorPaging : null,
  }))

const operation = z
  .strictObject({
    id: operationId().describe(
      'Name of the operation, for grants and records: lower-case words with dots between them.',
    ),
    method: z.enum(methods).describe('Method. HEAD follows GET by itself.'),
    path: z
      .string()
      .meta({ pattern: '^/(?!gateway(/|$))([^/?#:\\s][^/?#\\s]*(/[^/?#:\\s][^/?#\\s]*)*)?$' })
      .describe('Path from the root; {name} stands for one segment, {org_id} for the organization.'),
    scope: z
      .enum(['organization', 'enterprise', 'any'])
      .describe('Which kind of permission the upstream checks; `organization` needs {org_id} in the path.'),
    permission: text()
      .nullable()
      .default(null)
      .describe('Permission that the upstream checks; null: granted by id only, and any key of its scope serves.'),
    cache: z
      .enum(cacheClasses)
      .default('never')
      .describe(
        'How long an answer may be stored. `rfc9111`: only the fields of the answer decide. `rfc9111-heuristic`: without such fields, a tenth of the time since Last-Modified.',
      ),
    slashes: z.array(text()).default([]).describe('Parameters whose value may hold %2F.'),
    invalidates: z
      .array(operationId())
      .default([])
      .describe('Operations whose stored answers a successful call makes stale. Answers of its own path always are.'),
    answer: orNull(answer).describe('Shape of the JSON of an answer; guardrails on responses need it.'),
    idempotent: z
      .boolean()
      .default(false)
      .describe('A POST or PATCH that the gateway makes safe to repeat: with an Idempotency-Key it is done once.'),
    served: z
      .boolean()
      .default(true)
      .describe(
        '`false`: the operation is known and refused to everybody, whatever grants say, until it was reviewed.',
      ),
  })
  .superRefine(checkOperation, { when: ({ value }) => typeof value === 'object' && value !== null })
  .meta({
    allOf: [
      where('scope', 'organization', { properties: { path: { pattern: '/\\{org_id\\}(/|$)' } } }),
      where(
        'method',
        methods.filter((method) => method !== 'GET'),
        { properties: { cache: { const: 'never' } } },
      ),
      where(
        'method',
        methods.filter((method) => method !== 'POST' && method !== 'PATCH'),
        { properties: { idempotent: { const: false } } },
      ),
    ],
  })

/** Schema of an extension file. */
export const extensionSchema = z
  .strictObject({
    operations: withoutTwins(withoutTwins(z.array(operation), 'operation'), 'the request', 'path', shapeOf).describe(
      'Operations that are added to the catalogue.',
    ),
  })
  .describe('Operations that the built-in catalogue does not list.')

/** Reads an extension file. Pure. With an error among the diagnostics there is no extension. */
export function readExtension({ file, text }: { readonly file: string; readonly text: string }): {
  extension: Extension | null
  diagnostics: readonly Diagnostic[]
} {
  const result = readYaml({
    file,
    text,
    schema: extensionSchema,
    holds: 'a list of operations',
    noVariables: 'write the value itself',
  })
  if (!result.ok) return { extension: null, diagnostics: result.diagnostics }
  const operations = result.value.operations.map((entry, index) => ({
    ...entry,
    position: result.positionOf(['operations', index, 'id']),
  }))
  return { extension: { file, operations }, diagnostics: result.diagnostics }
}

interface OperationFields {
  readonly method?: unknown
  readonly path?: unknown
  readonly scope?: unknown
  readonly cache?: unknown
  readonly slashes?: unknown
  readonly idempotent?: unknown
}

function checkOperation(entry: OperationFields, context: z.core.$RefinementCtx): void {
  const refuse = (path: (string | number)[], message: string) =>
    context.issues.push({ code: 'custom', message, path, input: entry })
  const write = methods.find((method) => method !== 'GET' && method === entry.method)
  if (write !== undefined && typeof entry.cache === 'string' && entry.cache !== 'never') {
    refuse(['cache'], `answers to ${write} are never kept: remove the key, or write never`)
  }
  if (entry.idempotent === true && entry.method !== 'POST' && entry.method !== 'PATCH') {
    refuse(['idempotent'], 'is about POST and PATCH: other methods may be repeated without a key')
  }
  if (typeof entry.path !== 'string') return
  const problem = pathProblem(entry.path)
  if (problem !== null) return void refuse(['path'], problem)
  if (entry.scope === 'organization' && !entry.path.split('/').includes('{org_id}')) {
    refuse(['scope'], 'an operation of organization scope needs {org_id} as a segment of its path')
  }
  const { path } = entry
  for (const [index, name] of (Array.isArray(entry.slashes) ? entry.slashes : []).entries()) {
    if (typeof name === 'string' && !path.includes(`{${name}}`))
      refuse(['slashes', index], `the path has no parameter {${name}}`)
  }
}

/** What a request can see of an operation: method and path without the names of the parameters. */
function shapeOf(member: unknown): string | null {
  const method = textAt(member, 'method')
  const path = textAt(member, 'path')
  return method === null || path === null ? null : `${method} ${path.replaceAll(/\{[^}]*\}/g, '{}')}`
}

// Segments are compared raw, so a literal may hold only characters that nobody percent-encodes.
const literal = /^[A-Za-z0-9._~!$&'()*+,=:@-]+$/
const parameter = /^\{([A-Za-z][A-Za-z0-9_-]*)\}$/

/** What is wrong with the path, in a sentence, or null. */
export function pathProblem(path: string): string | null {
  if (!path.startsWith('/')) return 'a path begins with "/"'
  if (/[?#]/.test(path)) return 'a path has no query and no fragment: remove what begins with "?" or "#"'
  if (path === '/gateway' || path.startsWith('/gateway/')) return "paths under /gateway/ are the gateway's own"
  const names = new Set<string>()
  for (const segment of path.slice(1).split('/')) {
    if (segment === '') return 'a path has no empty segments and no final "/"'
    if (segment === '.' || segment === '..') return 'a path has no "." and ".." segments'
    const name = parameter.exec(segment)?.[1]
    if (name !== undefined && names.has(name)) return `the parameter {${name}} appears twice`
    if (name !== undefined) names.add(name)
    else if (segment.startsWith(':')) return `${quoted(segment)}: a parameter is written {${segment.slice(1)}}`
    else if (/[{}]/.test(segment))
      return `${quoted(segment)}: a parameter is a whole segment, written {name} in letters, digits, "_" and "-"`
    else if (!literal.test(segment))
      return `${quoted(segment)} holds a character that must be escaped in a path: such segments cannot be literal`
  }
  return null
}
