// The operations of an OpenAPI document, in the terms of the catalogue.

import type { Diagnostic } from '../../config/diagnostics.ts'
import { itemsOf, objectOf, textOf, type SpecObject, type OpenApiDocument } from './document.ts'
import { statedPermission, type StatedPermission } from './permission.ts'
import { schemaReader, type Field, type Members, type SchemaReader } from './schema.ts'

/** What a document says of the JSON of an answer. */
export interface PublishedAnswer {
  readonly form: 'object' | 'list' | null
  /** Members of the object, or of an item of the list, with those of what they hold: `items.*.org_id`. */
  has(path: string): boolean | null
}

export interface PublishedOperation {
  readonly method: string
  /** From the root, with `{name}` for each parameter. */
  readonly path: string
  readonly summary: string
  readonly deprecated: boolean
  readonly permission: StatedPermission | null
  readonly query: Members
  /** Null: there is no body. `members` null: nothing is said of what it holds. */
  readonly body: { readonly members: Members | null } | null
  readonly answer: PublishedAnswer | null
  /** A mistake of the document at this operation. */
  at(message: string): Diagnostic
}

/** Methods that the catalogue can hold. `HEAD` follows `GET`, and `OPTIONS` and `TRACE` are no operations. */
const methods = ['get', 'post', 'put', 'patch', 'delete'] as const

/** Reads all operations. `known` says whether a path is one of the API, to tell a prefix of the server from the path. */
export function publishedOperations(document: OpenApiDocument, known: (path: string) => boolean): PublishedOperation[] {
  const schemas = schemaReader(document.follow)
  const base = basePath(document.root['servers'])
  return Object.entries(document.paths).flatMap(([path, value]) => {
    const item = document.follow(value)
    if (item === null || !path.startsWith('/')) return []
    const prefix = item['servers'] === undefined ? base : basePath(item['servers'])
    const whole = known(`${prefix}${path}`) || !known(path) ? `${prefix}${path}` : path
    return methods.flatMap((method) => {
      const operation = document.follow(item[method])
      if (operation === null) return []
      return [read(document, schemas, { item, operation, method: method.toUpperCase(), path: whole, written: path })]
    })
  })
}

interface Found {
  readonly item: SpecObject
  readonly operation: SpecObject
  readonly method: string
  readonly path: string
  /** The key of the path. */
  readonly written: string
}

function read(
  document: OpenApiDocument,
  schemas: SchemaReader,
  { item, operation, method, path, written }: Found,
): PublishedOperation {
  return {
    method,
    path,
    summary: (textOf(operation['summary']) ?? textOf(operation['operationId']) ?? '').trim(),
    deprecated: operation['deprecated'] === true,
    permission: statedPermission(operation),
    query: queryOf(document, schemas, [...itemsOf(item['parameters']), ...itemsOf(operation['parameters'])]),
    body: bodyOf(document, schemas, operation['requestBody']),
    answer: answerOf(document, schemas, operation['responses']),
    at: (message) => document.at(['paths', written, method.toLowerCase()], message),
  }
}

/** The path of the first server, without a final slash; variables have their defaults. */
function basePath(servers: unknown): string {
  const server = objectOf(itemsOf(servers)[0])
  const variables = objectOf(server?.['variables'])
  const url = (textOf(server?.['url']) ?? '').replaceAll(/\{([^}]*)\}/g, (whole, name: string) => {
    return textOf(objectOf(variables?.[name])?.['default']) ?? whole
  })
  const path = url.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/]*/i, '').replace(/\/+$/, '')
  return path === '' || path.startsWith('/') ? path : `/${path}`
}

function queryOf({ follow }: OpenApiDocument, schemas: SchemaReader, parameters: readonly unknown[]): Members {
  const found = new Map<string, Field>()
  for (const parameter of parameters.map(follow)) {
    const name = textOf(parameter?.['name'])
    if (parameter === null || name === null || parameter['in'] !== 'query') continue
    // An object in the usual style is sent as one parameter for each of its members.
    const exploded = (parameter['style'] ?? 'form') === 'form' && parameter['explode'] !== false
    const members = exploded ? schemas.members(parameter['schema']) : null
    if (members === null)
      found.set(name, { ...schemas.field(parameter['schema']), required: parameter['required'] === true })
    else for (const [member, field] of members) found.set(member, field)
  }
  return found
}

function bodyOf({ follow }: OpenApiDocument, schemas: SchemaReader, value: unknown): PublishedOperation['body'] {
  const body = follow(value)
  const content = mediaType(follow, body?.['content'])
  if (content === null) return null
  return { members: schemas.members(content['schema']) }
}

/** The JSON of a content; where there is none the multipart one, or else the first. */
function mediaType(follow: OpenApiDocument['follow'], value: unknown): SpecObject | null {
  const content = Object.entries(objectOf(value) ?? {})
  const wanted =
    content.find(([type]) => /^application\/(?:[^;]+\+)?json\b/i.test(type)) ??
    content.find(([type]) => /^multipart\//i.test(type)) ??
    content[0]
  return follow(wanted?.[1])
}

function answerOf({ follow }: OpenApiDocument, schemas: SchemaReader, value: unknown): PublishedAnswer | null {
  const responses = Object.entries(objectOf(value) ?? {})
  const success =
    responses.find(([status]) => status.startsWith('2')) ?? responses.find(([status]) => status === 'default')
  const content = objectOf(follow(success?.[1])?.['content'])
  const json = Object.entries(content ?? {}).find(([type]) => /^application\/(?:[^;]+\+)?json\b/i.test(type))
  const schema = objectOf(follow(json?.[1]))?.['schema']
  if (schema === undefined) return null
  const { kind } = schemas.field(schema)
  const form = kind === 'object' || kind === 'list' ? kind : null
  return { form, has: (path) => holds(follow, schema, path.split('.')) }
}

/** Whether a value can have a member at a path, `*` for each item of a list; null where the schema does not say. */
function holds(follow: OpenApiDocument['follow'], schema: unknown, [step, ...rest]: readonly string[]): boolean | null {
  if (step === undefined) return true
  const parts = partsOf(follow, schema, 0)
  if (step === '*') {
    const items = parts.flatMap((part) => (part['items'] === undefined ? [] : [part['items']]))
    return items.length === 0 ? null : anyOf(items.map((item) => holds(follow, item, rest)))
  }
  const members = parts.flatMap((part) => Object.entries(objectOf(part['properties']) ?? {}))
  if (members.length === 0) return null
  const named = members.filter(([name]) => name === step)
  return named.length === 0 ? false : anyOf(named.map(([, member]) => holds(follow, member, rest)))
}

function anyOf(answers: readonly (boolean | null)[]): boolean | null {
  if (answers.includes(true)) return true
  return answers.includes(null) ? null : false
}

/** A schema and the parts it is combined of. */
function partsOf(follow: OpenApiDocument['follow'], schema: unknown, depth: number): readonly SpecObject[] {
  const object = follow(schema)
  if (object === null || depth > 4) return []
  const parts = ['allOf', 'anyOf', 'oneOf'].flatMap((keyword) => itemsOf(object[keyword]))
  return [object, ...parts.flatMap((part) => partsOf(follow, part, depth + 1))]
}
