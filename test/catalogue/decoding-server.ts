// The other readers of a path: servers that decode all of it first and route then, as many frameworks do. A literal goes
// before a parameter, and a parameter that may hold slashes takes as much as it can. Where a parameter of both kinds could
// stand, servers differ in which they try first.

import type { Operation } from '../../src/catalogue/operation.ts'

export interface Route {
  readonly operation: Operation
  readonly parameters: Readonly<Record<string, string>>
}

/** Which kind of parameter a server tries first. */
export type Preference = 'slashes' | 'segments'

export type DecodingServer = (method: string, path: string) => Route | null

/** Compares every template with the decoded path, segment by segment. `HEAD` is answered like `GET`. */
export function createDecodingServer(operations: readonly Operation[], first: Preference): DecodingServer {
  const order = first === 'slashes' ? [true, false] : [false, true]
  return (method, path) => {
    const candidates = operations.filter((operation) => operation.method === (method === 'HEAD' ? 'GET' : method))
    return walk(candidates, decodeURIComponent(path).slice(1).split('/'), 0, {}, order)
  }
}

function walk(
  candidates: readonly Operation[],
  path: readonly string[],
  depth: number,
  parameters: Readonly<Record<string, string>>,
  order: readonly boolean[],
): Route | null {
  const [segment, ...rest] = path
  if (segment === undefined) {
    const operation = candidates.find(({ segments }) => segments.length === depth)
    return operation === undefined ? null : { operation, parameters }
  }
  const literal = candidates.filter(({ segments }) => segments[depth] === segment)
  const byLiteral = literal.length === 0 ? null : walk(literal, rest, depth + 1, parameters, order)
  if (byLiteral !== null) return byLiteral
  for (const slashes of order) {
    const open = candidates.filter((operation) => {
      const name = parameterAt(operation, depth)
      return name !== null && operation.slashes.includes(name) === slashes
    })
    const name = open[0] === undefined ? null : parameterAt(open[0], depth)
    if (name === null) continue
    for (let length = slashes ? path.length : 1; length > 0; length -= 1) {
      const value = path.slice(0, length).join('/')
      const route = walk(open, path.slice(length), depth + 1, { ...parameters, [name]: value }, order)
      if (route !== null) return route
    }
  }
  return null
}

function parameterAt({ segments }: Operation, depth: number): string | null {
  const segment = segments[depth]
  return segment?.startsWith('{') === true ? segment.slice(1, -1) : null
}
