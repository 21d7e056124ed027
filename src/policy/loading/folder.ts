// Lists a policy folder: the policy files, and all others, which would otherwise be overlooked.

import type { Dirent, Stats } from 'node:fs'
import { readdir, readFile, realpath, stat } from 'node:fs/promises'
import { basename, join, relative, sep } from 'node:path'
import { isUtf8 } from 'node:buffer'
import { fileProblem, type Diagnostic } from '../../config/diagnostics.ts'
import { nearest } from '../../config/nearest.ts'
import { errorCode, whyUnreadable } from '../../config/values/file-errors.ts'
import { isBeingWritten } from '../../keys/sources/file-source.ts'
import { ignoreFileName, readIgnoreFile, type IgnoreRule } from './ignore-file.ts'

/** More entries than this are not a policy folder but a mistake in `policies:`. */
const maxEntries = 10_000
const maxFileBytes = 4 * 1024 * 1024

export interface PolicyFolder {
  /** The YAML files, sorted. */
  readonly files: readonly string[]
  /** Files that are neither policies nor named in the ignore file, sorted; secret files of the keys may be among them. */
  readonly others: readonly string[]
  /** What cannot be read, and mistakes in the ignore file. */
  readonly diagnostics: readonly Diagnostic[]
}

/** Looks at everything below a folder, symbolic links followed. Null when the folder itself cannot be read. */
export async function listPolicyFolder(directory: string): Promise<PolicyFolder | null> {
  const root = await realpath(directory).catch(() => null)
  if (root === null || (await readdir(root).catch(() => null)) === null) return null
  const ignoreFile = join(directory, ignoreFileName)
  const text = await readFile(ignoreFile, 'utf8').catch((error: unknown) =>
    errorCode(error) === 'ENOENT' ? '' : { problem: whyUnreadable(error) },
  )
  const { ignores, diagnostics } = readIgnoreFile(ignoreFile, typeof text === 'string' ? text : '')
  const walk: Walk = { directory, ignores, files: [], others: [], diagnostics: [...diagnostics], entries: 0 }
  if (typeof text !== 'string')
    walk.diagnostics.push(fileProblem(ignoreFile, `the file cannot be read: ${text.problem}`))
  await walkFolder(walk, directory, [root])
  if (walk.entries > maxEntries) {
    const message = `more than ${maxEntries} files lie here: is this the policy folder? Point \`policies\` at the one that holds the policies`
    walk.diagnostics.push(fileProblem(directory, message))
  }
  return {
    files: walk.files.sort(),
    others: walk.others.sort(),
    diagnostics: walk.diagnostics,
  }
}

/** Every file whose change can change the policy set, or make it readable. */
export async function watchedPolicyFiles(directory: string): Promise<readonly string[]> {
  const folder = await listPolicyFolder(directory)
  if (folder === null) return [directory]
  const unreadable = folder.diagnostics.map(({ file }) => file)
  return [join(directory, ignoreFileName), ...folder.files, ...folder.others, ...unreadable]
}

interface Walk {
  readonly directory: string
  readonly ignores: IgnoreRule
  readonly files: string[]
  readonly others: string[]
  readonly diagnostics: Diagnostic[]
  entries: number
}

/** `parents`: real paths of the folders on the way here, so that a link back to one of them ends. */
async function walkFolder(walk: Walk, folder: string, parents: readonly string[]): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) =>
    whyUnreadable(error, 'folder'),
  )
  if (typeof entries === 'string') {
    walk.diagnostics.push(fileProblem(folder, `the folder cannot be read: ${entries}`))
    return
  }
  for (const entry of entries) {
    walk.entries += 1
    if (walk.entries > maxEntries) return
    await lookAt(walk, folder, entry, parents)
  }
}

async function lookAt(walk: Walk, folder: string, entry: Dirent, parents: readonly string[]): Promise<void> {
  const { name } = entry
  const path = join(folder, name)
  if (folder === walk.directory && name === ignoreFileName) return
  const place = relative(walk.directory, path).replaceAll(sep, '/')
  const found = entry.isSymbolicLink() ? await stat(path).catch(() => null) : entry
  const isFolder = found?.isDirectory() === true
  if (walk.ignores(place, isFolder) || isNoPolicy(name, found)) return
  if (found === null)
    walk.diagnostics.push(
      fileProblem(path, 'the link leads to nothing that can be read: remove it, or create what it names'),
    )
  else if (isFolder && name.startsWith('.')) walk.others.push(path)
  else if (isFolder) {
    const real = await realpath(path).catch(() => path)
    if (parents.includes(real)) walk.diagnostics.push(fileProblem(path, 'the link leads back to a folder above it'))
    else await walkFolder(walk, path, [...parents, real])
  } else if (!found.isFile()) walk.diagnostics.push(fileProblem(path, 'this is no regular file; remove it'))
  else if (/\.ya?ml$/.test(name) && !name.startsWith('.')) walk.files.push(path)
  else walk.others.push(path)
}

/**
 * Generations of a mounted config map (`..data`, `..2026_…`), whose files have links beside them; a secret file that is being
 * written; a Git checkout's data.
 */
function isNoPolicy(name: string, found: Pick<Stats, 'isDirectory'> | null): boolean {
  if (name === '.git' || isBeingWritten(name)) return true
  return name.startsWith('..') && (found === null || found.isDirectory())
}

/** The text of a policy file, or a sentence about why it has none. */
export async function readPolicyText(file: string): Promise<{ text: string } | { problem: string }> {
  try {
    if ((await stat(file)).size > maxFileBytes) return { problem: `the file is larger than ${maxFileBytes} bytes` }
    const bytes = await readFile(file)
    return isUtf8(bytes) ? { text: bytes.toString('utf8') } : { problem: 'the file is not UTF-8 text' }
  } catch (error) {
    return { problem: `the file cannot be read: ${whyUnreadable(error)}` }
  }
}

const knownNames = ['guardrails.yaml', 'invariants.yaml', 'keys.yaml', 'limits.yaml', 'devin-users.yaml']

/** Why a file that is no policy refuses the set, with the nearest name that would be read. */
export function strayFile(file: string): Diagnostic {
  const name = basename(file)
  const valid = nearestValidName(name)
  const hint = valid === null ? '.' : `; did you mean "${valid}"?`
  const reason =
    name === ignoreFileName
      ? 'only the one at the top of the policy folder counts'
      : 'names of policy files end in .yaml or .yml and do not begin with a dot'
  return fileProblem(
    file,
    `this is not read: ${reason}${hint} Rename it, move it away, or name it in ${ignoreFileName}`,
  )
}

function nearestValidName(name: string): string | null {
  const shown = name.replace(/^[.#]+/, '')
  const yaml = /^(.+?)\.ya?ml(?![a-z])/i.exec(shown)
  if (yaml !== null && yaml[1] !== undefined) return `${yaml[1]}.yaml`
  const dot = shown.lastIndexOf('.')
  const [stem, extension] = dot > 0 ? [shown.slice(0, dot), shown.slice(dot + 1)] : [shown, '']
  if (nearest(extension, ['yaml', 'yml']) !== null) return `${stem}.yaml`
  return nearest(`${stem}.yaml`, knownNames)
}
