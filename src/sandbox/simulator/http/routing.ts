// Which operation a request names, read the way a Python server reads it: the whole path is percent-decoded first and
// matched afterwards. So an escaped slash really is a slash here, and a proxy that saw it otherwise gets found out.

import type { OperationEntry } from '../../../catalogue/data.ts'

/** The operation of a request, or the methods that its path allows. */
export type Match =
  | { readonly operation: OperationEntry; readonly parameters: Readonly<Record<string, string>> }
  | { readonly allowed: readonly string[] }

interface Route {
  readonly pattern: RegExp
  readonly names: readonly string[]
  readonly methods: Map<string, OperationEntry>
  /** Literals sort before parameters, so `sessions/insights` wins over `sessions/{devin_id}`. */
  readonly rank: string
}

/** Percent-decodes like Python's `unquote`: malformed escapes stay as they are, broken UTF-8 becomes U+FFFD. */
export function unquote(text: string): string {
  return text.replaceAll(/(?:%[0-9a-fA-F]{2})+/g, (run) => Buffer.from(run.replaceAll('%', ''), 'hex').toString('utf8'))
}

/** Compiles the routes. The function takes a decoded path; null means that no route has this shape. */
export function compileRoutes(operations: readonly OperationEntry[]): (method: string, path: string) => Match | null {
  const byPath = new Map<string, Route>()
  for (const operation of operations) {
    const route = byPath.get(operation.path) ?? compileRoute(operation)
    route.methods.set(operation.method, operation)
    byPath.set(operation.path, route)
  }
  const routes = [...byPath.values()].sort((a, b) => (a.rank < b.rank ? -1 : 1))
  return (method, path) => {
    const allowed: string[] = []
    for (const route of routes) {
      const found = route.pattern.exec(path)
      if (found === null) continue
      const operation = route.methods.get(method === 'HEAD' ? 'GET' : method)
      if (operation !== undefined) {
        return {
          operation,
          parameters: Object.fromEntries(route.names.map((name, index) => [name, found[index + 1] ?? ''])),
        }
      }
      allowed.push(...route.methods.keys())
    }
    return allowed.length === 0 ? null : { allowed }
  }
}

function compileRoute(operation: OperationEntry): Route {
  const names: string[] = []
  const segments = operation.path.split('/').map((segment) => {
    // Literals hold letters, digits and dashes only, so they need no escaping.
    if (!segment.startsWith('{')) return { rank: `0${segment}`, source: segment }
    const name = segment.slice(1, -1)
    names.push(name)
    // Parameters that may hold a slash match like the `:path` converter of Starlette.
    return operation.slashes.includes(name) ? { rank: '2', source: '(.+)' } : { rank: '1', source: '([^/]+)' }
  })
  return {
    pattern: new RegExp(`^${segments.map((segment) => segment.source).join('/')}$`, 's'),
    names,
    methods: new Map(),
    rank: segments.map((segment) => segment.rank).join('/'),
  }
}
