// Moves record files away when they are large or of yesterday, without a signal, and puts what was moved away in order: compressed, and
// deleted when it is old. Several processes may write to one file; each lets go of a moved one within a second.

import { closeSync, openSync, rmSync, statSync } from 'node:fs'
import { codeInWords, codeOrText } from '../../config/values/file-errors.ts'
import { standardDescriptor, withoutLinks } from '../target.ts'
import type { Stream } from '../entries.ts'
import { createArchive } from './archive.ts'

export interface RotationSettings {
  readonly maxBytes: number
  /** At midnight, UTC. */
  readonly daily: boolean
  readonly compress: 'gzip' | 'zstd' | 'none'
  /** Rotated files that are older are deleted; null: none is. */
  readonly keepMs: number | null
  /** The oldest of one stream are deleted beyond so much; null: none is. */
  readonly keepBytes: number | null
}

/** A file, and what moves it. The one of the audit log is evidence: compressed by gzip at most, and never deleted. */
export interface RotatedFile {
  readonly stream: Stream
  readonly path: string
  readonly rotate: MoveFile
}

/** Moves a file to another name, between two lines. False: not now. Throws the error of the file system. */
type MoveFile = (to: string) => boolean

/** The files among the targets of the streams, each once. */
export function rotatedFiles(
  targets: Readonly<Record<Stream, string>>,
  moves: Readonly<Record<Stream, MoveFile>>,
): readonly RotatedFile[] {
  const streams = ['access', 'decisions', 'audit'] as const
  return streams
    .filter((stream) => standardDescriptor(targets[stream]) === null)
    .filter((stream, index, named) => named.findIndex((other) => targets[other] === targets[stream]) === index)
    .map((stream) => ({ stream, path: targets[stream], rotate: moves[stream] }))
}

export interface RotationOptions {
  readonly settings: RotationSettings
  readonly files: readonly RotatedFile[]
  readonly nowMs: () => number
  /** Called with a sentence. Must not throw. */
  readonly onTrouble: (stream: Stream, text: string) => void
  readonly checkMs?: number
  /** How long other processes may still write to a file that was moved away. */
  readonly graceMs?: number
}

/** Starts looking after the files. */
export function createRotation(options: RotationOptions) {
  const { settings, files, nowMs, onTrouble, checkMs = 1_000, graceMs = 10_000 } = options
  const archives = files.map(({ stream, path }) => {
    const isAudit = stream === 'audit'
    return createArchive({
      path,
      compress: isAudit && settings.compress === 'zstd' ? 'gzip' : settings.compress,
      keepMs: isAudit ? null : settings.keepMs,
      keepBytes: isAudit ? null : settings.keepBytes,
      nowMs,
      graceMs,
      onTrouble: (text) => onTrouble(stream, text),
    })
  })
  // A clock that was set must not move a file away with each check.
  const days = new Map<RotatedFile, string>()
  const troubles = new Map<RotatedFile, string>()

  function look(file: RotatedFile): boolean {
    const status = statSync(file.path, { throwIfNoEntry: false })
    if (status === undefined || !status.isFile()) return false
    const today = dayOf(nowMs())
    const isOld = settings.daily && dayOf(status.birthtimeMs || status.mtimeMs) < today && days.get(file) !== today
    // An empty file of yesterday gets lines of today alone.
    if (isOld && status.size === 0) days.set(file, today)
    if (status.size === 0 || (!isOld && status.size < settings.maxBytes)) return false
    if (!moveAway(file, nowMs())) return false
    if (isOld) days.set(file, today)
    return true
  }

  const looking = setInterval(() => {
    for (const [index, file] of files.entries()) {
      try {
        if (look(file)) archives[index]?.tidySoon()
        troubles.delete(file)
      } catch (error) {
        const text = `${file.path} cannot be rotated (${codeInWords(codeOrText(error))}); it grows on, and that is tried again`
        if (troubles.get(file) !== text) onTrouble(file.stream, text)
        troubles.set(file, text)
      }
    }
  }, checkMs).unref()
  for (const archive of archives) archive.tidySoon()

  return {
    /** Stops; a compression that is under way is given up and done by the next process. */
    async close(): Promise<void> {
      clearInterval(looking)
      await Promise.all(archives.map((archive) => archive.close()))
    },
  }
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10)
}

/** The name is taken by an empty file first, so that no other process moves its file over ours. */
function moveAway({ path, rotate }: RotatedFile, nowMs: number): boolean {
  const to = takeName(withoutLinks(path), nowMs)
  let isMoved = false
  try {
    isMoved = rotate(to)
    return isMoved
  } finally {
    // A file that was moved is never deleted here: another process may have it open.
    if (!isMoved && statSync(to, { throwIfNoEntry: false })?.size === 0) rmSync(to, { force: true })
  }
}

/** `decisions.ndjson.2026-11-29T120000.000Z`: names sort by time, and `decisions.ndjson*` is all of them. */
function takeName(path: string, ms: number): string {
  for (let at = ms; ; at += 1) {
    const name = `${path}.${new Date(at).toISOString().replaceAll(':', '')}`
    if (['.gz', '.zst'].some((end) => statSync(`${name}${end}`, { throwIfNoEntry: false }) !== undefined)) continue
    try {
      closeSync(openSync(name, 'wx', 0o640))
      return name
    } catch (error) {
      if (codeOrText(error) !== 'EEXIST') throw error
    }
  }
}
