// What a word of a grant's `allow` list covers: a permission name, an operation id, or a pattern of ids. Pure.

import type { Catalogue } from '../../catalogue/catalogue.ts'
import type { Operation } from '../../catalogue/operation.ts'
import { didYouMean, fewHints } from '../../config/nearest.ts'

export interface Covered {
  /** Indexes of operations. */
  readonly operations: readonly number[]
  /** Permissions the grant then holds, for what a body asks besides the operation's own. */
  readonly permissions: readonly string[]
  readonly problems: readonly { readonly severity: 'error' | 'warning'; readonly message: string }[]
}

export type AllowCompiler = (word: string) => Covered

/** Makes the compiler for one catalogue; equal words are looked up once, however many teams use them. */
export function compileAllow(catalogue: Catalogue): AllowCompiler {
  const known = new Map<string, Covered>()
  const hint = fewHints()
  return (word) => {
    const remembered = known.get(word)
    if (remembered !== undefined) return remembered
    const covered = cover(catalogue, word, hint)
    known.set(word, covered)
    return covered
  }
}

function cover(catalogue: Catalogue, word: string, hint: typeof didYouMean): Covered {
  if (catalogue.permissions.names.has(word)) return coverPermission(catalogue, word)
  const found = operationsNamed(catalogue, word, hint)
  if (typeof found === 'string')
    return { operations: [], permissions: [], problems: [{ severity: 'error', message: found }] }
  const served = found.filter((operation) => catalogue.isServed(operation))
  const operations = served.map((operation) => operation.index)
  const [first] = found
  if (served.length > 0 || first === undefined) return { operations, permissions: [], problems: [] }
  const why =
    first.stability === 'unreviewed'
      ? `has "served: false" in ${first.source}`
      : `is of stability class ${first.stability} (see catalogue.stability)`
  const message = `"${word}" covers no operation that is served: ${first.id} ${why}`
  return { operations, permissions: [], problems: [{ severity: 'warning', message }] }
}

/** Ids of the operations that a permission, an id or a pattern of ids covers, served or not; none for an unknown word. */
export function operationsCovered(catalogue: Catalogue, word: string): readonly string[] {
  if (!catalogue.permissions.names.has(word)) return named(catalogue, word).map(({ id }) => id)
  return coverPermission(catalogue, word).operations.flatMap((index) => catalogue.operations[index]?.id ?? [])
}

/**
 * The operations that an id or a pattern of ids names, at least one, served or not; or a sentence about the mistake,
 * with the nearest spelling.
 */
export function operationsNamed(catalogue: Catalogue, word: string, hint = didYouMean): readonly Operation[] | string {
  if (catalogue.permissions.names.has(word)) {
    const [example] = operationsCovered(catalogue, word)
    return `"${word}" is a permission: name operations here, by their ids${example === undefined ? '' : ` like ${example}`}`
  }
  const found = named(catalogue, word)
  return found.length > 0 ? found : unknownWord(catalogue, word, hint)
}

function named(catalogue: Catalogue, word: string): readonly Operation[] {
  if (word.includes('*')) return matching(catalogue, word)
  const operation = catalogue.operation(word)
  return operation === null ? [] : [operation]
}

/** The ids of a catalogue, taken apart once. */
interface OperationIds {
  readonly operations: readonly { readonly operation: Operation; readonly segments: readonly string[] }[]
  /** What patterns are likely to be: `org.*`, `org.sessions.*`. */
  readonly patterns: ReadonlySet<string>
}

const idsOfCatalogues = new WeakMap<Catalogue, OperationIds>()

function idsOf(catalogue: Catalogue): OperationIds {
  const known = idsOfCatalogues.get(catalogue)
  if (known !== undefined) return known
  const operations = catalogue.operations.map((operation) => ({ operation, segments: operation.id.split('.') }))
  const patterns = new Set(
    operations.flatMap(({ segments }) => segments.map((_, index) => `${segments.slice(0, index).join('.')}.*`)),
  )
  const ids = { operations, patterns }
  idsOfCatalogues.set(catalogue, ids)
  return ids
}

/** An enterprise permission also stands for the organization permission that it gives in every organization. */
function coverPermission(catalogue: Catalogue, name: string): Covered {
  const implied = catalogue.permissions.implies(name)
  const operations = catalogue.operations.filter(
    (operation) =>
      catalogue.isServed(operation) &&
      (operation.permission === name ||
        (operation.scope === 'organization' && implied !== null && operation.permission === implied)),
  )
  const permissions = implied === null ? [name] : [name, implied]
  return { operations: operations.map((operation) => operation.index), permissions, problems: [] }
}

/** `*` is one segment of an id, a final `*` all that follow (at least one). */
function matching(catalogue: Catalogue, pattern: string): readonly Operation[] {
  const wanted = pattern.split('.')
  const open = wanted.at(-1) === '*'
  const found: Operation[] = []
  for (const { operation, segments } of idsOf(catalogue).operations) {
    if (open ? segments.length < wanted.length : segments.length !== wanted.length) continue
    if (wanted.every((want, index) => want === '*' || want === segments[index])) found.push(operation)
  }
  return found
}

function unknownWord(catalogue: Catalogue, word: string, hint: typeof didYouMean): string {
  const path = /^(?:([A-Z]+) +)?(\/\S*)$/.exec(word)
  if (path !== null) return pathInPlaceOfId(catalogue, word, path[1] ?? null, path[2] ?? '')
  if (word.includes('*')) {
    const partial = word.split('.').some((segment) => segment.includes('*') && segment !== '*')
    const near = hint(word, idsOf(catalogue).patterns)
    return `the pattern "${word}" covers no operation of the catalogue${near === '' && partial ? ': "*" stands for a whole segment, like org.sessions.*' : near}`
  }
  if (word.includes('.'))
    return `unknown operation "${word}"${hint(
      word,
      catalogue.operations.map((operation) => operation.id),
    )}`
  return unknownPermission(catalogue, word, hint)
}

/** The message about a method and path where an id belongs, with the id. */
function pathInPlaceOfId(catalogue: Catalogue, word: string, method: string | null, path: string): string {
  const shape = (template: string): string => template.replaceAll(/\{[^}]*\}|\*/g, '{}').replace(/\?.*$/, '')
  const found = catalogue.operations.filter(
    (operation) => (method === null || operation.method === method) && shape(operation.template) === shape(path),
  )
  const ids = found.map(({ id }) => `"${id}"`).join(' or ')
  return `operations are named by their ids, not by paths: "${word}" ${ids === '' ? 'is none; devin-gateway catalogue finds ids' : `is ${ids}`}`
}

/** The message about a permission that the catalogue does not know. */
export function unknownPermission({ permissions }: Catalogue, name: string, hint = didYouMean): string {
  const parts = name.split(/[\s;,|+]+/).filter((part) => part !== '')
  return parts.length > 1 && parts.some((part) => permissions.names.has(part) || part.includes('.'))
    ? `"${name}" is read as one text: put a comma between ${parts.map((part) => `"${part}"`).join(' and ')}`
    : `unknown permission "${name}"${hint(name, permissions.names)}`
}
