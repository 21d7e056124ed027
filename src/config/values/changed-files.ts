// Notices that files have changed: of those that are read at the start only, an operator has to know.

import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'

/** Remembers what files hold now. Returns what names those that hold something else by then, or cannot be read any more. */
export async function rememberFiles(files: readonly string[]): Promise<() => Promise<readonly string[]>> {
  const first = await Promise.all(files.map(digestOf))
  return async () => {
    const now = await Promise.all(files.map(digestOf))
    return files.filter((_, index) => now[index] !== first[index])
  }
}

/** Of the content; empty for a file that cannot be read. A digest, because some of the files hold secrets. */
async function digestOf(file: string): Promise<string> {
  return await readFile(file).then(
    (content) => createHash('sha256').update(content).digest('hex'),
    () => '',
  )
}
