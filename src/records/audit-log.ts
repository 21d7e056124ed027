// The audit stream: rare, synchronous, synced to the disk, hash-chained. What cannot be written stays queued in order,
// and the stream is unhealthy until it is; then the house refuses changes. Used by sinks.ts; the form is chain.ts's.

import { closeSync, fsyncSync, openSync, statSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { readAuditTail } from './audit-tail.ts'
import { chainLine, describeTorn, genesis, segmentEvent } from './chain.ts'
import { printable } from './mask.ts'
import { isSamePlace, openTarget, standardDescriptor } from './target.ts'
import type { AuditTail } from './audit-tail.ts'
import type { ChainHead } from './chain.ts'
import type { AuditEntry } from './entries.ts'
import type { OpenTarget, Place } from './target.ts'

export interface AuditLogOptions {
  /** `stdout`, `stderr`, or the path of a file that is appended to and created with its folders. */
  readonly target: string
  readonly nowMs: () => number
  /** Called with a sentence when writing begins to fail and when it works again. Must not throw. */
  readonly onTrouble: (text: string) => void
  /** A target that fails is tried again after so long, and with every entry. */
  readonly retryMs?: number
}

/** Rejection of `close`: entries that exist in memory only. */
export class AuditEntriesLost extends Error {
  override readonly name = 'AuditEntriesLost'
  readonly entries: readonly AuditEntry[]

  constructor(target: string, entries: readonly AuditEntry[], error: string) {
    super(
      `${entries.length} audit entr${entries.length === 1 ? 'y' : 'ies'} could not be written to ${target} (${error})`,
    )
    this.entries = entries
  }
}

/** The line that is being written; a failure in the middle of it goes on where it stopped. */
interface LineUnderWay {
  readonly bytes: Buffer
  written: number
  readonly head: ChainHead
  readonly isSeam: boolean
}

/** The file as this process left it. `size` is null for what is no regular file. */
interface LeftAt {
  readonly place: Place
  readonly size: number | null
}

/**
 * Appends to one hash chain. In a file the chain goes on over restarts; a standard stream begins a new one each start.
 * Before every write the file is compared with what was left there, so a file that was moved, replaced, shortened or
 * written to by another process is noticed and the chain continues from what is there, with a segment line that says
 * so. Two processes that write at the same instant can still fork the chain; `audit verify` shows it.
 */
export class AuditLog {
  readonly #target: string
  readonly #nowMs: () => number
  readonly #onTrouble: (text: string) => void
  readonly #retryMs: number
  readonly #queue: AuditEntry[] = []
  #head: ChainHead = { seq: 0, hash: genesis }
  #line: LineUnderWay | null = null
  #seam: Readonly<Record<string, unknown>> | null = null
  #needsLineFeed = false
  #descriptor: number | null = null
  #leftAt: LeftAt | null = null
  #error: string | null = null
  #timer: NodeJS.Timeout | null = null

  constructor({ target, nowMs, onTrouble, retryMs = 1000 }: AuditLogOptions) {
    this.#target = target
    this.#nowMs = nowMs
    this.#onTrouble = onTrouble
    this.#retryMs = retryMs
    this.#drain()
  }

  /** Writes an entry before it returns, or queues it and turns unhealthy. Never throws. Secrets in `details` are masked. */
  write(event: string, actor: string, details: Readonly<Record<string, unknown>>): void {
    const plain: unknown = printable(details)
    // A record printed is a record, unless reading it threw.
    const safe =
      typeof plain === 'object' && plain !== null ? (plain as Record<string, unknown>) : { unreadable: plain }
    this.#queue.push({ time: this.#now(), event, actor, details: safe })
    this.#drain()
  }

  /** True while every entry so far is on the disk. */
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

  /** Goes on in a new file if the old one was moved away. */
  reopen(): void {
    this.#drain()
  }

  /** Tries once more, then closes the file. Rejects with `AuditEntriesLost` when entries are left. */
  async close(): Promise<void> {
    this.#drain()
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#release()
    if (this.#queue.length > 0) throw new AuditEntriesLost(this.#target, this.#queue, this.#error ?? 'unknown error')
  }

  #now(): string {
    return new Date(this.#nowMs()).toISOString()
  }

  #drain(): void {
    try {
      const descriptor = this.#settle()
      for (let line = this.#nextLine(); line !== null; line = this.#nextLine()) this.#put(descriptor, line)
    } catch (error) {
      this.#failed(error)
      return
    }
    if (this.#error === null) return
    this.#error = null
    this.#onTrouble(`writing audit entries to ${this.#target} again`)
  }

  #failed(error: unknown): void {
    // A new attempt opens the path anew: the file may have been replaced by a good one.
    this.#release()
    const text = describe(error)
    if (this.#error !== text) {
      this.#error = text
      this.#onTrouble(
        `audit entries cannot be written to ${this.#target} (${text}); ${this.#queue.length} wait in memory`,
      )
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = null
      this.#drain()
    }, this.#retryMs).unref()
  }

  #put(descriptor: number, line: LineUnderWay): void {
    while (line.written < line.bytes.length) {
      const bytes = writeSync(descriptor, line.bytes, line.written)
      line.written += bytes
      const left = this.#leftAt
      if (left !== null && left.size !== null) this.#leftAt = { place: left.place, size: left.size + bytes }
    }
    if (this.#leftAt !== null && this.#leftAt.size !== null) fsyncSync(descriptor)
    this.#head = line.head
    if (line.isSeam) this.#seam = null
    else this.#queue.shift()
    this.#line = null
  }

  #nextLine(): LineUnderWay | null {
    if (this.#line !== null) return this.#line
    const seam =
      this.#seam === null ? null : { time: this.#now(), event: segmentEvent, actor: 'gateway', details: this.#seam }
    const entry = seam ?? this.#queue[0]
    if (entry === undefined) return null
    const { text, seq, hash } = chainLine(this.#head.hash, this.#head.seq + 1, entry)
    const bytes = Buffer.from(`${this.#needsLineFeed ? '\n' : ''}${text}\n`)
    this.#needsLineFeed = false
    this.#line = { bytes, written: 0, head: { seq, hash }, isSeam: seam !== null }
    return this.#line
  }

  /** Gives a descriptor of the target as it is now, with head and seam that fit it. */
  #settle(): number {
    const standard = standardDescriptor(this.#target)
    if (standard !== null) return standard
    if (this.#descriptor !== null && this.#isAsLeft(statOf(this.#target))) return this.#descriptor
    this.#release()
    const opened = openTarget(this.#target)
    this.#descriptor = opened.descriptor
    if (!this.#isAsLeft(opened)) this.#continueIn(opened)
    return opened.descriptor
  }

  #isAsLeft(now: LeftAt | null): boolean {
    const left = this.#leftAt
    return left !== null && now !== null && isSamePlace(left.place, now.place) && left.size === now.size
  }

  #continueIn({ place, size }: OpenTarget): void {
    const fromMemory: AuditTail = { head: this.#head, torn: [], endsMidLine: false }
    const tail = size === null ? fromMemory : size === 0 ? emptyFile : readAuditTail(this.#target, size)
    if (size === 0) syncFolder(dirname(this.#target))
    const left = this.#leftAt
    const hasGrown = left !== null && isSamePlace(left.place, place) && (size ?? 0) >= (left.size ?? 0)
    const follows = this.#head.seq > 0 && !hasGrown && tail.head.hash !== this.#head.hash
    this.#seam = seamOf(tail.torn, follows ? this.#head : null)
    this.#line = null
    this.#head = tail.head
    this.#needsLineFeed = tail.endsMidLine
    this.#leftAt = { place, size }
  }

  #release(): void {
    const descriptor = this.#descriptor
    this.#descriptor = null
    try {
      if (descriptor !== null) closeSync(descriptor)
    } catch {
      // Every line was synced before it counted as written, so closing has nothing left to lose.
    }
  }
}

const emptyFile: AuditTail = { head: { seq: 0, hash: genesis }, torn: [], endsMidLine: false }

/** What a segment line has to say: unfinished lines before it, the chain that ended in another file; null for neither. */
function seamOf(torn: readonly string[], previous: ChainHead | null): Readonly<Record<string, unknown>> | null {
  if (torn.length === 0 && previous === null) return null
  const { lines, sha256 } = describeTorn(torn)
  return {
    ...(torn.length > 0 ? { torn_lines: lines, torn_sha256: sha256 } : {}),
    ...(previous === null ? {} : { previous_seq: previous.seq, previous_hash: previous.hash }),
  }
}

function statOf(path: string): LeftAt | null {
  const status = statSync(path, { throwIfNoEntry: false })
  if (status === undefined) return null
  return { place: { device: status.dev, inode: status.ino }, size: status.isFile() ? status.size : null }
}

/** Makes the name of a new file survive a crash of the machine; not every file system can. */
function syncFolder(path: string): void {
  try {
    const descriptor = openSync(path, 'r')
    try {
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
  } catch {
    // The lines themselves are synced; only their file's name is at stake.
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error'
  return 'code' in error ? String(error.code) : error.message
}
