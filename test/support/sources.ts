// The sources as text and their imports, for the tests that hold the structure of the code.

import { readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'

export interface Source {
  /** Path below src/, without extension. */
  readonly name: string
  /** Without comments, so that a name in a comment is no import and no call. */
  readonly code: string
  /** As it is on disk. */
  readonly text: string
}

export interface Import {
  readonly from: string
  /** As written. */
  readonly specifier: string
  readonly typesOnly: boolean
}

export const sourceRoot = join(import.meta.dirname, '..', '..', 'src')
export const testRoot = join(import.meta.dirname, '..')

/** Reads every source file below `src/`. */
export function readSources(): readonly Source[] {
  return readdirSync(sourceRoot, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .sort()
    .map((path) => {
      const text = readFileSync(join(sourceRoot, path), 'utf8')
      const code = text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/^\s*\/\/.*$/gm, '')
      return { name: path.replaceAll('\\', '/').replace(/\.ts$/, ''), code, text }
    })
}

/** Every import and re-export of a source, static and dynamic. */
export function importsOf({ name, code }: Pick<Source, 'name' | 'code'>): readonly Import[] {
  const statements = [
    ...code.matchAll(
      /^\s*(?:import|export)\b(?:\s+(?<what>(?:type\s+)?[\w*${}\s,]+?)\s+from)?\s*'(?<specifier>[^']+)'/gm,
    ),
  ]
  const calls = [
    ...code.matchAll(/\b(?:import|require|require\.resolve|import\.meta\.resolve)\(\s*'(?<specifier>[^']+)'/g),
  ]
  return [...statements, ...calls].map(({ groups }) => ({
    from: name,
    specifier: groups?.['specifier'] ?? '',
    typesOnly: isTypesOnly(groups?.['what'] ?? ''),
  }))
}

/** The source that a relative import of a TypeScript file names, as a path below src/ without extension; else null. */
export function targetOf({ from, specifier }: Import): string | null {
  if (!specifier.startsWith('.') || !specifier.endsWith('.ts')) return null
  return posix.join(posix.dirname(from), specifier).replace(/\.ts$/, '')
}

/** `type X`, `type { … }`, or a list in braces in which every name is a type. */
function isTypesOnly(what: string): boolean {
  if (/^type\s/.test(what)) return true
  const names = /^\{(?<list>[^}]*)\}$/
    .exec(what)
    ?.groups?.['list']?.split(',')
    .map((each) => each.trim())
  return names !== undefined && names.filter((each) => each !== '').every((each) => each.startsWith('type '))
}
