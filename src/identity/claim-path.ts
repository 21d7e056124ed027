// Where a claim stands in a token: a name, or names with dots between them. Pure.

import { isObject } from '../json/untyped.ts'
import type { Claims } from './principal.ts'

/**
 * The claim at a path, or undefined. A claim whose whole name is the path wins, so that names that hold dots, like
 * `https://corp.example/groups`, are reachable, also above a nested one (`kubernetes.io.namespace`). In a path with a
 * backslash only plain dots lead inwards: `kubernetes\\.io.namespace` is `namespace` in `kubernetes.io`, whatever else the
 * token holds.
 */
export function claimAt(claims: Claims, path: string): unknown {
  if (Object.hasOwn(claims, path)) return claims[path]
  return path.includes('\\') ? exactClaimAt(claims, path) : nestedClaimAt(claims, path)
}

function nestedClaimAt(claims: Claims, path: string): unknown {
  for (let dot = path.lastIndexOf('.'); dot > 0; dot = path.lastIndexOf('.', dot - 1)) {
    const inner = Object.hasOwn(claims, path.slice(0, dot)) ? claims[path.slice(0, dot)] : undefined
    const found = isObject(inner) ? claimAt(inner, path.slice(dot + 1)) : undefined
    if (found !== undefined) return found
  }
  return undefined
}

function exactClaimAt(claims: Claims, path: string): unknown {
  let value: unknown = claims
  for (const step of path.match(/(?:[^\\.]|\\.)+/gs) ?? []) {
    const name = step.replaceAll(/\\(.)/gs, '$1')
    if (!isObject(value) || !Object.hasOwn(value, name)) return undefined
    value = value[name]
  }
  return value
}
