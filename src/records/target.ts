// Where lines go: `stdout`, `stderr` or the path of a file.

import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readSync,
  realpathSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { errorCode } from '../config/values/file-errors.ts'
import { makeFolder } from '../config/values/writing.ts'

/** A file by what it is and not by its name, so that a moved or replaced one is noticed. */
export interface FileIdentity {
  readonly device: number
  readonly inode: number
}

export interface OpenTarget {
  readonly descriptor: number
  readonly place: FileIdentity
  /** Null for what is no regular file: standard streams, devices, named pipes. */
  readonly size: number | null
}

/** The descriptor of a standard stream, which is not ours to open or close; null for a path. */
export function standardDescriptor(target: string): 1 | 2 | null {
  return target === 'stdout' ? 1 : target === 'stderr' ? 2 : null
}

/** Opens a target for appending, with its folders. Throws the error of the file system. */
export function openTarget(target: string): OpenTarget {
  const standard = standardDescriptor(target)
  if (standard === null) makeFolder(dirname(target))
  // Non-blocking matters for named pipes: without a reader, opening one would stop the whole process.
  const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK
  const descriptor = standard ?? openSync(target, flags, 0o640)
  const status = fstatSync(descriptor)
  if (standard !== null && (status.isFIFO() || status.isSocket())) neverWait(standard)
  const size = standard === null && status.isFile() ? status.size : null
  return { descriptor, place: { device: status.dev, inode: status.ino }, size }
}

/** Node makes a pipe or socket non-blocking when it wraps it in a stream; a slow reader must not stop the process. */
function neverWait(standard: 1 | 2): void {
  void (standard === 1 ? process.stdout : process.stderr)
}

const fullPipeMs = 5
const mostWaits = 200
const never = new Int32Array(new SharedArrayBuffer(4))

/**
 * Writes bytes from a place on; returns how many were taken. A pipe that is full throws EAGAIN at the beginning of the bytes.
 * Inside them it is waited for, for a second at most: another writer would get in between.
 */
export function writeOn(descriptor: number, bytes: Buffer, from: number): number {
  for (let waits = 0; ; waits++) {
    try {
      return writeSync(descriptor, bytes, from)
    } catch (error) {
      if (errorCode(error) !== 'EAGAIN' || from === 0 || waits === mostWaits) throw error
      Atomics.wait(never, 0, 0, fullPipeMs)
    }
  }
}

/** The file itself where links lead to it; the path where nothing is there. */
export function withoutLinks(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}

/** Moves the file itself and leaves a link that leads to it. Throws the error of the file system. */
export function moveTarget(path: string, to: string): void {
  renameSync(withoutLinks(path), to)
}

/** What a path names now; null for nothing. */
export function statOf(path: string): Omit<OpenTarget, 'descriptor'> | null {
  const status = statSync(path, { throwIfNoEntry: false })
  if (status === undefined) return null
  return { place: { device: status.dev, inode: status.ino }, size: status.isFile() ? status.size : null }
}

/** False when the file's last line was cut off, by a crash or a full disk. True when the file cannot be read. */
export function endsWithLineFeed(path: string, size: number): boolean {
  const last = Buffer.from('\n')
  try {
    const descriptor = openSync(path, 'r')
    try {
      readSync(descriptor, last, 0, 1, size - 1)
    } finally {
      closeSync(descriptor)
    }
  } catch {
    // A log that may be appended to and not read is a sensible set-up; then half a line may stay glued to the next.
  }
  return last.toString() === '\n'
}

/** True when both are known and are the same file. */
export function isSameFile(a: FileIdentity | null, b: FileIdentity | null): boolean {
  return a !== null && b !== null && a.device === b.device && a.inode === b.inode
}
