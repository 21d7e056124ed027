// An append-only file of changes to the ledger that survives a crash at any point: entries that wait are written as one
// frame and synced once, and the file is replaced by a snapshot when it has grown. The form is frames.ts's.

import { open, readFile, rename, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { makeFolder, syncFolder } from '../../config/values/writing.ts'
import { frameOf, readFrames } from './frames.ts'
import { Ledger, type LedgerEntry, type Snapshot } from './ledger.ts'

/** What the journal does to files, for tests that let it fail at any of them. */
export interface JournalFiles {
  /** Creates or empties a file. */
  create(path: string): Promise<Pick<FileHandle, 'write' | 'datasync' | 'close'>>
  /** The whole file; null when there is none. */
  read(path: string): Promise<Buffer | null>
  rename(from: string, to: string): Promise<void>
  /** Makes a rename in the folder last. */
  syncFolder(path: string): Promise<void>
}

export interface JournalOptions {
  readonly file: string
  /** Milliseconds since the epoch. */
  readonly now: () => number
  readonly files?: JournalFiles
  /** The file is compacted when it is larger than this and has doubled since the last time. */
  readonly compactAboveBytes?: number
}

export type Journal = Awaited<ReturnType<typeof openJournal>>

const form = { journal: 'devin-gateway budgets', form: 1 }

/** Opens or creates a journal and reads it. Rejects with a sentence about the file. */
export async function openJournal({ file, now, files = diskFiles, compactAboveBytes = 1 << 20 }: JournalOptions) {
  const waiting: { text: string; resolve: () => void; reject: (error: unknown) => void }[] = []
  let handle: Awaited<ReturnType<JournalFiles['create']>> | null = null
  let size = 0
  let compactedSize = 0
  let writing: Promise<void> | null = null
  let broken: unknown = null

  /** A snapshot beside the file, which takes its place in one step. */
  async function compact(): Promise<void> {
    const text = JSON.stringify({ ...form, snapshot: ledger.snapshot(now()) })
    const next = await files.create(`${file}.new`)
    try {
      size = compactedSize = await writeAll(next, frameOf(text), 0)
      await next.datasync()
      await files.rename(`${file}.new`, file)
      await files.syncFolder(dirname(file))
    } catch (error) {
      await next.close().catch(() => {})
      throw error
    }
    await handle?.close()
    handle = next
  }

  async function writeWaiting(): Promise<void> {
    while (waiting.length > 0 && broken === null) {
      const batch = waiting.splice(0)
      try {
        // The snapshot holds what waits already: it takes the place of writing it.
        if (size > compactAboveBytes && size > 2 * compactedSize) await compact()
        else if (handle !== null) {
          size += await writeAll(handle, frameOf(`[${batch.map(({ text }) => text).join(',')}]`), size)
          await handle.datasync()
        }
        for (const { resolve } of batch) resolve()
      } catch (error) {
        broken = error
        for (const { reject } of [...batch, ...waiting.splice(0)]) reject(error)
      }
    }
    writing = null
  }

  makeFolder(dirname(file))
  const content = await files.read(file)
  const { ledger, tornBytes } = content === null ? { ledger: new Ledger(), tornBytes: 0 } : read(content)
  // Rewrites the file, so that it holds exactly what was read, whatever a crash or a failing disk has left.
  await compact()

  return {
    /** What the file holds, and the entries that are being written. */
    ledger,
    /** How much a crash had left behind, which was dropped. */
    tornBytes,
    /** Resolves when the entry is in the ledger and on the disk. After a rejection open the journal anew: the ledger is ahead. */
    append({ id, after, steps }: LedgerEntry): Promise<void> {
      const entry: LedgerEntry = {
        id,
        after,
        steps: steps.map(({ account, endMs, reserved, spent }) => ({ account, endMs, reserved, spent })),
      }
      ledger.apply(entry)
      return new Promise((resolve, reject) => {
        if (broken !== null) {
          reject(broken instanceof Error ? broken : new Error('the journal is broken'))
          return
        }
        waiting.push({ text: JSON.stringify(entry), resolve, reject })
        // Deferred, so that entries of the same event-loop turn are synced together.
        writing ??= Promise.resolve().then(writeWaiting)
      })
    },
    /** Waits for what is being written. */
    async close(): Promise<void> {
      await writing
      broken ??= new Error('the journal is closed')
      await handle?.close()
      handle = null
    },
  }
}

function read(content: Buffer): { readonly ledger: Ledger; readonly tornBytes: number } {
  const { payloads, wholeBytes } = readFrames(content)
  const [first, ...rest] = payloads
  // A new journal gets its name when it is complete, so one without a snapshot was damaged from outside.
  if (first === undefined) throw new Error('it does not begin with a snapshot; something has cut or overwritten it')
  const begin = JSON.parse(first) as typeof form & { snapshot: Snapshot }
  if (begin.journal !== form.journal || begin.form !== form.form)
    throw new Error('it is not a journal of budgets that this version can read')
  const ledger = new Ledger(begin.snapshot)
  for (const payload of rest) for (const entry of JSON.parse(payload) as LedgerEntry[]) ledger.apply(entry)
  return { ledger, tornBytes: content.length - wholeBytes }
}

/** Writes every byte from a place on; the file system may take them in several pieces. */
async function writeAll(handle: Pick<FileHandle, 'write'>, bytes: Buffer, place: number): Promise<number> {
  let written = 0
  while (written < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, written, bytes.length - written, place + written)
    written += bytesWritten
  }
  return written
}

const diskFiles: JournalFiles = {
  create: (path) => open(path, 'w', 0o640),
  async read(path) {
    try {
      return await readFile(path)
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
      throw error
    }
  },
  rename,
  syncFolder,
}
