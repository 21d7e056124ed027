// Watches files by polling and replaces a value whole when they have changed. Polling survives mounted config maps,
// editors that rename and network disks, where file events do not.

import { stat } from 'node:fs/promises'

/** What a reload came to. `deferred`: refused for a passing reason that has nothing to do with the files. */
export type ReloadResult = 'replaced' | 'unchanged' | 'refused' | 'deferred'

export interface Reloader {
  /** Loads at once, whether or not anything changed. Reloads never overlap; a second call waits for the first. */
  reload(actor: string): Promise<ReloadResult>
  close(): void
}

export interface ReloaderOptions {
  /** Files that make up the value at the moment. */
  readonly files: () => Promise<readonly string[]>
  /** Loads and swaps, or refuses and leaves everything as it was. Never rejects. */
  readonly load: (actor: string) => Promise<ReloadResult>
  readonly everyMs: number
}

/** Starts watching. A change counts once the files have held still for a moment, so that a half-written set is not read. */
export async function createReloader(options: ReloaderOptions): Promise<Reloader> {
  let seen = await signatureOf(await options.files())
  let pending: string | null = null
  let running: Promise<ReloadResult> = Promise.resolve('unchanged')

  function reload(actor: string): Promise<ReloadResult> {
    running = running.then(() => options.load(actor))
    return running
  }

  async function look(): Promise<void> {
    const current = await signatureOf(await options.files())
    if (current === seen) {
      pending = null
    } else if (current === pending) {
      // What was deferred is tried again as long as the files differ from what is in force.
      if ((await reload('file watch')) !== 'deferred') seen = current
      pending = null
    } else {
      pending = current
    }
  }

  let timer: NodeJS.Timeout | null = null
  let closed = false
  function schedule(): void {
    if (closed) return
    // A first sight of a change is confirmed soon; otherwise the usual pace.
    timer = setTimeout(
      () =>
        void look()
          .catch(() => {})
          .finally(schedule),
      pending === null ? options.everyMs : Math.min(100, options.everyMs),
    )
    timer.unref()
  }
  schedule()
  return {
    reload,
    close() {
      closed = true
      if (timer !== null) clearTimeout(timer)
    },
  }
}

/** Identity, size and time of each file, as text; a missing file is part of it. */
async function signatureOf(files: readonly string[]): Promise<string> {
  const parts = await Promise.all(
    files.map(async (file) => {
      try {
        // The change time also tells of permissions that were mended.
        const { ino, size, mtimeMs, ctimeMs } = await stat(file)
        return `${file} ${ino} ${size} ${mtimeMs} ${ctimeMs}`
      } catch {
        return `${file} missing`
      }
    }),
  )
  return parts.join('\n')
}
