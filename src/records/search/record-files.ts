// The files of one record stream: the one that is written, and those that a rotation has moved beside it.

import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { rotatedAtMs } from '../rotation/archive.ts'
import { withoutLinks } from '../target.ts'

export function isCompressed(file: string): boolean {
  return /\.(gz|zst|xz|bz2)$/.test(file)
}

/**
 * The file and those that a rotation has moved beside it, the newest first. What is being compressed stands there as it was, too.
 * Rejects where the folder cannot be read.
 */
export async function recordFilesOf(file: string): Promise<readonly string[]> {
  const real = withoutLinks(file)
  const [folder, name] = [dirname(real), basename(real)]
  const stem = name.replace(/\.[a-z]+$/, '')
  const names = (await readdir(folder)).filter(
    (each) =>
      !each.endsWith('.part') &&
      (each === name || each.startsWith(`${name}.`) || (each.startsWith(`${stem}-`) && each !== name)),
  )
  const found = await Promise.all(
    names.map(async (each) => {
      const path = join(folder, each)
      const stats = await stat(path).catch(() => null)
      const endMs =
        each === name ? Number.POSITIVE_INFINITY : (rotatedAtMs(each.slice(name.length + 1)) ?? stats?.mtimeMs ?? 0)
      return { path, isFile: stats?.isFile() === true, endMs }
    }),
  )
  const files = found.filter(({ isFile }) => isFile)
  const paths = new Set(files.map(({ path }) => path))
  return (
    files
      // Between its compression and its deletion a file is there twice.
      .filter(({ path }) => !isCompressed(path) || !paths.has(path.replace(/\.\w+$/, '')))
      .toSorted((a, b) => b.endMs - a.endMs)
      .map(({ path }) => path)
  )
}
