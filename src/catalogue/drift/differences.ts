// What differs between one operation of the catalogue and the same one in a published document. Pure.

import type { OperationEntry, ValueSet } from '../data.ts'
import type { Operation } from '../operation.ts'
import type { PublishedOperation } from './published.ts'
import type { FieldKind, Members } from './schema.ts'

export type Difference = {
  readonly in: 'path' | 'query' | 'body' | 'answer' | 'operation'
  /** Parameter, member, dotted place in an answer, or `permission`, `body`, `deprecated` of the operation itself. */
  readonly name: string
} & (
  | { readonly change: 'new' }
  | { readonly change: 'vanished' }
  | { readonly change: 'values'; readonly new: readonly string[]; readonly vanished: readonly string[] }
  | { readonly change: 'changed'; readonly what: string; readonly from: string; readonly to: string }
)

/**
 * The differences of an operation. Operations of extension files have no entry: of these the path and the permission are
 * compared, because their files say no more.
 */
export function differences(
  operation: Operation,
  entry: OperationEntry | null,
  published: PublishedOperation,
): readonly Difference[] {
  return [
    ...pathDifferences(operation, published),
    ...permissionDifference(operation, published),
    ...deprecation(operation, published),
    ...(entry === null
      ? []
      : [
          ...queryDifferences(entry, published.query),
          ...bodyDifferences(entry, published.body),
          ...answerDifferences(entry, published),
        ]),
  ]
}

/** Names and values of the catalogue that no public page was known to name, and that this document does not name either. */
export function stillUnconfirmed({ unconfirmed }: OperationEntry, { query, body }: PublishedOperation): string[] {
  return unconfirmed.filter((each) => {
    const [name = '', value] = each.split('=')
    const field = query.get(name) ?? body?.members?.get(name)
    return field === undefined || (value !== undefined && field.values !== null && !field.values.includes(value))
  })
}

function parametersOf(path: string): string[] {
  return path.split('/').flatMap((segment) => (segment.startsWith('{') ? [segment.slice(1, -1)] : []))
}

function pathDifferences({ template }: Operation, { path }: PublishedOperation): Difference[] {
  const now = parametersOf(path)
  return parametersOf(template).flatMap((name, index): Difference[] => {
    const to = now[index] ?? name
    return to === name ? [] : [{ in: 'path', name, change: 'changed', what: 'name', from: name, to }]
  })
}

function permissionDifference(operation: Operation, { permission: stated }: PublishedOperation): Difference[] {
  const { permission, alternatives } = operation
  if (stated === null || stated.name === permission) return []
  if (stated.name !== null && alternatives.includes(stated.name)) return []
  const from = permission ?? 'none'
  return [
    { in: 'operation', name: 'permission', change: 'changed', what: 'permission', from, to: stated.name ?? 'none' },
  ]
}

function deprecation({ stability }: Operation, { deprecated }: PublishedOperation): Difference[] {
  if (!deprecated || ['deprecated', 'superseded', 'removed?'].includes(stability)) return []
  return [
    { in: 'operation', name: 'deprecated', change: 'changed', what: 'stability', from: stability, to: 'deprecated' },
  ]
}

function queryDifferences(entry: OperationEntry, query: Members): Difference[] {
  return [
    ...names('query', entry, entry.query, query),
    ...entry.query.flatMap((name) => valueDifference('query', entry, name, query)),
  ]
}

function bodyDifferences(entry: OperationEntry, body: PublishedOperation['body']): Difference[] {
  const known = entry.body.map(({ name }) => name)
  if (body === null) {
    return known.length === 0 ? [] : [{ in: 'operation', name: 'body', change: 'vanished' }]
  }
  const { members } = body
  if (members === null) return []
  return [
    ...names('body', entry, known, members),
    ...entry.body.flatMap(({ name, type, required }): Difference[] => {
      const field = members.get(name)
      if (field === undefined) return []
      const kind = kindOf(type)
      return [
        ...valueDifference('body', entry, name, members),
        ...(field.required === required ? [] : [changed(name, 'required', String(required), String(field.required))]),
        ...(kind === null || field.kind === null || kind === field.kind
          ? []
          : [changed(name, 'type', kind, field.kind)]),
      ]
    }),
  ]
}

function changed(name: string, what: string, from: string, to: string): Difference {
  return { in: 'body', name, change: 'changed', what, from, to }
}

function names(
  place: 'query' | 'body',
  { unconfirmed }: OperationEntry,
  known: readonly string[],
  published: Members,
): Difference[] {
  return [
    ...[...published.keys()]
      .filter((name) => !known.includes(name))
      .map((name): Difference => ({ in: place, name, change: 'new' })),
    ...known
      // What no public page was known to name before is not missed; it is listed apart.
      .filter((name) => !published.has(name) && !unconfirmed.includes(name))
      .map((name): Difference => ({ in: place, name, change: 'vanished' })),
  ]
}

function valueDifference(place: ValueSet['in'], entry: OperationEntry, name: string, published: Members): Difference[] {
  const known = entry.values.find((set) => set.in === place && set.name === name)?.values
  const now = published.get(name)?.values
  if (known === undefined || now === undefined || now === null) return []
  const fresh = now.filter((value) => !known.includes(value))
  const vanished = known.filter((value) => !now.includes(value) && !entry.unconfirmed.includes(`${name}=${value}`))
  return fresh.length + vanished.length === 0 ? [] : [{ in: place, name, change: 'values', new: fresh, vanished }]
}

/** The kind of a type in the catalogue's informal words; null where they do not say it. */
function kindOf(type: string): FieldKind | null {
  const bare = type.replace(/ \([^)]*\)$/, '').replace(/\|null$/, '')
  if (bare.endsWith('[]')) return 'list'
  if (bare.startsWith('{')) return 'object'
  switch (/^[a-z]+/.exec(bare)?.[0]) {
    case 'string':
    case 'enum':
    case 'binary':
      return 'text'
    case 'integer':
      return 'number'
    case 'boolean':
      return 'boolean'
    case 'object':
      return 'object'
    default:
      return null
  }
}

/** What filters of answers rely on and the document no longer has. */
function answerDifferences(
  { answer, method }: OperationEntry,
  { answer: published }: PublishedOperation,
): Difference[] {
  if (answer === null || published === null || method !== 'GET') return []
  const form = answer.form === 'list' ? 'list' : 'object'
  if (published.form !== null && published.form !== form) {
    return [{ in: 'answer', name: 'form', change: 'changed', what: 'type', from: form, to: published.form }]
  }
  const item = answer.form === 'page' ? `${answer.items ?? ''}.*.` : answer.form === 'list' ? '*.' : ''
  const places = [
    ...(answer.items === null ? [] : [answer.items]),
    ...answer.organizations.map((place) => `${item}${place}`),
    ...(answer.paging === null ? [] : [answer.paging.cursor, answer.paging.more]),
  ]
  return places
    .filter((place) => published.has(place) === false)
    .map((name) => ({ in: 'answer', name, change: 'vanished' }))
}
