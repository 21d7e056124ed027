// The document of the operators' API, and checks that answers are as it says.

import { readFileSync } from 'node:fs'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { expect } from 'vitest'
import { parse } from 'yaml'

type Json = Record<string, unknown>
interface Answer {
  readonly $ref?: string
  readonly content?: Readonly<Record<string, { readonly schema: Json }>>
}
interface Described {
  readonly responses: Readonly<Record<string, Answer>>
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>>
  readonly components: { readonly responses: Readonly<Record<string, Answer>> }
}

const document = parse(readFileSync(new URL('../../docs/admin-api.yaml', import.meta.url), 'utf8')) as Document
const ajv = new Ajv2020({ strict: false, allErrors: true })
ajv.addFormat('date-time', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z$/)
ajv.addSchema(document, 'admin-api')
const validators = new Map<string, ValidateFunction>()

/** Every route of the document, as the listener names it. */
export function documentedRoutes(): readonly string[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`),
  )
}

/** Fails where an answer of the operators' listener is not as the document says. Returns its JSON. */
export async function expectDocumented<T = Json>(response: Response, method = 'GET'): Promise<T> {
  const { pathname } = new URL(response.url)
  const path = Object.keys(document.paths).find((each) =>
    new RegExp(`^${each.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(pathname),
  )
  const responses = document.paths[path ?? '']?.[method.toLowerCase()]?.responses
  const name = responses?.[response.status] === undefined ? 'default' : String(response.status)
  const answer = responses?.[name]
  expect(answer, `${method} ${pathname}: ${response.status} is documented`).toBeDefined()
  const at = answer?.$ref ?? `#/paths/${escaped(path ?? '')}/${method.toLowerCase()}/responses/${name}`
  const value = (await response.json()) as T
  const type = response.headers.get('content-type')?.split(';', 1)[0] ?? ''
  const schema = `${at}/content/${type.replace('/', '~1')}/schema`
  expect(Object.keys(described(answer).content ?? {}), `${method} ${pathname}: ${response.status}`).toContain(type)
  const validate = validators.get(schema) ?? ajv.compile({ $ref: `admin-api${schema}` })
  validators.set(schema, validate)
  validate(value)
  expect(validate.errors ?? [], `${method} ${pathname}: ${JSON.stringify(value).slice(0, 2000)}`).toEqual([])
  return value
}

function described(answer: Answer | undefined): Answer {
  const name = answer?.$ref?.split('/').at(-1)
  return (name === undefined ? answer : document.components.responses[name]) ?? {}
}

function escaped(path: string): string {
  return encodeURIComponent(path.replaceAll('~', '~0').replaceAll('/', '~1'))
}

/** Fails where a value is not as a schema of the document says. */
export function expectDocumentedValue(schema: string, value: unknown): void {
  const validate = ajv.compile({ $ref: `admin-api#/components/schemas/${schema}` })
  validate(value)
  expect(validate.errors ?? []).toEqual([])
}
