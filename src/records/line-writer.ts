// Takes whole lines for one target (stdout, stderr or a file) and writes them in batches, off the caller's path. What a
// target does not take waits in bounded memory and is tried again. Used by sinks.ts and log.ts; audit-log.ts has its own way.

import { writeSync } from 'node:fs'
import { pino } from 'pino'
import { flushAtExit, forgetAtExit } from './exit-flush.ts'
import { LineBuffer } from './line-buffer.ts'
import { linesLeft, nextChunk, resumeBatch } from './batch.ts'
import { endsWithLineFeed, isSamePlace, openTarget, standardDescriptor } from './target.ts'
import type { Batch } from './batch.ts'
import type { Place } from './target.ts'

export interface LineWriterOptions {
  /** `stdout`, `stderr`, or the path of a file that is appended to and created with its folders. */
  readonly target: string
  /** Called with a sentence when writing begins to fail, when lines are lost, and when it works again. Must not throw. */
  readonly onTrouble: (text: string) => void
  /** Lines wait at most so long before they are written. */
  readonly flushMs?: number
  /** A target that fails is tried again after so long. */
  readonly retryMs?: number
  /** How long `close` waits for a target that is slow. */
  readonly closeMs?: number
  /** Memory for lines that wait; lines beyond it are lost. */
  readonly maxWaitingBytes?: number
  /** Longest single write; it ends at the end of a line, or is one line. */
  readonly maxWriteBytes?: number
}

/** How a target does. `lost` counts lines since start, `error` is the code of the trouble there is now. */
export interface WriterHealth {
  readonly healthy: boolean
  readonly lost: number
  readonly error: string | null
}

/** Rejection of `close`: lines that could not be written any more. */
export class LinesLost extends Error {
  override readonly name = 'LinesLost'
  readonly lines: number

  constructor(target: string, lines: number, error: string) {
    super(`${lines} line(s) could not be written to ${target} (${error})`)
    this.lines = lines
  }
}

interface Closing {
  readonly resolve: () => void
  readonly reject: (error: LinesLost) => void
  readonly deadline: NodeJS.Timeout
}

type Output = ReturnType<typeof pino.destination>

// Enough lines for one write to be worth its system call.
const batchBytes = 64 * 1024
// One write ends in a turn of the event loop, and a turn can bring a thousand requests: with less, a gateway at its limit wrote
// fewer lines than it made and lost the rest.
const mostBytesInOneWrite = 1024 * 1024

const defaults = {
  flushMs: 200,
  retryMs: 1000,
  closeMs: 5000,
  maxWaitingBytes: 8 * 1024 * 1024,
  maxWriteBytes: mostBytesInOneWrite,
}

/** The writer of one target. `write` never blocks and never throws; loss is counted and told, never silent. */
export class LineWriter {
  readonly #options: Required<LineWriterOptions>
  readonly #waiting = new LineBuffer()
  #batch: Batch | null = null
  #output: Output | null = null
  #descriptor = -1
  #place: Place | null = null
  #busy = false
  #reopenWanted = false
  #timer: NodeJS.Timeout | null = null
  #error: string | null = null
  #lost = 0
  #lostReported = 0
  #closing: Closing | null = null
  #closed: Promise<void> | null = null

  constructor(options: LineWriterOptions) {
    this.#options = { ...defaults, ...options }
    flushAtExit(this)
    // Opens the target, so that a wrong path shows at start and not with the first line.
    this.#send()
  }

  /** Takes one line, which must end in a line feed. False: it was not taken and is lost. */
  write(line: string): boolean {
    const held = this.#waiting.bytes + (this.#batch === null ? 0 : this.#batch.bytes.length - this.#batch.written)
    if (this.#closed !== null) {
      this.#lost += 1
      return false
    }
    if (held + line.length > this.#options.maxWaitingBytes) {
      this.#lost += 1
      this.#error ??= 'lines come faster than they are taken'
      this.#schedule(this.#options.retryMs)
      return false
    }
    this.#waiting.append(line)
    if (this.#error !== null) this.#schedule(this.#options.retryMs)
    else if (this.#waiting.bytes >= batchBytes) this.#send()
    else this.#schedule(this.#options.flushMs)
    return true
  }

  health(): WriterHealth {
    return { healthy: this.#error === null, lost: this.#lost, error: this.#error }
  }

  /** Opens the path anew, after a log was moved away; what is just being written still goes to the old file. */
  reopen(): void {
    if (standardDescriptor(this.#options.target) !== null || this.#closed !== null) return
    this.#reopenWanted = this.#busy
    if (this.#busy) return
    this.#drop()
    this.#send()
  }

  /** Writes what is left and closes the target. Rejects with `LinesLost` when it fails or takes longer than `closeMs`. */
  close(): Promise<void> {
    this.#closed ??= new Promise<void>((resolve, reject) => {
      const deadline = setTimeout(() => this.#giveUp(this.#error ?? 'it takes too long'), this.#options.closeMs)
      this.#closing = { resolve, reject, deadline }
      this.#send()
    })
    return this.#closed
  }

  /** Last resort when the process exits without `close`: writes what waits, synchronously. */
  flushNow(): void {
    if (this.#descriptor < 0) return
    try {
      const { bytes, written } = this.#batch ?? { bytes: Buffer.alloc(0), written: 0 }
      if (!this.#busy) writeSync(this.#descriptor, bytes, written)
      writeSync(this.#descriptor, this.#waiting.take())
    } catch {
      // The process is ending; nobody is left to be told.
    }
  }

  #schedule(afterMs: number): void {
    if (this.#timer !== null) return
    this.#timer = setTimeout(() => {
      this.#timer = null
      this.#reportLoss()
      this.#send()
    }, afterMs)
    // A writer that closes keeps the process alive by its deadline; one that is open must not.
    this.#timer.unref()
  }

  #send(): void {
    if (this.#busy || this.#isOver()) return
    if (this.#batch === null && this.#waiting.bytes > 0) this.#batch = { bytes: this.#waiting.take(), written: 0 }
    try {
      this.#output ??= this.#open()
      // Opening may have put a line feed in front, so the batch is looked at only now.
      if (this.#batch === null) return this.#idle()
      this.#busy = true
      // With contentMode 'buffer' it takes bytes; its type knows text only.
      this.#output.write(nextChunk(this.#batch, this.#options.maxWriteBytes) as unknown as string)
    } catch (error) {
      this.#failed(error)
    }
  }

  #written(): void {
    this.#busy = false
    if (this.#isOver()) return this.#drop()
    if (this.#batch !== null && this.#batch.written >= this.#batch.bytes.length) this.#batch = null
    const reopen = this.#reopenWanted
    if (reopen) this.#drop()
    this.#reopenWanted = false
    // Not after each piece of a long batch: a target that is too slow would be reported on and on.
    if (this.#batch === null) this.#recovered()
    const isMore = this.#batch !== null || this.#waiting.bytes >= batchBytes
    if (isMore || reopen || this.#closing !== null) this.#send()
    else if (this.#waiting.bytes > 0) this.#schedule(this.#options.flushMs)
  }

  #recovered(): void {
    if (this.#error === null) return
    this.#error = null
    this.#lostReported = this.#lost
    const lost = this.#lost > 0 ? `; ${this.#lost} line(s) were lost since start` : ''
    this.#options.onTrouble(`writing to ${this.#options.target} again${lost}`)
  }

  #failed(error: unknown): void {
    this.#busy = false
    this.#drop()
    if (this.#isOver()) return
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    if (this.#error !== code) {
      this.#error = code
      this.#options.onTrouble(
        `cannot write to ${this.#options.target} (${code}); lines wait in memory and are tried again`,
      )
    }
    if (this.#closing !== null) this.#giveUp(code)
    else this.#schedule(this.#options.retryMs)
  }

  #reportLoss(): void {
    if (this.#lost === this.#lostReported) return
    this.#lostReported = this.#lost
    this.#options.onTrouble(`${this.#lost} line(s) for ${this.#options.target} were lost since start (${this.#error})`)
  }

  /** The target is open and nothing is left to write: the moment a closing writer waits for. */
  #idle(): void {
    this.#recovered()
    const output = this.#output
    const closing = this.#endClosing()
    if (closing === null || output === null) return
    this.#drop()
    // Destroying has synced the file to the disk and closed it when it says so.
    output.once('close', closing.resolve)
    output.once('error', (error: unknown) => closing.reject(new LinesLost(this.#options.target, 0, String(error))))
  }

  #giveUp(error: string): void {
    const closing = this.#endClosing()
    if (closing === null) return
    const lines = linesLeft(this.#batch) + linesLeft({ bytes: this.#waiting.take(), written: 0 })
    this.#lost += lines
    this.#batch = null
    if (!this.#busy) this.#drop()
    if (lines === 0) closing.resolve()
    else closing.reject(new LinesLost(this.#options.target, lines, error))
  }

  /** `close` has had its result. */
  #isOver(): boolean {
    return this.#closed !== null && this.#closing === null
  }

  #endClosing(): Closing | null {
    const closing = this.#closing
    if (closing === null) return null
    this.#closing = null
    clearTimeout(closing.deadline)
    if (this.#timer !== null) clearTimeout(this.#timer)
    forgetAtExit(this)
    return closing
  }

  #open(): Output {
    const { target } = this.#options
    const { descriptor, place, size } = openTarget(target)
    const moved = !isSamePlace(this.#place, place)
    this.#place = place
    this.#descriptor = descriptor
    const endsMidLine = size !== null && size > 0 && !endsWithLineFeed(target, size)
    this.#batch = resumeBatch(this.#batch, moved, endsMidLine)
    const output = pino.destination({
      dest: descriptor,
      sync: false,
      // A write that ended inside a character goes on exactly there.
      contentMode: 'buffer',
      // A pipe whose reader is slow is asked again every 100 ms and is no trouble; only loss is.
      retryEAGAIN: () => !this.#isOver(),
    })
    // Pino's listener turns every method into a no-op after EPIPE: the descriptor would never be closed.
    output.removeAllListeners('error')
    output.on('error', (error: unknown) => this.#failed(error))
    output.on('write', (bytes: number) => {
      if (this.#batch !== null) this.#batch = { bytes: this.#batch.bytes, written: this.#batch.written + bytes }
    })
    output.on('drain', () => this.#written())
    return output
  }

  #drop(): void {
    const output = this.#output
    this.#output = null
    this.#descriptor = -1
    if (output === null) return
    for (const event of ['error', 'write', 'drain']) output.removeAllListeners(event)
    // What cannot even be closed has already been reported.
    output.on('error', () => {})
    output.destroy()
  }
}
