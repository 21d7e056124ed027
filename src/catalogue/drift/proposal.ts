// An extension file for the operations that a published document has and the catalogue lacks. Whatever cannot be judged from
// the document alone is proposed as known and refused (`served: false`). Pure.

import { quoted } from '../../config/units.ts'
import type { Catalogue } from '../catalogue.ts'
import { pathProblem } from '../extension.ts'
import type { Scope } from '../operation.ts'
import type { PublishedOperation } from './published.ts'

export interface ProposedOperation {
  readonly id: string
  readonly method: string
  readonly path: string
  readonly scope: Scope
  readonly permission: string | null
  readonly served: boolean
  /** Why it is not served; null when it is. */
  readonly why: string | null
  readonly summary: string
}

export interface Proposal {
  /** By the operation they are for; a text says why there is none. */
  readonly operations: ReadonlyMap<PublishedOperation, ProposedOperation | string>
  /** The extension file. */
  readonly text: string
}

/** Proposes an extension of the catalogue. The file loads without errors; only what states its permission is served. */
export function propose(operations: readonly PublishedOperation[], catalogue: Catalogue): Proposal {
  const taken = new Set(catalogue.operations.map(({ id }) => id))
  const siblings = new Set(operations.map(({ path }) => path))
  const proposed = new Map<PublishedOperation, ProposedOperation | string>()
  for (const operation of operations) {
    const made = proposalFor(operation, siblings, taken)
    if (typeof made !== 'string') taken.add(made.id)
    proposed.set(operation, made)
  }
  return { operations: proposed, text: fileOf([...proposed]) }
}

function proposalFor(
  operation: PublishedOperation,
  siblings: ReadonlySet<string>,
  taken: ReadonlySet<string>,
): ProposedOperation | string {
  const path = withOrganization(operation.path)
  const problem = pathProblem(path)
  if (problem !== null) return problem
  const scope: Scope = /^\/[^/]+\/organizations\/\{org_id\}(\/|$)/.test(path) ? 'organization' : 'enterprise'
  const why = whyNotServed(operation, scope)
  return {
    id: freeId(idOf(operation, siblings), taken),
    method: operation.method,
    path,
    scope,
    permission: operation.permission?.name ?? null,
    served: why === null,
    why,
    summary: operation.summary,
  }
}

/** The segment behind `organizations` is the organization, however the document calls it: the fence goes by this name. */
function withOrganization(path: string): string {
  return path.replace(/\/organizations\/\{(?!org_id\})[^}]*\}/, '/organizations/{org_id}')
}

/** A name of a field that holds an organization id. */
const organizationName = /^(?:.*_)?org(?:anization)?_?ids?$/i

function whyNotServed({ permission, query, body }: PublishedOperation, scope: Scope): string | null {
  if (permission === null) return 'the document states no permission'
  if (permission.name === null) return 'the document says that any credential will do'
  const names = [...query.keys(), ...(body?.members?.keys() ?? [])].filter((name) => organizationName.test(name))
  const [named] = names
  if (named !== undefined)
    return `${quoted(named)} may name an organization, and an extension file cannot hold it to the fence`
  return scope === 'enterprise' && body !== null && body.members === null
    ? 'the document does not say what the body holds, which may name organizations'
    : null
}

/** `/v3beta1/organizations/{org_id}/reports/{id}` read: `beta.org.reports.get`, as ids of the catalogue are made. */
function idOf({ method, path, answer }: PublishedOperation, siblings: ReadonlySet<string>): string {
  const [version = '', ...rest] = path.slice(1).split('/')
  const place = rest[0] === 'organizations' ? 'org' : rest[0] === 'enterprise' ? 'ent' : word(rest[0] ?? version)
  const named = rest.slice(1).filter((segment) => !segment.startsWith('{'))
  const single = path.endsWith('}')
  const listed = answer === null || answer.form === null ? null : answer.form === 'list' || answer.has('items') === true
  const above = rest.at(-2)?.startsWith('{') === true
  // A POST on something that exists, with nothing below it, is a verb of its own: `…/sessions/{id}/archive`.
  const isVerb =
    method === 'POST' &&
    !single &&
    above &&
    rest.at(-3) !== 'organizations' &&
    ![...siblings].some((other) => other.startsWith(`${path}/{`))
  const isList = !single && (listed ?? named.at(-1)?.endsWith('s') === true)
  const verbs: Readonly<Record<string, string>> = {
    GET: isList ? 'list' : 'get',
    POST: 'create',
    PUT: 'replace',
    PATCH: 'update',
    DELETE: single ? 'delete' : 'clear',
  }
  const verb = isVerb ? [] : [verbs[method] ?? method.toLowerCase()]
  const stage = /^v\d+$/.test(version) ? [] : [/^v\d+beta\d*$/.test(version) ? 'beta' : word(version)]
  return [...stage, place, ...named.map(word), ...verb].join('.')
}

function word(segment: string): string {
  const plain = segment
    .toLowerCase()
    .replaceAll(/[^a-z0-9_-]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
  return plain === '' ? 'x' : plain
}

function freeId(id: string, taken: ReadonlySet<string>): string {
  if (!taken.has(id)) return id
  for (let count = 2; ; count += 1) if (!taken.has(`${id}-${count}`)) return `${id}-${count}`
}

function fileOf(proposed: readonly (readonly [PublishedOperation, ProposedOperation | string])[]): string {
  const head = [
    '# Operations of the published API that the catalogue does not have. Proposed by `devin-gateway drift`; review each one.',
    '# To use the file, list it under `catalogue.files` and restart the gateway.',
    '# An entry with `served: false` is refused to everybody: find out its permission, then remove that line.',
  ]
  const entries = proposed.map(([published, made]) =>
    typeof made === 'string'
      ? `  # Not proposed: ${published.method} ${oneLine(published.path)}: ${oneLine(made)}`
      : entryOf(made),
  )
  const list = proposed.some(([, made]) => typeof made !== 'string') ? 'operations:' : 'operations: []'
  return `${[...head, list, ...entries].join('\n')}\n`
}

function entryOf({ id, method, path, scope, permission, why, summary }: ProposedOperation): string {
  return [
    ...(summary === '' ? [] : [`  # ${oneLine(summary)}`]),
    `  - id: ${id}`,
    `    method: ${method}`,
    `    path: ${JSON.stringify(path)}`,
    `    scope: ${scope}`,
    `    permission: ${permission === null ? 'null' : JSON.stringify(permission)}`,
    ...(why === null ? [] : [`    served: false # ${oneLine(why)}`]),
  ].join('\n')
}

/** A text of the document on one line of a comment, without anything that is not seen. */
function oneLine(text: string): string {
  return text
    .replaceAll(/[^\P{C}]+|\s+/gu, ' ')
    .trim()
    .slice(0, 160)
}
