// A tree over raw path segments: finds the operation of a request in time proportional to its path. Pure. Literals
// win over parameters, without backtracking. A path that a server which decodes before it routes would read as
// another operation is refused, so that a request can never be judged as one thing and carried out as another.

import type { Operation } from './operation.ts'

interface Node {
  readonly literals: Map<string, Node>
  parameter: Node | null
  /** By method; `HEAD` is answered by the entry of `GET`. */
  readonly operations: Map<string, Entry>
}

interface Entry {
  readonly operation: Operation
  /** Decoded paths that another operation with a parameter that may hold slashes would also match. Mostly empty. */
  readonly rivals: RegExp[]
}

/** Why no operation was found. `ambiguous` is a refusal of the path itself, the others of the operation. */
export type Mismatch =
  | { readonly why: 'path' }
  | { readonly why: 'method'; readonly methods: readonly string[] }
  | { readonly why: 'ambiguous'; readonly segment: string }

export type MatchResult = Operation | Mismatch

export function isOperation(match: MatchResult): match is Operation {
  return 'id' in match
}

const escapedSlash = /%2f/i

export interface Matcher {
  /** `segments` are the raw, still escaped segments of the path; their escapes are well-formed. */
  match(method: string, segments: readonly string[]): MatchResult
}

/** Compiles operations into the tree. Throws for two operations with the same method and shape. */
export function compileMatcher(operations: readonly Operation[]): Matcher {
  const root = createNode()
  for (const operation of operations) {
    let node = root
    for (const segment of operation.segments) node = descend(node, segment)
    const rivals = operations.filter((other) => other !== operation && areRivals(other, operation)).map(decodedPattern)
    node.operations.set(operation.method, { operation, rivals })
  }
  return { match: (method, segments) => match(root, method, segments) }
}

function createNode(): Node {
  return { literals: new Map(), parameter: null, operations: new Map() }
}

function descend(node: Node, segment: string): Node {
  if (isParameter(segment)) return (node.parameter ??= createNode())
  const known = node.literals.get(segment)
  if (known !== undefined) return known
  const created = createNode()
  node.literals.set(segment, created)
  return created
}

function match(root: Node, method: string, segments: readonly string[]): MatchResult {
  let node = root
  // The first segment that holds an escaped slash.
  let slashed = -1
  for (let index = 0; index < segments.length; index++) {
    // The index is below length, so the fallback is never taken.
    const segment = segments[index] ?? ''
    const literal = node.literals.get(segment)
    if (literal !== undefined) {
      node = literal
      continue
    }
    if (segment.includes('%')) {
      const decoded = decodeURIComponent(segment)
      const [first = ''] = decoded.split('/', 1)
      if (node.literals.has(first)) return { why: 'ambiguous', segment }
      if (decoded.includes('/') && slashed === -1) slashed = index
    }
    if (node.parameter === null) return slashed === -1 ? { why: 'path' } : { why: 'ambiguous', segment }
    node = node.parameter
  }
  const entry = node.operations.get(method === 'HEAD' ? 'GET' : method)
  if (entry !== undefined) return confirm(entry, segments, slashed)
  if (slashed !== -1) return { why: 'ambiguous', segment: segments[slashed] ?? '' }
  return node.operations.size === 0 ? { why: 'path' } : { why: 'method', methods: [...node.operations.keys()] }
}

/**
 * The operation, unless an escaped slash is not allowed there, or a server that decodes first could see another
 * operation.
 */
function confirm({ operation, rivals }: Entry, segments: readonly string[], slashed: number): MatchResult {
  if (slashed !== -1) {
    const stray = segments.findIndex((segment, index) => escapedSlash.test(segment) && !mayHoldSlash(operation, index))
    if (stray !== -1) return { why: 'ambiguous', segment: segments[stray] ?? '' }
  }
  if (rivals.length > 0) {
    const decoded = segments.map(decodeURIComponent).join('/')
    if (rivals.some((rival) => rival.test(decoded))) return { why: 'ambiguous', segment: segments.at(-1) ?? '' }
  }
  return operation
}

function mayHoldSlash(operation: Operation, index: number): boolean {
  return operation.slashes.includes((operation.segments[index] ?? '').slice(1, -1))
}

/** Only parameters that may hold slashes make two shapes meet; either of the two may have one. */
function areRivals(a: Operation, b: Operation): boolean {
  return (a.slashes.length > 0 && mayClaim(a, b)) || (b.slashes.length > 0 && mayClaim(b, a))
}

/** Whether some path of `operation` could, decoded, be one of `greedy`, up to whose slash-holding parameter both agree. */
function mayClaim(greedy: Operation, operation: Operation): boolean {
  if (greedy.method !== operation.method) return false
  const first = greedy.segments.findIndex((_, index) => mayHoldSlash(greedy, index))
  return greedy.segments.slice(0, first + 1).every((segment, index) => {
    const own = operation.segments[index]
    // A literal wins over the other's parameter on every server.
    return own !== undefined && (isParameter(segment) ? isParameter(own) : isParameter(own) || own === segment)
  })
}

/**
 * The path of this operation as a server that decodes first reads it. Parameters that may hold slashes match
 * greedily.
 */
function decodedPattern(operation: Operation): RegExp {
  const parts = operation.segments.map((segment, index) => {
    if (!isParameter(segment)) return segment.replaceAll(/[^A-Za-z0-9_-]/g, String.raw`\$&`)
    return mayHoldSlash(operation, index) ? '.+' : '[^/]+'
  })
  return new RegExp(`^${parts.join('/')}$`, 's')
}

function isParameter(segment: string): boolean {
  return segment.startsWith('{')
}
