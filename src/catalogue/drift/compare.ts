// What differs between a published OpenAPI document and the catalogue: new, changed and vanished operations. Pure.

import { Refused } from '../../config/diagnostics.ts'
import { quoted } from '../../config/units.ts'
import type { Catalogue } from '../catalogue.ts'
import { devinApi, type OperationEntry } from '../data.ts'
import type { Operation } from '../operation.ts'
import { differences, stillUnconfirmed, type Difference } from './differences.ts'
import type { OpenApiDocument } from './document.ts'
import { publishedOperations, type PublishedOperation } from './published.ts'

export interface ChangedOperation {
  readonly operation: Operation
  readonly differences: readonly Difference[]
}

export interface Drift {
  readonly new: readonly PublishedOperation[]
  readonly changed: readonly ChangedOperation[]
  readonly vanished: readonly Operation[]
  /** What the catalogue has by reports of users alone, and the document does not confirm. */
  readonly unconfirmed: readonly { readonly operation: Operation; readonly names: readonly string[] }[]
  /** Operations of the document that the catalogue has, too. */
  readonly compared: number
  /** The document was said to describe some operations only. */
  readonly partial: boolean
  /** Operations of the catalogue that the document need not have: it is partial, or has nothing below their prefix. */
  readonly notCompared: readonly { readonly prefix: string; readonly operations: number }[]
  /** Operations of the document below retired prefixes, which the gateway never serves. */
  readonly retired: number
}

/** `/v3/organizations/{org_id}` is `v3`. */
function prefixOf(path: string): string {
  return path.split('/')[1] ?? ''
}

/** No request can distinguish two operations with the same shape. */
function shapeOf(method: string, path: string): string {
  return `${method} ${path.replaceAll(/\{[^}]*\}/g, '{}')}`
}

/**
 * Compares a document with the catalogue. A partial one describes some operations only, so that none is missed. Throws `Refused`
 * where the document is about another API.
 */
export function compare(document: OpenApiDocument, catalogue: Catalogue, partial = false): Drift {
  const prefixes = new Set(catalogue.operations.map(({ template }) => prefixOf(template)))
  const retiredPrefixes = new Set(devinApi.legacy.map(({ path }) => prefixOf(path)))
  const all = publishedOperations(document, (path) => prefixes.has(prefixOf(path)))
  const published = all.filter(({ path }) => !retiredPrefixes.has(prefixOf(path)))
  const described = new Set(published.map(({ path }) => prefixOf(path)))
  if (!published.some(({ path }) => prefixes.has(prefixOf(path)))) throw anotherApi(document, all, retiredPrefixes)

  const known = new Map(catalogue.operations.map((each) => [shapeOf(each.method, each.template), each]))
  const entries = new Map(devinApi.operations.map((entry) => [entry.id, entry]))
  const found = new Map<Operation, PublishedOperation>()
  const fresh = new Map<string, PublishedOperation>()
  for (const each of published) {
    const shape = shapeOf(each.method, each.path)
    const operation = known.get(shape)
    if (operation === undefined ? fresh.has(shape) : found.has(operation)) {
      throw new Refused([
        each.at(`${each.method} ${quoted(each.path)} stands there twice, but for the names of parameters`),
      ])
    }
    if (operation === undefined) fresh.set(shape, each)
    else found.set(operation, each)
  }
  const changed = [...found].flatMap(([operation, each]): ChangedOperation[] => {
    const differing = differences(operation, entryOf(entries, operation), each)
    return differing.length === 0 ? [] : [{ operation, differences: differing }]
  })
  const unconfirmed = [...found].flatMap(([operation, each]) => {
    const entry = entryOf(entries, operation)
    const names = entry === null ? [] : stillUnconfirmed(entry, each)
    return names.length === 0 ? [] : [{ operation, names }]
  })
  const absent = catalogue.operations.filter(
    // Operations of this class are known from older pages only: that they are gone is no news.
    (operation) => !found.has(operation) && operation.stability !== 'removed?',
  )
  const isMissed = ({ template }: Operation) => !partial && described.has(prefixOf(template))
  const outside = absent.filter((operation) => !isMissed(operation))
  return {
    new: [...fresh.values()],
    changed: changed.toSorted((a, b) => a.operation.index - b.operation.index),
    vanished: absent.filter(isMissed),
    unconfirmed,
    compared: found.size,
    partial,
    notCompared: [...new Set(outside.map(({ template }) => prefixOf(template)))].map((prefix) => ({
      prefix: `/${prefix}`,
      operations: outside.filter(({ template }) => prefixOf(template) === prefix).length,
    })),
    retired: all.length - published.length,
  }
}

function entryOf(entries: ReadonlyMap<string, OperationEntry>, { id, source }: Operation): OperationEntry | null {
  return source === 'catalogue' ? (entries.get(id) ?? null) : null
}

function anotherApi(
  document: OpenApiDocument,
  all: readonly PublishedOperation[],
  retired: ReadonlySet<string>,
): Refused {
  const [first] = all
  const where = first === undefined ? 'it describes no operation' : `its first path is ${quoted(first.path)}`
  const message = all.some(({ path }) => retired.has(prefixOf(path)))
    ? 'the document is about the retired /v1 and /v2 API, which the gateway never serves: take the one of /v3'
    : `the document ${quoted(document.title)} is about another API: none of its paths begins like one of the catalogue; ${where}`
  return new Refused([document.at(['paths'], message)])
}
