// All operations the gateway knows, compiled: the built-in data of the Devin API plus extension files.

import type { Diagnostic } from '../config/diagnostics.ts'
import { didYouMean } from '../config/nearest.ts'
import type { CatalogueData, LegacyEntry, OperationEntry } from './data.ts'
import type { Extension, ExtensionOperation } from './extension.ts'
import { compileMatcher, isOperation, type Matcher, type Mismatch } from './matcher.ts'
import type { ConditionalPermission, Operation, Stability } from './operation.ts'
import { compilePermissions } from './permissions.ts'

export type Catalogue = ReturnType<typeof compileCatalogue>['catalogue']

export interface CatalogueOptions {
  readonly data: CatalogueData
  readonly stability: readonly Stability[]
  readonly extensions: readonly Extension[]
}

/** Compiles the catalogue. Diagnostics are about the extension files; with an error among them the catalogue must not be used. */
export function compileCatalogue({ data, stability, extensions }: CatalogueOptions) {
  const diagnostics: Diagnostic[] = []
  const operations = data.operations.map((entry, index) => fromData(entry, index, conditionsOf(entry, data)))
  const byId = new Map(operations.map((operation) => [operation.id, operation]))
  const byShape = new Map(operations.map((operation) => [shapeOf(operation), operation]))
  const namedPermissions = new Set<string>()

  for (const extension of extensions) {
    for (const entry of extension.operations) {
      const operation = fromExtension(entry, operations.length, extension.file)
      const other = byId.get(operation.id) ?? byShape.get(shapeOf(operation))
      if (other !== undefined) {
        diagnostics.push(
          errorAt(
            extension,
            entry,
            `operation "${operation.id}" is already in the catalogue: ${other.id}, ${other.method} ${other.template} (${other.source})`,
          ),
        )
        continue
      }
      if (operation.permission !== null) namedPermissions.add(operation.permission)
      operations.push(operation)
      byId.set(operation.id, operation)
      byShape.set(shapeOf(operation), operation)
    }
  }
  const known = compilePermissions(data.permissions)
  for (const extension of extensions) {
    for (const entry of extension.operations) {
      for (const id of entry.invalidates) {
        if (!byId.has(id))
          diagnostics.push(
            errorAt(extension, entry, `invalidates: unknown operation "${id}"${didYouMean(id, byId.keys())}`),
          )
      }
      const near =
        entry.permission === null || known.names.has(entry.permission) ? '' : didYouMean(entry.permission, known.names)
      if (near !== '')
        diagnostics.push({
          ...errorAt(extension, entry, `permission "${entry.permission}" is new to the catalogue${near}`),
          severity: 'warning',
        })
    }
  }

  const served = new Set<Operation['stability']>(stability)
  const matcher = compileMatcher(operations)
  const catalogue = {
    /** Every operation, also those whose stability class is not served. */
    operations: operations as readonly Operation[],
    permissions: compilePermissions(data.permissions, namedPermissions),
    operation: (id: string): Operation | null => byId.get(id) ?? null,
    isServed: (operation: Operation): boolean => served.has(operation.stability),
    /** Finds the operation of a request over raw segments. `unserved` names a known operation that is switched off. */
    match(
      method: string,
      segments: readonly string[],
    ): Operation | Mismatch | { why: 'unserved'; operation: Operation } {
      const found = matcher.match(method, segments)
      return isOperation(found) && !served.has(found.stability) ? { why: 'unserved', operation: found } : found
    },
    /** What does for one organization what an operation does for the whole enterprise; null when there is no such one, or it is not served. */
    ofOneOrganization({ id, scope }: Operation): Operation | null {
      const own = scope === 'enterprise' ? byId.get(id.replace(/^((?:beta\.)?)ent\./, '$1org.')) : undefined
      return own === undefined || own.scope !== 'organization' || !served.has(own.stability) ? null : own
    },
    /** For a `/v1` or `/v2` path: the v3 operation that replaces it; null where there is none. */
    replacementOf: replacementFinder(data.legacy, byId, (method, segments) => {
      const found = matcher.match(method, segments)
      return isOperation(found) && served.has(found.stability) ? found : null
    }),
  }
  return { diagnostics: diagnostics as readonly Diagnostic[], catalogue }
}

function errorAt(extension: Extension, entry: ExtensionOperation, message: string): Diagnostic {
  return { file: extension.file, line: entry.position.line, column: entry.position.column, severity: 'error', message }
}

/** No request can distinguish two operations with the same shape. */
function shapeOf(operation: Operation): string {
  return `${operation.method} ${operation.template.replaceAll(/\{[^}]*\}/g, '{}')}`
}

function segmentsOf(path: string): string[] {
  return path.slice(1).split('/')
}

/**
 * Fields that need further permissions. Related fields, like those that name a user to act for, count wherever one of
 * them is documented, because the upstream may read the others, too.
 */
function conditionsOf({ conditional }: OperationEntry, data: CatalogueData): readonly ConditionalPermission[] {
  if (conditional.length === 0) return conditional
  const asked = new Set(conditional.flatMap(({ when, permission }) => (when === 'present' ? [permission] : [])))
  const kin = data.operations
    .flatMap((entry) => entry.conditional)
    .filter(({ when, permission }) => when === 'present' && asked.has(permission))
  const byField = new Map([...conditional, ...kin].map((condition) => [condition.field, condition]))
  return [...byField.values()]
}

function fromData(entry: OperationEntry, index: number, conditional: readonly ConditionalPermission[]): Operation {
  const segments = segmentsOf(entry.path)
  return {
    index,
    id: entry.id,
    method: entry.method,
    template: entry.path,
    segments,
    summary: entry.summary,
    scope: entry.scope,
    open: entry.scope === 'any',
    permission: entry.permission,
    permissionBasis: entry.permission === null ? null : entry.permission_basis,
    alternatives: entry.alternatives,
    conditional,
    fields: entry.body.map(({ name }) => name),
    parameters: entry.query,
    organizations: {
      segment: segments.indexOf('{org_id}'),
      query: entry.organizations.query,
      body: entry.organizations.body,
    },
    slashes: entry.slashes,
    cache: entry.cache,
    invalidates: entry.invalidates,
    stability: entry.stability,
    sensitive: entry.sensitive,
    paginated: entry.paginated,
    streaming: entry.streaming,
    answer: entry.answer,
    idempotent: entry.idempotent,
    source: 'catalogue',
  }
}

function fromExtension(entry: ExtensionOperation, index: number, file: string): Operation {
  const { path, served, position: _position, ...said } = entry
  const segments = segmentsOf(path)
  return {
    ...said,
    index,
    template: path,
    segments,
    summary: '',
    open: false,
    permissionBasis: entry.permission === null ? null : 'documented',
    alternatives: [],
    conditional: [],
    fields: [],
    parameters: [],
    organizations: { segment: segments.indexOf('{org_id}'), query: [], body: [] },
    // Operations of extension files are served, because an operator listed them, unless the file says otherwise.
    stability: served ? 'stable' : 'unreviewed',
    sensitive: false,
    paginated: false,
    streaming: false,
    source: file,
  }
}

function replacementFinder(
  legacy: readonly LegacyEntry[],
  byId: ReadonlyMap<string, Operation>,
  servedBy: (method: string, segments: readonly string[]) => Operation | null,
): (method: string, segments: readonly string[]) => Operation | null {
  const matchers = new Map<string, { matcher: Matcher; replacement: Operation }[]>()
  for (const entry of legacy) {
    const replacement = entry.replacement === null ? undefined : byId.get(entry.replacement)
    if (replacement === undefined) continue
    const old: Operation = {
      ...replacement,
      method: entry.method,
      template: entry.path,
      segments: segmentsOf(entry.path),
    }
    const list = matchers.get(entry.method) ?? []
    list.push({ matcher: compileMatcher([old]), replacement })
    matchers.set(entry.method, list)
  }
  return (method, segments) => {
    if (segments[0] !== 'v1' && segments[0] !== 'v2' && segments[0] !== 'beta') return null
    const list = matchers.get(method === 'HEAD' ? 'GET' : method) ?? []
    const known = list.find(({ matcher }) => isOperation(matcher.match(method, segments)))?.replacement
    return known ?? successorOf(segments, (successor) => servedBy(method, successor))
  }
}

/** Of an old path that no page lists: the operation that has the same path in a newer version, there or below an organization. */
function successorOf(
  [version = '', ...segments]: readonly string[],
  operationAt: (segments: readonly string[]) => Operation | null,
): Operation | null {
  const rest = version === 'beta' ? segments.slice(1) : segments
  const places = rest[0] === 'enterprise' ? [[]] : [[], ['organizations', 'org']]
  for (const place of places)
    for (const newer of ['v3', 'v3beta1']) {
      const found = operationAt([newer, ...place, ...rest])
      if (found !== null) return found
    }
  return null
}
