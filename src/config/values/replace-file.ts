// Replaces a small file whole: whatever happens meanwhile, it holds the old text or the new one.

import { randomBytes } from 'node:crypto'
import { mkdir, open, rename, unlink } from 'node:fs/promises'
import path from 'node:path'

/** Writes beside the file, waits for the disk, and renames. Creates the folder. Rejects with Node's own error, and leaves the old text then. */
export async function replaceFile(file: string, text: string, mode: number): Promise<void> {
  const folder = path.dirname(file)
  await mkdir(folder, { recursive: true })
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
  // Windows cannot sync a folder, and its renames are durable.
  if (process.platform === 'win32') return
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
