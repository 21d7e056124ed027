// The form of a path in an extension file. Pure.

import { quoted } from '../config/units.ts'

// Segments are compared raw, so a literal may hold only characters that nobody percent-encodes.
const literal = /^[A-Za-z0-9._~!$&'()*+,=:@-]+$/
const parameter = /^\{([A-Za-z][A-Za-z0-9_-]*)\}$/

/** What is wrong with the path, in a sentence, or null. */
export function pathProblem(path: string): string | null {
  if (!path.startsWith('/')) return 'a path begins with "/"'
  if (/[?#]/.test(path)) return 'a path has no query and no fragment: remove what begins with "?" or "#"'
  if (path === '/gateway' || path.startsWith('/gateway/')) return "paths under /gateway/ are the gateway's own"
  const names = new Set<string>()
  for (const segment of path.slice(1).split('/')) {
    if (segment === '') return 'a path has no empty segments and no final "/"'
    if (segment === '.' || segment === '..') return 'a path has no "." and ".." segments'
    const name = parameter.exec(segment)?.[1]
    if (name !== undefined && names.has(name)) return `the parameter {${name}} appears twice`
    if (name !== undefined) names.add(name)
    else if (/[{}]/.test(segment))
      return `${quoted(segment)}: a parameter is a whole segment, written {name} in letters, digits, "_" and "-"`
    else if (!literal.test(segment))
      return `${quoted(segment)} holds a character that must be escaped in a path: such segments cannot be literal`
  }
  return null
}
