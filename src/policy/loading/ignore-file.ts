// `.gatewayignore`: files below the policy folder that are not policies, one pattern a line. Pure.

import type { Diagnostic } from '../../config/diagnostics.ts'

export const ignoreFileName = '.gatewayignore'

/** Whether a path below the policy folder (with `/`) is named. `isFolder`: a pattern that ends in `/` names folders only. */
export type IgnoreRule = (path: string, isFolder: boolean) => boolean

/**
 * Reads the file. `#` begins a comment line. `*` stands for any characters but `/`, `?` for one, `**` as a whole segment for
 * any folders. A pattern without `/` names files and folders anywhere, one with `/` starts at the policy folder, and a
 * final `/` names folders only. What stands in a named folder is named with it, because nobody looks into it.
 */
export function readIgnoreFile(
  file: string,
  text: string,
): { ignores: IgnoreRule; diagnostics: readonly Diagnostic[] } {
  const rules: IgnoreRule[] = []
  const diagnostics: Diagnostic[] = []
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const pattern = line.trim()
    if (pattern === '' || pattern.startsWith('#')) continue
    const fault = faultOf(pattern)
    if (fault === null) rules.push(compilePattern(pattern))
    else
      diagnostics.push({ file, line: index + 1, column: line.indexOf(pattern) + 1, severity: 'error', message: fault })
  }
  return { ignores: (path, isFolder) => rules.some((rule) => rule(path, isFolder)), diagnostics }
}

function faultOf(pattern: string): string | null {
  if (pattern.startsWith('!'))
    return `"${pattern}": patterns only name what is left out; write one that does not match the file instead of "!"`
  if (/[[\]{}\\]/.test(pattern)) return `"${pattern}": only *, ? and ** are patterns here; write one line for each name`
  if (pattern.split('/').some((segment) => segment === '.' || segment === '..'))
    return `"${pattern}": patterns are relative to the policy folder and hold no "." or ".." segment`
  if (/^[*/]+$/.test(pattern)) return `"${pattern}" would leave out every policy: name the files that are none`
  return null
}

function compilePattern(pattern: string): IgnoreRule {
  const foldersOnly = pattern.endsWith('/')
  const bare = pattern.replace(/^\/|\/$/g, '')
  const anywhere = !pattern.replace(/\/$/, '').includes('/')
  const source = bare
    .split('/')
    .map((segment, index, all) => segmentSource(segment, index === all.length - 1))
    .join('')
  const expression = new RegExp(`^${anywhere ? '(?:.*/)?' : ''}${source}$`, 's')
  return (path, isFolder) => (isFolder || !foldersOnly) && expression.test(path)
}

function segmentSource(segment: string, isLast: boolean): string {
  if (segment === '**') return isLast ? '.+' : '(?:.+/)?'
  const source = segment
    .replace(/[.+^$()|]/g, '\\$&')
    .replace(/\*+/g, '[^/]*')
    .replace(/\?/g, '[^/]')
  return isLast ? source : `${source}/`
}
