// A published OpenAPI document, checked as far as it is used: its version, its paths, and that all references stay inside.

import { isObject } from '../../json/untyped.ts'
import { Refused, type Diagnostic } from '../../config/diagnostics.ts'
import { didYouMean } from '../../config/nearest.ts'
import { quoted } from '../../config/units.ts'
import { readForeign, type ForeignDocument } from '../../config/yaml/foreign.ts'

export type SpecObject = Readonly<Record<string, unknown>>
type Path = readonly (string | number)[]

export interface OpenApiDocument {
  readonly title: string
  readonly version: string
  /** Version of OpenAPI, as the document states it. */
  readonly openapi: string
  readonly root: SpecObject
  readonly paths: SpecObject
  /** What a value is once local references are followed; null where that leads to no object. */
  follow(value: unknown): SpecObject | null
  /** A mistake at a path of the document. */
  at(path: Path, message: string): Diagnostic
}

/** References that point at references: more than any document needs. */
const longestChain = 50
const mostDiagnostics = 20

/** Reads an OpenAPI 3.0 or 3.1 document, JSON or YAML. Throws `Refused` with the place of each mistake. */
export function readOpenApi(file: string, text: string): OpenApiDocument {
  const document = readForeign(file, text)
  const refuse = (path: Path, message: string): never => {
    throw new Refused([document.at(path, message)])
  }
  const root = objectOf(document.value) ?? refuse([], 'not an OpenAPI document: it holds no object')
  const openapi = versionOf(root, refuse)
  const paths = objectOf(root['paths'])
  if (paths === null || Object.keys(paths).length === 0) {
    refuse(['paths'], 'the document describes no operation: "paths" is missing or empty')
  }
  const broken = brokenReferences(document, root)
  if (broken.length > 0) throw new Refused(broken)
  const info = objectOf(root['info'])
  return {
    title: textOf(info?.['title']) ?? 'untitled',
    version: textOf(info?.['version']) ?? 'without a version',
    openapi,
    root,
    paths: paths ?? {},
    follow: (value) => follow(root, value),
    at: document.at,
  }
}

function versionOf(root: SpecObject, refuse: (path: Path, message: string) => never): string {
  if (Object.hasOwn(root, 'swagger')) {
    refuse(
      ['swagger'],
      `OpenAPI ${String(root['swagger'])} is not read: convert the document to OpenAPI 3.0 or 3.1 first`,
    )
  }
  const version = root['openapi']
  if (typeof version !== 'string' && typeof version !== 'number') {
    const near = didYouMean('openapi', Object.keys(root))
    return refuse([], `not an OpenAPI document: it should begin with "openapi: 3.1.0"${near}`)
  }
  if (!/^3(\.[01](\.\d+.*)?)?$/.test(String(version))) {
    refuse(['openapi'], `OpenAPI ${String(version)} is not read: only 3.0 and 3.1 are`)
  }
  return String(version)
}

/** Keys whose values are data and no part of the description: a `$ref` in them means nothing. */
const data = new Set(['example', 'examples', 'default', 'enum', 'const'])

function brokenReferences(document: ForeignDocument, root: SpecObject): Diagnostic[] {
  const found: Diagnostic[] = []
  const open: { readonly value: unknown; readonly path: Path; readonly named: boolean }[] = [
    { value: root, path: [], named: false },
  ]
  const seen = new Set<unknown>()
  while (open.length > 0 && found.length < mostDiagnostics) {
    const { value, path, named } = open.pop() ?? { value: null, path: [], named: false }
    if (typeof value !== 'object' || value === null || seen.has(value)) continue
    seen.add(value)
    const reference: unknown = named ? undefined : (value as SpecObject)['$ref']
    if (typeof reference === 'string') {
      const message = referenceProblem(root, reference)
      if (message !== null) found.push(document.at([...path, '$ref'], message))
    }
    for (const [key, child] of Object.entries(value)) {
      // Below `properties` keys are names, and one of them may be called like a keyword.
      if (!named && (data.has(key) || key.startsWith('x-'))) continue
      const step = Array.isArray(value) ? Number(key) : key
      open.push({ value: child, path: [...path, step], named: !named && key === 'properties' })
    }
  }
  return found
}

function referenceProblem(root: SpecObject, reference: string): string | null {
  if (!reference.startsWith('#')) {
    return `the reference ${quoted(reference)} leads out of the document: bundle it into one file first`
  }
  return target(root, reference) === undefined ? `the reference ${quoted(reference)} leads nowhere` : null
}

/** The value that a local reference points at; undefined when there is none. */
function target(root: SpecObject, reference: string): unknown {
  const steps = reference === '#' ? [] : reference.slice(2).split('/')
  let value: unknown = root
  for (const step of steps) {
    if (typeof value !== 'object' || value === null) return undefined
    const name = decode(step).replaceAll('~1', '/').replaceAll('~0', '~')
    value = Object.hasOwn(value, name) ? (value as SpecObject)[name] : undefined
  }
  return value
}

function decode(step: string): string {
  try {
    return decodeURIComponent(step)
  } catch {
    return step
  }
}

function follow(root: SpecObject, value: unknown): SpecObject | null {
  let found: unknown = value
  for (let count = 0; count < longestChain; count += 1) {
    const object = objectOf(found)
    if (object === null) return null
    const reference = object['$ref']
    if (typeof reference !== 'string') return object
    found = target(root, reference)
  }
  return null
}

/** The value if it is an object and no list, else null. */
export function objectOf(value: unknown): SpecObject | null {
  return isObject(value) ? value : null
}

/** The members of a list; empty for anything else. */
export function itemsOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

/** The value if it is a text, else null. */
export function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}
