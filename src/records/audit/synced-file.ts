// A file that is brought to the disk away from the event loop, and closed only when nobody syncs it any more.

import { closeSync, fsync } from 'node:fs'
import { open } from 'node:fs/promises'
import { promisify } from 'node:util'

/** Resolves when everything written to a descriptor before the call is on the disk. */
export const syncToDisk: (descriptor: number) => Promise<void> = promisify(fsync)

export class SyncedFile {
  readonly descriptor: number
  readonly #syncToDisk: (descriptor: number) => Promise<void>
  #folder: string | null = null
  #isBroken = false
  #running: Promise<void> | null = null
  #next: Promise<void> | null = null

  constructor(descriptor: number, sync: (descriptor: number) => Promise<void>) {
    this.descriptor = descriptor
    this.#syncToDisk = sync
  }

  /** The file is new: its name in this folder is brought to the disk with what is written to it. */
  bringFolderToDisk(folder: string): void {
    this.#folder = folder
  }

  /**
   * Resolves when what was written so far is on the disk. Callers who come while one sync runs share the next one. Rejects
   * for ever after a failure: what the system has forgotten then it does not complain of twice.
   */
  sync(): Promise<void> {
    if (this.#running === null) {
      this.#running = this.#syncAll().finally(() => {
        if (!this.#isBroken) this.#running = null
      })
      return this.#running
    }
    if (this.#isBroken) return this.#running
    this.#next ??= this.#running.then(() => {
      this.#next = null
      return this.sync()
    })
    return this.#next
  }

  /** Resolves when the file is closed. Never rejects: every line counts as written only after its sync. */
  async close(): Promise<void> {
    while (this.#running !== null && !this.#isBroken) await this.#running.catch(() => {})
    try {
      closeSync(this.descriptor)
    } catch {
      // There is nothing left to lose.
    }
  }

  async #syncAll(): Promise<void> {
    await this.#syncToDisk(this.descriptor).catch((error: unknown) => {
      this.#isBroken = true
      throw error
    })
    const folder = this.#folder
    this.#folder = null
    if (folder !== null) await syncFolder(folder)
  }
}

/** Makes the name of a new file survive a crash of the machine; not every file system can. */
async function syncFolder(path: string): Promise<void> {
  try {
    await using folder = await open(path, 'r')
    await folder.sync()
  } catch {
    // The lines themselves are synced; only their file's name is at stake.
  }
}
