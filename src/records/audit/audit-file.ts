// The file under an audit log, compared before every write with how this process left it.

import { closeSync, fstatSync } from 'node:fs'
import { syncFolder } from '../../config/values/writing.ts'
import { dirname } from 'node:path'
import type { ChainHead } from './chain.ts'
import { headFileOf, readHead, writeHead } from './head-file.ts'
import { isSameFile, openTarget, standardDescriptor, statOf, type OpenTarget } from '../target.ts'
import { emptyTail, readAuditTail, type AuditTail } from './audit-tail.ts'

type FileState = Omit<OpenTarget, 'descriptor'>

export interface AuditFileOptions {
  /** `stdout`, `stderr`, or the path of a file. */
  readonly target: string
  /** Resolves when everything written to the descriptor before the call is on the disk. */
  readonly sync: (descriptor: number) => Promise<void>
  /**
   * The file is not as this process left it. `tail`: what it ends with; null where that cannot be read, as of a pipe. `hasGrown`:
   * it is the same file, and others have written to it.
   */
  readonly onOther: (tail: AuditTail | null, hasGrown: boolean) => void
  /** Called with a sentence when lines are gone: the file was deleted or cut short. */
  readonly onTrouble: (text: string) => void
}

interface OpenFile {
  readonly descriptor: number
  /**
   * The last sync. They run one after the other, and none succeeds after a failure: what the system has forgotten then it
   * does not complain of twice.
   */
  synced: Promise<void>
}

export class AuditFile {
  readonly #options: AuditFileOptions
  #file: OpenFile | null = null
  #left: FileState | null = null
  readonly #headFile: string | null

  constructor(options: AuditFileOptions) {
    this.#options = options
    this.#headFile = standardDescriptor(options.target) === null ? headFileOf(options.target) : null
  }

  /** A descriptor of the target as it is now. Throws the error of the file system, and for a chain that was changed. */
  open(): number {
    const { target } = this.#options
    if (standardDescriptor(target) !== null) return openTarget(target).descriptor
    const now = statOf(target)
    if (this.#file !== null && this.#isAsLeft(now)) return this.#file.descriptor
    this.#reportLoss(now)
    void this.release()
    const { descriptor, ...state } = openTarget(target)
    // Not every file system can; what the file holds is synced with each entry.
    this.#file = {
      descriptor,
      synced: state.size === 0 ? syncFolder(dirname(target)).catch(() => {}) : Promise.resolve(),
    }
    if (!this.#isAsLeft(state)) this.#goOnIn(state)
    return descriptor
  }

  /** So many bytes were written. */
  wrote(bytes: number): void {
    const left = this.#left
    if (left !== null && left.size !== null) this.#left = { place: left.place, size: left.size + bytes }
  }

  /** Brings to the disk what was written; null where nothing has to be. `isOpen`: whether the file is still in use then. */
  sync(): { readonly done: Promise<void>; readonly isOpen: () => boolean } | null {
    const file = this.#file
    if (file === null || this.#left === null || this.#left.size === null) return null
    file.synced = file.synced.then(() => this.#options.sync(file.descriptor))
    return { done: file.synced, isOpen: () => file === this.#file }
  }

  /** Resolves when the file is closed, after its last sync; the next use opens the path anew. Never rejects. */
  async release(): Promise<void> {
    const file = this.#file
    this.#file = null
    if (file === null) return
    await file.synced.catch(() => {})
    try {
      closeSync(file.descriptor)
    } catch {
      // Every line counts as written only after its sync: there is nothing left to lose.
    }
  }

  /** The head that was noted last, for a file that was moved away while no process ran. */
  notedHead(): ChainHead {
    return this.#headFile === null ? emptyTail.head : readHead(this.#headFile)
  }

  noteHead(head: ChainHead): void {
    if (this.#headFile !== null) writeHead(this.#headFile, head)
  }

  #isAsLeft(now: FileState | null): boolean {
    const left = this.#left
    return left !== null && now !== null && isSameFile(left.place, now.place) && left.size === now.size
  }

  #reportLoss(now: FileState | null): void {
    const [file, left] = [this.#file, this.#left]
    if (file === null || left === null) return
    const { target, onTrouble } = this.#options
    const isShorter = isSameFile(left.place, now?.place ?? null) && (now?.size ?? 0) < (left.size ?? 0)
    if (isShorter) onTrouble(`${target} was cut short by somebody else; audit lines in it are lost`)
    else if (fstatSync(file.descriptor).nlink === 0)
      onTrouble(`${target} was deleted; the chain goes on in a new file under its name`)
  }

  #goOnIn({ place, size }: FileState): void {
    const { target, onOther } = this.#options
    const tail = size === null ? null : size === 0 ? emptyTail : readAuditTail(target, size)
    const left = this.#left
    onOther(tail, left !== null && isSameFile(left.place, place) && (size ?? 0) >= (left.size ?? 0))
    this.#left = { place, size }
  }
}
