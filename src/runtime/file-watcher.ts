// Watches files by polling, which survives mounted config maps, editors that rename and network disks.

import { stat } from 'node:fs/promises'

/** Files, and how what they hold is read. */
export interface WatchedFiles<Value> {
  readonly files: () => Promise<readonly string[]>
  /** Files that reading has found out about; only ever added to. */
  readonly found: ReadonlySet<string>
  readonly read: () => Promise<Value>
  /** By default `usualPace`. */
  readonly pace?: FilePace | undefined
}

/** In milliseconds. */
export interface FilePace {
  readonly look: number
  /** A change counts when the files have held still for this long: a copy or an editor may be half done. */
  readonly still: number
  /** A reload on demand means that the files are complete; it only waits for a write in progress. */
  readonly stillOnDemand: number
}

/** What reading came to, and the signature of the files it read. */
export interface ReadFiles<Value> {
  readonly outcome: { readonly value: Value } | { readonly error: unknown }
  readonly signature: string
}

export interface FileWatcher<Result> {
  /** Reads now, whether or not anything changed. Readings never overlap; a second call waits for the first. */
  reload(actor: string): Promise<Result>
  close(): void
}

export interface FileWatcherOptions<Value, Result> {
  readonly watched: WatchedFiles<Value>
  /** Of the files when they were first read. */
  readonly signature: string
  /** Puts what was read in use, or refuses it and leaves everything as it was. */
  readonly take: (outcome: ReadFiles<Value>['outcome'], actor: string, onDemand: boolean) => Result | Promise<Result>
  /** Whether the same files have to be read again later. */
  readonly isDeferred: (result: Result) => boolean
}

/** The files kept changing for so long that no state of them could be read. */
export class StillChanging extends Error {
  override readonly name = 'StillChanging'
}

export const usualPace: FilePace = { look: 1000, still: 500, stillOnDemand: 100 }
const triesOnDemand = 100

/** Reads the files in one state of them: again when they changed meanwhile. */
export async function readInOneState<Value>(watched: WatchedFiles<Value>): Promise<ReadFiles<Value>> {
  const { stillOnDemand } = watched.pace ?? usualPace
  for (let tries = 0; tries < triesOnDemand; tries += 1) {
    const read = await readIfStill(watched, await sign(watched))
    if (read !== null) return read
    await wait(stillOnDemand)
  }
  return { outcome: { error: new StillChanging() }, signature: '' }
}

export function watchFiles<Value, Result>(options: FileWatcherOptions<Value, Result>): FileWatcher<Result> {
  const { watched, take, isDeferred } = options
  const pace = watched.pace ?? usualPace
  let seen = options.signature
  /** A change was found and has to settle before it is read. */
  let pending: string | null = null
  let running: Promise<unknown> = Promise.resolve()
  let timer: NodeJS.Timeout | null = null
  let closed = false

  function oneAtATime<T>(work: () => Promise<T>): Promise<T> {
    const result = running.then(work)
    running = result.catch(() => {})
    return result
  }

  async function takeRead({ outcome, signature }: ReadFiles<Value>, actor: string, onDemand: boolean): Promise<Result> {
    const result = await take(outcome, actor, onDemand)
    if (!isDeferred(result)) seen = signature
    return result
  }

  async function onDemand(actor: string): Promise<Result> {
    let before = await sign(watched)
    await wait(pace.stillOnDemand)
    for (let tries = 0; tries < triesOnDemand; tries += 1) {
      const now = await sign(watched)
      const read = now === before ? await readIfStill(watched, now) : null
      if (read !== null) return await takeRead(read, actor, true)
      before = now
      await wait(pace.stillOnDemand)
    }
    return await take({ error: new StillChanging() }, actor, true)
  }

  async function look(): Promise<void> {
    const now = await sign(watched)
    if (now === seen) pending = null
    else if (now !== pending) pending = now
    else {
      const read = await readIfStill(watched, now)
      if (read !== null) await takeRead(read, 'file watch', false)
      pending = read === null ? await sign(watched) : null
    }
  }

  function schedule(): void {
    if (closed) return
    const next = (): Promise<void> =>
      oneAtATime(look)
        .catch(() => {})
        .finally(schedule)
    timer = setTimeout(() => void next(), pending === null ? pace.look : pace.still).unref()
  }

  schedule()
  return {
    reload: (actor) => oneAtATime(() => onDemand(actor)),
    close() {
      closed = true
      if (timer !== null) clearTimeout(timer)
    },
  }
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))

/** Null when the files are not, or no longer, what the signature says. */
async function readIfStill<Value>(watched: WatchedFiles<Value>, signature: string): Promise<ReadFiles<Value> | null> {
  const known = [...watched.found]
  const outcome = await watched.read().then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  )
  if ((await sign(watched, known)) !== signature) return null
  const foundNow = [...watched.found].slice(known.length)
  return { outcome, signature: [signature, ...(await Promise.all(foundNow.map(signatureOf)))].join('\n') }
}

async function sign<Value>({ files, found }: WatchedFiles<Value>, known = [...found]): Promise<string> {
  return (await Promise.all([...(await files()), ...known].map(signatureOf))).join('\n')
}

/** Identity, size and times of a file, as text; or that it is missing. */
async function signatureOf(file: string): Promise<string> {
  try {
    // The change time also tells of permissions that were mended.
    const { ino, size, mtimeMs, ctimeMs } = await stat(file)
    return `${file} ${ino} ${size} ${mtimeMs} ${ctimeMs}`
  } catch {
    return `${file} missing`
  }
}
