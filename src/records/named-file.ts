// A log target that stays open for long: opened on demand, and again when its file was moved or deleted.

import { closeSync, fstatSync } from 'node:fs'
import { endsWithLineFeed, isSameFile, openTarget, standardDescriptor, statOf, type FileIdentity } from './target.ts'

export interface NamedFileOptions {
  /** `stdout`, `stderr`, or the path of a file. */
  readonly target: string
  /** How often the file is looked for under its name. */
  readonly checkMs: number
  /** Others move it away as they should: it is let go of at once, and nothing is said. */
  readonly isRotated: boolean
  /** Called with a sentence when the file was deleted, replaced or shortened. */
  readonly onTrouble: (text: string) => void
  /** The target was opened. `isSame`: it is the file from before. `endsMidLine`: its last line was cut off. */
  readonly onOpen: (isSame: boolean, endsMidLine: boolean) => void
}

export class NamedFile {
  readonly #options: NamedFileOptions
  #descriptor: number | null = null
  #place: FileIdentity | null = null
  /** What this process knows of its length; others may have added to it. */
  #size: number | null = null
  #hasWritten = false
  #checkedAtMs = 0
  #isMissing = false

  constructor(options: NamedFileOptions) {
    this.#options = options
  }

  /** The descriptor to write to. Throws the error of the file system. */
  open(): number {
    if (this.#descriptor !== null && !this.#isReplaced(this.#descriptor)) return this.#descriptor
    this.release()
    const { target, onOpen } = this.#options
    const { descriptor, place, size } = openTarget(target)
    const isSame = isSameFile(this.#place, place)
    this.#descriptor = descriptor
    this.#place = place
    this.#size = size
    this.#hasWritten = false
    this.#isMissing = false
    onOpen(isSame, size !== null && size > 0 && !endsWithLineFeed(target, size))
    return descriptor
  }

  /** So many bytes were written to the descriptor. */
  wrote(bytes: number): void {
    if (this.#size === null) return
    this.#size += bytes
    this.#hasWritten = true
  }

  /** Whether lines were written since the file was last looked for, or it was not there. */
  get isUnchecked(): boolean {
    return this.#hasWritten || this.#isMissing
  }

  /** Closes the file; a standard stream stays open. */
  release(): void {
    const descriptor = this.take()
    try {
      if (descriptor !== null) closeSync(descriptor)
    } catch {
      // What cannot even be closed has already been reported.
    }
  }

  /** Hands over the open file, to be closed by the caller; null for a standard stream and when none is open. */
  take(): number | null {
    const descriptor = this.#descriptor
    this.#descriptor = null
    return standardDescriptor(this.#options.target) === null ? descriptor : null
  }

  /** Checks from time to time whether the file is still there under its name, and reports what happened to it. */
  #isReplaced(descriptor: number): boolean {
    const { target, checkMs, isRotated, onTrouble } = this.#options
    const nowMs = performance.now()
    if (this.#size === null || nowMs - this.#checkedAtMs < checkMs) return false
    this.#checkedAtMs = nowMs
    this.#hasWritten = false
    const named = statOf(target)
    if (named !== null && isSameFile(this.#place, named.place)) {
      this.#isMissing = false
      if (named.size !== null && named.size < this.#size)
        onTrouble(`${target} was cut short by somebody else; lines in it are lost`)
      this.#size = named.size
      return false
    }
    const isDeleted = fstatSync(descriptor).nlink === 0
    if (!isDeleted && isRotated) return true
    // A rotation moves the file first and then asks to reopen it, so only a file that stays gone is reported.
    if (!isDeleted && !this.#isMissing) {
      this.#isMissing = true
      return false
    }
    const what = isDeleted ? 'was deleted' : 'was moved or replaced'
    onTrouble(`${target} ${what} without a reload; lines go to a new file under its name`)
    return true
  }
}
