// Makes folders, and replaces small files whole: whatever happens meanwhile, one holds the old text or the new one.

import { randomBytes } from 'node:crypto'
import { mkdirSync, statSync } from 'node:fs'
import { open, rename, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Writes beside the file, waits for the disk, and renames. Creates the folder. Rejects with Node's own error, and leaves the old text then. */
export async function replaceFile(file: string, text: string, mode: number): Promise<void> {
  const folder = dirname(file)
  makeFolder(folder)
  // Several processes may replace one file.
  const draft = `${file}.${randomBytes(6).toString('hex')}`
  try {
    const handle = await open(draft, 'wx', mode)
    try {
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(draft, file)
  } catch (error) {
    await unlink(draft).catch(() => {})
    throw error
  }
  await syncFolder(folder)
}

/** Makes the names in a folder survive a crash of the machine. Rejects with the error of the file system; not each can do it. */
export async function syncFolder(folder: string): Promise<void> {
  // Windows cannot sync a folder, and its renames are durable.
  if (process.platform === 'win32') return
  await using handle = await open(folder, 'r')
  await handle.sync()
}

/**
 * Makes a folder and those above it; throws the error of the file system. Node's own recursion never ends below a place like /proc,
 * which exists and takes no folders.
 */
export function makeFolder(folder: string, mode = 0o777): void {
  const isThere = (): boolean => statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true
  if (isThere()) return
  if (dirname(folder) !== folder) makeFolder(dirname(folder), mode)
  try {
    mkdirSync(folder, mode)
  } catch (error) {
    // Another process was quicker.
    if (!isThere()) throw error
  }
}
