// A tree over raw path segments: finds the operation of a request in time proportional to its path. Pure.
// Literals win over parameters and there is no way back up: a path that leaves the tree is unknown, so a request can
// never be judged as one operation and read as another by a server that prefers the literal.

import type { Operation } from './operation.ts'

interface Node {
  readonly literals: Map<string, Node>
  parameter: Node | null
  /** By method; `HEAD` is answered by the entry of `GET`. */
  readonly operations: Map<string, Operation>
}

/** Why no operation was found. `ambiguous` is a refusal of the path itself, the others of the operation. */
export type Mismatch =
  | { readonly why: 'path' }
  | { readonly why: 'method'; readonly methods: readonly string[] }
  | { readonly why: 'ambiguous'; readonly segment: string }

export type Match = Operation | Mismatch

export function isOperation(match: Match): match is Operation {
  return 'id' in match
}

export interface Matcher {
  /** `segments` are the raw, still escaped segments of the path. */
  match(method: string, segments: readonly string[]): Match
}

/** Compiles operations into the tree. Two operations with the same method and shape are a mistake of the caller. */
export function compileMatcher(operations: readonly Operation[]): Matcher {
  const root = createNode()
  for (const operation of operations) {
    let node = root
    for (const segment of operation.segments) node = descend(node, segment)
    node.operations.set(operation.method, operation)
  }
  return { match: (method, segments) => match(root, method, segments) }
}

function createNode(): Node {
  return { literals: new Map(), parameter: null, operations: new Map() }
}

function descend(node: Node, segment: string): Node {
  if (segment.startsWith('{')) return (node.parameter ??= createNode())
  const known = node.literals.get(segment)
  if (known !== undefined) return known
  const created = createNode()
  node.literals.set(segment, created)
  return created
}

function match(root: Node, method: string, segments: readonly string[]): Match {
  let node = root
  let slashed: number[] | null = null
  for (let index = 0; index < segments.length; index++) {
    // The index is below length, so the fallback is never taken.
    const segment = segments[index] ?? ''
    const literal = node.literals.get(segment)
    if (literal !== undefined) {
      node = literal
      continue
    }
    const escaped = segment.includes('%') ? decodeURIComponent(segment) : null
    if (escaped !== null && (escapedLiteral(node, escaped) || node.parameter === null)) {
      return node.literals.has(escaped) || node.parameter !== null || escaped.includes('/')
        ? { why: 'ambiguous', segment }
        : { why: 'path' }
    }
    if (node.parameter === null) return { why: 'path' }
    node = node.parameter
    if (escaped?.includes('/') === true) (slashed ??= []).push(index)
  }
  const operation = node.operations.get(method === 'HEAD' ? 'GET' : method)
  if (operation === undefined) {
    if (slashed !== null) return { why: 'ambiguous', segment: segments[slashed[0] ?? 0] ?? '' }
    return node.operations.size === 0 ? { why: 'path' } : { why: 'method', methods: [...node.operations.keys()] }
  }
  if (slashed !== null) {
    const stray = slashed.find((index) => !mayHoldSlash(operation, index))
    if (stray !== undefined) return { why: 'ambiguous', segment: segments[stray] ?? '' }
  }
  return operation
}

/**
 * A server that decodes before it routes would read this parameter, or a part of it between escaped slashes, as one of
 * the literals that stand beside or behind it.
 */
function escapedLiteral(node: Node, decoded: string): boolean {
  if (node.literals.has(decoded)) return true
  if (!decoded.includes('/')) return false
  const behind = node.parameter
  return decoded.split('/').some((part) => node.literals.has(part) || behind?.literals.has(part) === true)
}

function mayHoldSlash(operation: Operation, index: number): boolean {
  const segment = operation.segments[index] ?? ''
  return operation.slashes.includes(segment.slice(1, -1))
}
