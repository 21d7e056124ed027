// Writes whole lines to one target (stdout, stderr or a file): gathered in memory, and handed to the system in one
// synchronous write that never waits for a reader. What a target does not take stays in bounded memory and is tried again.

import { codeInWords, codeOrText } from '../config/values/file-errors.ts'
import { close as closeFile, fsync, writeSync } from 'node:fs'
import { flushAtExit, forgetAtExit } from './exit-flush.ts'
import { LineBuffer } from './line-buffer.ts'
import { NamedFile } from './named-file.ts'
import { moveTarget, standardDescriptor } from './target.ts'

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
  /** How often a file is looked for under its name, so that one that was deleted or replaced is noticed. */
  readonly checkMs?: number
  /** Files are rotated by this process or another one: a moved one is no trouble. */
  readonly isRotated?: boolean
  /** Memory for lines that wait; lines beyond it are lost. */
  readonly maxWaitingBytes?: number
  /** Longest single write; it ends at the end of a line, or is one line. */
  readonly maxWriteBytes?: number
}

/** The health of a target. `lost` counts lines since start, `error` is the code of the trouble there is now. */
export interface WriterHealth {
  readonly healthy: boolean
  readonly lost: number
  readonly error: string | null
}

interface Closing {
  readonly resolve: () => void
  readonly reject: (error: Error) => void
  readonly deadline: NodeJS.Timeout
}

const defaults = {
  flushMs: 50,
  retryMs: 1000,
  closeMs: 5000,
  checkMs: 1000,
  isRotated: false,
  maxWaitingBytes: 8 * 1024 * 1024,
  maxWriteBytes: 1024 * 1024,
}

/** Lines are written early when more than this waits. */
const usualBytes = 64 * 1024

/** A pipe that is full is asked again after so long: its reader is slow, and that is no trouble. */
const fullPipeMs = 5

/** The writer of one target. `write` never blocks and never throws; loss is counted and reported. */
export class LineWriter {
  readonly #options: Required<LineWriterOptions>
  readonly #lines = new LineBuffer()
  readonly #file: NamedFile
  #needsLineFeed = false
  #timer: NodeJS.Timeout | null = null
  #look: NodeJS.Timeout | null = null
  #error: string | null = null
  #lost = 0
  #lostReported = 0
  #closing: Closing | null = null
  #closed: Promise<void> | null = null

  constructor(options: LineWriterOptions) {
    this.#options = { ...defaults, ...options }
    this.#file = new NamedFile({
      ...this.#options,
      onOpen: (isSame, endsMidLine) => {
        if (this.#lines.isInsideLine && isSame) return
        // Another file gets the whole line, and half a line that somebody else has left gets its end.
        this.#lines.restartLine()
        this.#needsLineFeed = endsMidLine
      },
    })
    flushAtExit(this)
    // Opens the target, so that a wrong path shows at start and not with the first line.
    this.#drain()
  }

  /** Takes one line, which must end in a line feed. False: it was not taken and is lost. */
  write(line: string): boolean {
    if (this.#closed === null && this.#lines.waiting + line.length > usualBytes) this.flush()
    const isTooMuch = this.#lines.waiting + line.length > this.#options.maxWaitingBytes
    if (this.#closed !== null || isTooMuch) {
      this.#lost += 1
      if (this.#closed !== null) return false
      this.#error ??= 'lines come faster than they are taken'
      this.#schedule(this.#options.retryMs)
      return false
    }
    this.#lines.append(line)
    this.#schedule(this.#error === null ? this.#options.flushMs : this.#options.retryMs)
    return true
  }

  /** Writes what waits, as far as the target takes it without waiting. A target that fails is left to its next attempt. */
  flush(): void {
    if (this.isHeldUp) this.#drain()
  }

  /** Whether lines wait for a target that is full; one that fails is not waited for. */
  get isHeldUp(): boolean {
    return this.#error === null && this.#lines.waiting > 0
  }

  health(): WriterHealth {
    return { healthy: this.#error === null, lost: this.#lost, error: this.#error }
  }

  /** Opens the path anew, after a log was moved away. */
  reopen(): void {
    if (standardDescriptor(this.#options.target) !== null || this.#closed !== null) return
    this.#file.release()
    this.#drain()
  }

  /**
   * Moves the file to another name, between two lines, and goes on in a new one. False: the file cannot be written now. Throws the
   * error of the file system.
   */
  rotate(to: string): boolean {
    if (this.#error !== null || this.#closed !== null || this.#lines.isInsideLine) return false
    moveTarget(this.#options.target, to)
    this.reopen()
    return true
  }

  /** Writes what is left and closes the target. Rejects with a sentence when it fails or takes longer than `closeMs`. */
  close(): Promise<void> {
    this.#closed ??= new Promise<void>((resolve, reject) => {
      const deadline = setTimeout(() => this.#giveUp(this.#error ?? 'it takes too long'), this.#options.closeMs)
      this.#closing = { resolve, reject, deadline }
      this.#drain()
    })
    return this.#closed
  }

  #drain(): void {
    if (this.#isOver()) return
    try {
      const descriptor = this.#file.open()
      if (this.#needsLineFeed) this.#file.wrote(writeSync(descriptor, '\n'))
      this.#needsLineFeed = false
      while (this.#lines.waiting > 0) {
        const bytes = writeSync(descriptor, this.#lines.next(this.#options.maxWriteBytes))
        this.#lines.took(bytes)
        this.#file.wrote(bytes)
      }
    } catch (error) {
      if (codeOrText(error) === 'EAGAIN') this.#schedule(fullPipeMs)
      else this.#failed(codeOrText(error))
      return
    }
    this.#recovered()
    this.#finish()
    if (this.#file.isUnchecked) this.#lookSoon()
  }

  /** The last lines before a silence may have gone to a file that was taken away. */
  #lookSoon(): void {
    this.#look ??= setTimeout(() => {
      this.#look = null
      this.#drain()
    }, this.#options.checkMs).unref()
  }

  #schedule(afterMs: number): void {
    if (this.#timer !== null) return
    this.#timer = setTimeout(() => {
      this.#timer = null
      this.#reportLoss()
      this.#drain()
    }, afterMs)
    // A writer that closes keeps the process alive by its deadline; one that is open must not.
    this.#timer.unref()
  }

  #recovered(): void {
    if (this.#error === null) return
    this.#error = null
    this.#lostReported = this.#lost
    const lost = this.#lost > 0 ? `; ${this.#lost} line(s) were lost since start` : ''
    this.#options.onTrouble(`writing to ${this.#options.target} again${lost}`)
  }

  #failed(code: string): void {
    this.#file.release()
    if (this.#error !== code) {
      this.#error = code
      const text = `cannot write to ${this.#options.target} (${codeInWords(code)}); lines wait in memory and are tried again`
      this.#options.onTrouble(text)
    }
    if (this.#closing !== null) this.#giveUp(code)
    else this.#schedule(this.#options.retryMs)
  }

  #reportLoss(): void {
    if (this.#lost === this.#lostReported) return
    this.#lostReported = this.#lost
    this.#options.onTrouble(`${this.#lost} line(s) for ${this.#options.target} were lost since start (${this.#error})`)
  }

  /** Everything is written: the moment a closing writer waits for. Its file is on the disk when `close` resolves. */
  #finish(): void {
    const closing = this.#endClosing()
    if (closing === null) return
    const descriptor = this.#file.take()
    if (descriptor === null) {
      closing.resolve()
      return
    }
    fsync(descriptor, (error) => {
      closeFile(descriptor, () => {
        // A pipe or a device cannot be synced, and need not be.
        if (error === null || error.code === 'EINVAL' || error.code === 'EROFS') closing.resolve()
        else closing.reject(this.#notWritten(0, codeOrText(error)))
      })
    })
  }

  #notWritten(lines: number, error: string): Error {
    return new Error(`${lines} line(s) could not be written to ${this.#options.target} (${error})`)
  }

  #giveUp(error: string): void {
    const closing = this.#endClosing()
    if (closing === null) return
    const lines = this.#lines.clear()
    this.#lost += lines
    this.#file.release()
    if (lines === 0) closing.resolve()
    else closing.reject(this.#notWritten(lines, error))
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
    if (this.#look !== null) clearTimeout(this.#look)
    forgetAtExit(this)
    return closing
  }
}
