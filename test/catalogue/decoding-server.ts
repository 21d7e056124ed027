// The other reader of a path: a server that decodes all of it first and routes then, as many frameworks do. A literal
// goes before a parameter, and a parameter that may hold slashes takes as much as it can.

import type { Operation } from '../../src/catalogue/operation.ts'

export interface Route {
  readonly operation: Operation
  readonly parameters: Readonly<Record<string, string>>
}

/** Compares every template with the decoded path, segment by segment. `HEAD` is answered like `GET`. */
export function createDecodingServer(operations: readonly Operation[]): (method: string, path: string) => Route | null {
  return (method, path) => {
    const candidates = operations.filter((operation) => operation.method === (method === 'HEAD' ? 'GET' : method))
    return walk(candidates, decodeURIComponent(path).slice(1).split('/'), 0, {})
  }
}

function walk(
  candidates: readonly Operation[],
  path: readonly string[],
  depth: number,
  parameters: Readonly<Record<string, string>>,
): Route | null {
  const [segment, ...rest] = path
  if (segment === undefined) {
    const operation = candidates.find(({ segments }) => segments.length === depth)
    return operation === undefined ? null : { operation, parameters }
  }
  const literal = candidates.filter(({ segments }) => segments[depth] === segment)
  const byLiteral = literal.length === 0 ? null : walk(literal, rest, depth + 1, parameters)
  if (byLiteral !== null) return byLiteral
  for (const slashes of [true, false]) {
    const open = candidates.filter((operation) => {
      const name = parameterAt(operation, depth)
      return name !== null && operation.slashes.includes(name) === slashes
    })
    const name = open[0] === undefined ? null : parameterAt(open[0], depth)
    if (name === null) continue
    for (let length = slashes ? path.length : 1; length > 0; length -= 1) {
      const value = path.slice(0, length).join('/')
      const route = walk(open, path.slice(length), depth + 1, { ...parameters, [name]: value })
      if (route !== null) return route
    }
  }
  return null
}

function parameterAt({ segments }: Operation, depth: number): string | null {
  const segment = segments[depth]
  return segment?.startsWith('{') === true ? segment.slice(1, -1) : null
}
