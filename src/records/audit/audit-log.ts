// The audit stream: rare entries, hash-chained (chain.ts), each on the disk before its change is made. What cannot be
// written stays queued in order, and the stream is unhealthy until it is; then changes are refused.

import { fsync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { counted } from '../../config/plural.ts'
import { codeInWords, errorCode } from '../../config/values/file-errors.ts'
import { AuditFile } from './audit-file.ts'
import { seamOf, type AuditTail } from './audit-tail.ts'
import { chainLine, genesis, segmentEvent, type ChainHead } from './chain.ts'
import type { AuditEntry } from '../entries.ts'
import { printable } from '../mask.ts'
import { moveTarget, writeOn } from '../target.ts'

export interface AuditLogOptions {
  /** `stdout`, `stderr`, or the path of a file that is appended to and created with its folders. */
  readonly target: string
  readonly nowMs: () => number
  /** Called with a sentence when writing begins to fail and when it works again. Must not throw. */
  readonly onTrouble: (text: string) => void
  /** A target that fails is tried again after so long, and with every entry. */
  readonly retryMs?: number
  /** A disk that takes longer than this to sync counts as failed until it has. */
  readonly slowSyncMs?: number
  readonly sync?: (descriptor: number) => Promise<void>
}

interface QueuedEntry {
  readonly entry: AuditEntry
  /** Reports whether it is on the disk; the first report counts. */
  readonly settle: (isOnDisk: boolean) => void
}

/** The line that is being written; a failure in the middle of it goes on where it stopped. */
interface LineUnderWay {
  readonly bytes: Buffer
  written: number
  readonly head: ChainHead
  readonly isSeam: boolean
}

const fullPipeMs = 5
const closeTries = 1000
/**
 * Appends to one hash chain. In a file the chain goes on over restarts; a standard stream begins a new one each start.
 * Before every write the file is compared with what was left there, so a file that was moved, replaced, shortened or
 * written to by another process is noticed and the chain continues from what is there, with a segment line that says
 * so. Two processes that write at the same instant can still fork the chain; `audit verify` shows it.
 */
export class AuditLog {
  readonly #options: Required<AuditLogOptions>
  readonly #queue: QueuedEntry[] = []
  #head: ChainHead = { seq: 0, hash: genesis }
  /** As `#head`, of what is on the disk. */
  #durable: ChainHead = { seq: 0, hash: genesis }
  #line: LineUnderWay | null = null
  #seam: Readonly<Record<string, unknown>> | null = null
  #needsLineFeed = false
  readonly #file: AuditFile
  #error: string | null = null
  #timer: NodeJS.Timeout | null = null

  constructor(options: AuditLogOptions) {
    this.#options = { retryMs: 1000, slowSyncMs: 10_000, sync: promisify(fsync), ...options }
    this.#file = new AuditFile({ ...this.#options, onOther: (tail, hasGrown) => this.#goOnFrom(tail, hasGrown) })
    this.#drain()
  }

  /**
   * Writes an entry before it returns, or queues it and turns unhealthy. Resolves with true when the entry is on the disk,
   * with false when it cannot be brought there now. Never rejects. Secrets in `details` are masked.
   */
  write(event: string, actor: string, details: Readonly<Record<string, unknown>>): Promise<boolean> {
    const plain: unknown = printable({ actor, details })
    // A record printed is a record, unless reading it threw.
    const safe =
      typeof plain === 'object' && plain !== null
        ? (plain as Pick<AuditEntry, 'actor' | 'details'>)
        : { actor: 'unreadable', details: { unreadable: plain } }
    return new Promise((settle) => {
      this.#queue.push({ entry: { time: this.#now(), event, ...safe }, settle })
      this.#drain()
    })
  }

  /** False while an entry is not written, and while the disk does not sync. */
  healthy(): boolean {
    return this.#error === null && this.#queue.length === 0
  }

  /** The code or sentence of the trouble there is now. */
  error(): string | null {
    return this.#error
  }

  /** Number and hash of the last line written; to be noted elsewhere, because a cut-off end shows only against it. */
  head(): ChainHead {
    return this.#head
  }

  /** The same of the last line that is on the disk: what a crash of the machine cannot take back. */
  durableHead(): ChainHead {
    return this.#durable
  }

  /** Goes on in a new file if the old one was moved away. */
  reopen(): void {
    this.#drain()
  }

  /** Moves the file to another name; the chain goes on in a new one. False: an entry waits. Throws the error of the file system. */
  rotate(to: string): boolean {
    if (!this.healthy()) return false
    moveTarget(this.#options.target, to)
    this.reopen()
    return true
  }

  /** Tries once more, or while a pipe is full, then closes the file. Rejects with a sentence when entries are left. */
  async close(): Promise<void> {
    this.#drain()
    for (let tries = 0; tries < closeTries && this.#error === null && this.#queue.length > 0; tries++) {
      await delay(fullPipeMs)
      this.#drain()
    }
    if (this.#timer !== null) clearTimeout(this.#timer)
    await this.#file.release()
    if (this.#queue.length === 0) return
    const lost = counted(this.#queue.length, 'audit entry', 'audit entries')
    throw new Error(`${lost} could not be written to ${this.#options.target} (${this.#error ?? 'unknown error'})`)
  }

  #now(): string {
    return new Date(this.#options.nowMs()).toISOString()
  }

  #drain(): void {
    const written: QueuedEntry[] = []
    let failure: unknown = null
    try {
      const descriptor = this.#file.open()
      for (let line = this.#nextLine(); line !== null; line = this.#nextLine()) {
        this.#put(descriptor, line)
        if (!line.isSeam) written.push(...this.#queue.splice(0, 1))
      }
    } catch (error) {
      failure = error
    }
    if (written.length > 0 || (failure === null && this.#error !== null)) this.#bringToDisk(written)
    if (failure === null) return
    const text = describe(failure)
    // A pipe that is full has a slow reader, and that is no trouble.
    if (text === 'EAGAIN') this.#retry(fullPipeMs)
    else this.#failed(text)
  }

  /** Away from the event loop: a disk may take long, and only those wait who have something to record. */
  #bringToDisk(entries: readonly QueuedEntry[]): void {
    const head = this.#head
    const sync = this.#file.sync()
    const tell = (isOnDisk: boolean): void => {
      for (const { settle } of entries) settle(isOnDisk)
    }
    if (sync === null) {
      this.#isDurable(head)
      tell(true)
      this.#recovered()
      return
    }
    const { slowSyncMs } = this.#options
    const slow = setTimeout(() => {
      tell(false)
      this.#trouble(`the disk has not synced it within ${slowSyncMs / 1000} seconds`)
    }, slowSyncMs).unref()
    sync.done.then(
      () => {
        clearTimeout(slow)
        this.#isDurable(head)
        tell(true)
        if (sync.isOpen()) this.#recovered()
      },
      (error: unknown) => {
        clearTimeout(slow)
        tell(false)
        if (sync.isOpen()) this.#failed(describe(error))
      },
    )
  }

  #isDurable(head: ChainHead): void {
    if (head.seq < this.#durable.seq) return
    this.#durable = head
    this.#file.noteHead(head)
  }

  #recovered(): void {
    if (this.#error === null || this.#queue.length > 0) return
    this.#error = null
    this.#options.onTrouble(`writing audit entries to ${this.#options.target} again`)
  }

  #failed(text: string): void {
    // A new attempt opens the path anew: the file may have been replaced by a good one.
    void this.#file.release()
    for (const { settle } of this.#queue) settle(false)
    this.#trouble(text)
    this.#retry(this.#options.retryMs)
  }

  #retry(afterMs: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null
      this.#drain()
    }, afterMs).unref()
  }

  #trouble(text: string): void {
    if (this.#error === text) return
    this.#error = text
    this.#options.onTrouble(
      `audit entries cannot be written to ${this.#options.target} (${codeInWords(text)}); ${counted(this.#queue.length, 'waits', 'wait')} in memory`,
    )
  }

  #put(descriptor: number, line: LineUnderWay): void {
    while (line.written < line.bytes.length) {
      const bytes = writeOn(descriptor, line.bytes, line.written)
      line.written += bytes
      this.#file.wrote(bytes)
    }
    this.#head = line.head
    if (line.isSeam) this.#seam = null
    this.#line = null
  }

  #nextLine(): LineUnderWay | null {
    if (this.#line !== null) return this.#line
    const seam =
      this.#seam === null ? null : { time: this.#now(), event: segmentEvent, actor: 'gateway', details: this.#seam }
    const entry = seam ?? this.#queue[0]?.entry
    if (entry === undefined) return null
    const { text, seq, hash } = chainLine(this.#head.hash, this.#head.seq + 1, entry)
    const bytes = Buffer.from(`${this.#needsLineFeed ? '\n' : ''}${text}\n`)
    this.#needsLineFeed = false
    this.#line = { bytes, written: 0, head: { seq, hash }, isSeam: seam !== null }
    return this.#line
  }

  /** The chain continues from the file's end, or in an empty file from where it stood; a segment line explains a break. */
  #goOnFrom(tail: AuditTail | null, hasGrown: boolean): void {
    const known = this.#head.seq === 0 ? this.#file.notedHead() : this.#head
    const isEmpty = tail !== null && tail.head.seq === 0
    const head = tail === null ? this.#head : isEmpty ? known : tail.head
    const follows = known.seq > 0 && !hasGrown && tail !== null && tail.head.hash !== known.hash
    // A file that was there at the start is the chain itself, whatever was noted.
    const isOther = follows && (isEmpty || this.#head.seq > 0)
    this.#seam = seamOf(tail?.torn ?? [], isOther ? known : null)
    this.#line = null
    this.#head = head
    if (!isEmpty) this.#durable = head
    this.#needsLineFeed = tail?.endsMidLine ?? false
  }
}

function describe(error: unknown): string {
  return errorCode(error) ?? (error instanceof Error ? error.message : 'unknown error')
}
