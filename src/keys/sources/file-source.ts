// A secret in a file. A new value is written beside it and renamed, so that readers see the old one or the new one whole.

import { randomBytes } from 'node:crypto'
import { open, realpath, rename, rm, stat, type FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { errorCode, whyUnreadable } from '../../config/values/file-errors.ts'
import { syncFolder } from '../../config/values/writing.ts'
import { mostBytes, SourceFault, withoutFinalBreak, type SecretSource, type SourceFaultKind } from './source.ts'

/** The source for one file, given by its absolute path. */
export function fileSource(file: string): SecretSource {
  const place = `the file ${file}`
  return {
    place,
    async read() {
      // The reading of a pipe that nobody writes to never ends, and holds a thread.
      if ((await stat(file).catch(() => null))?.isFIFO() === true)
        throw new SourceFault('wrong', `${place} cannot be read: it is a pipe; name a file that keeps the key`)
      const text = await readBounded(file).catch((error: unknown) => {
        throw faultOf(error, `${place} cannot be read`)
      })
      if (text !== null) return { text: withoutFinalBreak(text), version: null }
      throw new SourceFault('wrong', `${place} is too long for a key: it is larger than ${mostBytes / 1024} KiB`)
    },
    async write(text, signal) {
      await replace(file, text, signal).catch((error: unknown) => {
        throw faultOf(error, `${place} cannot be written`)
      })
    },
  }
}

/** Whether a file of this name is a new value that is being written, or that a crash has left. */
export function isBeingWritten(name: string): boolean {
  return /^\.\..+\.[0-9a-f]{12}\.new$/.test(name)
}

/** The text of a file, or null for one that is too long. */
async function readBounded(file: string): Promise<string | null> {
  const handle = await open(file, 'r')
  try {
    const buffer = Buffer.alloc(mostBytes + 1)
    let length = 0
    for (;;) {
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length)
      length += bytesRead
      if (length > mostBytes) return null
      if (bytesRead === 0) return buffer.toString('utf8', 0, length)
    }
  } finally {
    await handle.close()
  }
}

async function replace(file: string, text: string, signal: AbortSignal): Promise<void> {
  // A link stays one: what it leads to is replaced.
  const target = await realpath(file).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return file
    throw error
  })
  const before = await stat(target).catch(() => null)
  if (before?.isDirectory() === true) throw Object.assign(new Error('it is a directory'), { code: 'EISDIR' })
  const content = before !== null && !(await endsWithBreak(target)) ? text : `${text}\n`
  const beside = path.join(path.dirname(target), `..${path.basename(target)}.${randomBytes(6).toString('hex')}.new`)
  try {
    const handle = await open(beside, 'wx', 0o600)
    try {
      await handle.writeFile(content)
      if (before !== null) await giveOwner(handle, before)
      await handle.sync()
    } finally {
      await handle.close()
    }
    signal.throwIfAborted()
    await rename(beside, target)
  } catch (error) {
    await rm(beside, { force: true }).catch(() => {})
    throw error
  }
  // Not every file system can, and the value is in its place.
  await syncFolder(path.dirname(target)).catch(() => {})
}

interface Ownership {
  readonly uid: number
  readonly gid: number
  readonly mode: number
}

/** Whoever could read the old file, and nobody else, can read the new one. */
async function giveOwner(handle: FileHandle, { uid, gid, mode }: Ownership): Promise<void> {
  const mine = await handle.stat()
  if (mine.uid !== uid || mine.gid !== gid) await handle.chown(uid, gid)
  await handle.chmod(mode & 0o7777)
}

async function endsWithBreak(file: string): Promise<boolean> {
  return (await readBounded(file))?.endsWith('\n') !== false
}

function faultOf(error: unknown, what: string): SourceFault {
  const code = errorCode(error)
  if (code === 'ABORT_ERR' || code === null) return new SourceFault('unavailable', `${what}: it took too long`)
  return new SourceFault(kinds[code] ?? 'unavailable', `${what}: ${whyUnreadable(error)}`)
}

/** A disk that is full, or does not answer, may come back. */
const kinds: Readonly<Record<string, SourceFaultKind>> = {
  ENOENT: 'absent',
  ENOTDIR: 'absent',
  EACCES: 'denied',
  EPERM: 'denied',
  EROFS: 'denied',
  EISDIR: 'wrong',
  ELOOP: 'wrong',
  ENAMETOOLONG: 'wrong',
}
