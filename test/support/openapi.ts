// An OpenAPI document that says of the API what the catalogue says, to be changed by tests.

import type { OperationEntry } from '../../src/catalogue/data.ts'

export type Json = Record<string, unknown>

export interface Described {
  summary: string
  parameters: { name: string; in: string; required: boolean; schema: Json }[]
  requestBody?: { content: Record<string, { schema: Json }> }
  responses: Json
  deprecated?: boolean
  'x-permission'?: string | null
}

export interface DescribedApi {
  openapi: string
  info: { title: string; version: string }
  paths: Record<string, Record<string, Described>>
  components: { schemas: Record<string, Json> }
}

/** The document. Bodies and answers are components, so that every operation goes through references. */
export function describeApi(operations: readonly OperationEntry[], openapi = '3.1.0'): DescribedApi {
  const api: DescribedApi = {
    openapi,
    info: { title: 'Devin API v3', version: '3.0.0' },
    paths: {},
    components: {
      schemas: { Error: { type: 'object', properties: { cause: { $ref: '#/components/schemas/Error' } } } },
    },
  }
  for (const operation of operations) {
    const item = (api.paths[operation.path] ??= {})
    item[operation.method.toLowerCase()] = describeOperation(operation, api)
  }
  return api
}

/** The name of the component that describes the body of an operation. */
export function bodyName(id: string): string {
  return `Body.${id}`
}

function describeOperation(operation: OperationEntry, { components, openapi }: DescribedApi): Described {
  const { id, path, permission, permission_basis: basis, query, body } = operation
  const parameter = (name: string, place: string): Described['parameters'][number] => ({
    name,
    in: place,
    required: place === 'path',
    schema: withValues(operation, 'query', name, { type: 'string' }),
  })
  const described: Described = {
    summary: operation.summary,
    parameters: [
      ...path
        .split('/')
        .flatMap((segment) => (segment.startsWith('{') ? [parameter(segment.slice(1, -1), 'path')] : [])),
      ...query.map((name) => parameter(name, 'query')),
    ],
    responses: answerOf(operation),
  }
  // One name is the label of a settings page, and some operations are documented without.
  if (permission !== null && !permission.includes(' ')) described['x-permission'] = permission
  if (permission === null && basis === 'documented') described['x-permission'] = null
  if (body.length > 0) {
    components.schemas[bodyName(id)] = {
      type: 'object',
      required: body.filter(({ required }) => required).map(({ name }) => name),
      properties: Object.fromEntries(
        body.map(({ name, type }) => [
          name,
          nullable(openapi, type, withValues(operation, 'body', name, schemaOf(type))),
        ]),
      ),
    }
    const media = body.some(({ type }) => type.startsWith('binary')) ? 'multipart/form-data' : 'application/json'
    described.requestBody = { content: { [media]: { schema: { $ref: `#/components/schemas/${bodyName(id)}` } } } }
  }
  return described
}

function withValues({ values }: OperationEntry, place: 'query' | 'body', name: string, schema: Json): Json {
  const known = values.find((set) => set.in === place && set.name === name)
  return known === undefined ? schema : { ...schema, enum: [...known.values] }
}

function nullable(openapi: string, type: string, schema: Json): Json {
  if (!type.includes('|null')) return schema
  return openapi.startsWith('3.0') ? { ...schema, nullable: true } : { anyOf: [schema, { type: 'null' }] }
}

function schemaOf(type: string): Json {
  const bare = type.replace(/ \([^)]*\)$/, '').replace(/\|null$/, '')
  if (bare === 'any') return {}
  if (bare.endsWith('[]')) return { type: 'array', items: {} }
  const word = /^[a-z]+/.exec(bare)?.[0] ?? 'object'
  return { type: { enum: 'string', binary: 'string' }[word] ?? word }
}

function answerOf({ answer, success }: OperationEntry): Json {
  const status = String(success[0] ?? 200)
  if (answer === null) return { [status]: { description: 'ok' } }
  const item: Json = { type: 'object', properties: { id: { type: 'string' } } }
  for (const place of answer.organizations) add(item, place.split('.'))
  const page: Json = {
    type: 'object',
    properties: {
      [answer.items ?? '']: { type: 'array', items: item },
      ...(answer.paging === null ? {} : { [answer.paging.cursor]: { type: 'string' }, [answer.paging.more]: {} }),
    },
  }
  const schema = answer.form === 'page' ? page : answer.form === 'list' ? { type: 'array', items: item } : item
  return { [status]: { description: 'ok', content: { 'application/json': { schema } } } }
}

/** Adds the members of a dotted place to a schema; `*` is an item. */
function add(schema: Json, [step, ...rest]: readonly string[]): void {
  if (step === undefined) return
  const below: Json = {}
  if (step === '*') {
    schema['type'] = 'array'
    schema['items'] = below
  } else {
    schema['type'] = 'object'
    schema['properties'] = { ...(schema['properties'] as Json | undefined), [step]: below }
  }
  add(below, rest)
}
