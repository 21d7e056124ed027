// The permission that an OpenAPI document states for an operation. OpenAPI has no place of its own for it, so extensions, the
// scopes of security requirements and descriptions are read, and only what can be read in one way counts.

import { itemsOf, objectOf, textOf, type SpecObject } from './document.ts'

export interface StatedPermission {
  /** Null: stated to be none. */
  readonly name: string | null
  /** Where it stands: the name of the extension, `security` or `description`. */
  readonly where: string
}

const extension = /^x-(?:[a-z0-9]+-)*permissions?$/i
/** Permission names of the API: words that begin with capitals, written together. */
const name = /^[A-Z][a-z]+(?:[A-Z][A-Za-z]*)*$/
const inText = /[`'"“*]*\b([A-Z][a-z]+(?:[A-Z][A-Za-z]*)+)\b[`'"”*]*\s+(?:organization\s+|enterprise\s+)?permission\b/g

/** The permission, or null where the document says none, several, or something that is no name of a permission. */
export function statedPermission(operation: SpecObject): StatedPermission | null {
  for (const [key, value] of Object.entries(operation)) {
    if (!extension.test(key)) continue
    const names = Array.isArray(value) ? itemsOf(value) : [value]
    if (names.length === 0 || value === null) return { name: null, where: key }
    const [first] = names
    if (names.length === 1 && typeof first === 'string' && name.test(first)) return { name: first, where: key }
    return null
  }
  const scopes = itemsOf(operation['security']).flatMap((each) => Object.values(objectOf(each) ?? {}).flat())
  const [scope, second] = scopes
  if (typeof scope === 'string' && second === undefined && name.test(scope)) return { name: scope, where: 'security' }
  const text = `${textOf(operation['summary']) ?? ''}\n${textOf(operation['description']) ?? ''}`
  const [only, ...others] = new Set([...text.matchAll(inText)].map((match) => match[1] ?? ''))
  return only === undefined || others.length > 0 ? null : { name: only, where: 'description' }
}
