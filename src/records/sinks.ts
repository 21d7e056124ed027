// The three streams of records, each with its target: access (a request), decisions (a decision), audit (a change).

import { resolve } from 'node:path'
import { messageOf } from '../config/values/file-errors.ts'
import { AuditLog } from './audit/audit-log.ts'
import { LineWriter, type LineWriterOptions } from './line-writer.ts'
import { createRotation, rotatedFiles, type RotationSettings } from './rotation/rotation.ts'
import { recordJson } from './safe-text.ts'
import { standardDescriptor } from './target.ts'
import type { ChainHead } from './audit/chain.ts'
import type { AccessEntry, AuditEntry, DecisionHead, Stream } from './entries.ts'

type LineStream = Exclude<Stream, 'audit'>

/**
 * The health of a stream. `lost` counts entries since start; `error` is the code or sentence of the trouble there is
 * now.
 */
export interface StreamHealth {
  readonly stream: Stream
  readonly healthy: boolean
  readonly lost: number
  readonly error: string | null
}

export interface SinksOptions {
  /** Targets: `stdout`, `stderr` or the path of a file. Access and decisions may share one; an audit file is audit's alone. */
  readonly access: string
  readonly decisions: string
  readonly audit: string
  /** Another process writes the audit log, and lines of others come to the same targets: this is one of several workers. */
  readonly auditElsewhere?: AuditTarget
  readonly nowMs: () => number
  /** Called with a sentence when a stream begins to fail, loses entries, or works again. Must not throw. */
  readonly onTrouble: (stream: Stream, text: string) => void
  /** Absent: files are rotated by others, if at all. The process that writes the audit log moves the files of all. */
  readonly rotation?: RotationSettings | null
  /** Of the writers; the defaults suit production. */
  readonly pace?: Pick<LineWriterOptions, 'flushMs' | 'retryMs' | 'closeMs' | 'maxWaitingBytes'>
}

/** What takes audit entries: the log itself, or the way to the process that writes it. */
export type AuditTarget = Pick<AuditLog, 'write' | 'healthy' | 'error' | 'head' | 'reopen' | 'close'>

export type Sinks = ReturnType<typeof createSinks>

// Writes up to this size are never mixed with another writer's on a pipe (POSIX PIPE_BUF on Linux).
const pipeBufferBytes = 4096

/** Audit entries that are kept in memory. */
const mostChanges = 200

/** Opens the three streams. Throws only for targets that cannot go together; a target that fails shows in `health()`. */
export function createSinks(options: SinksOptions) {
  const targets = { access: pathOf(options.access), decisions: pathOf(options.decisions), audit: pathOf(options.audit) }
  const sharesAudit = targets.audit === targets.access || targets.audit === targets.decisions
  if (sharesAudit && standardDescriptor(targets.audit) === null) {
    throw new Error(`the audit log needs a file of its own: ${targets.audit} is also the target of another stream`)
  }
  // Two writers on one pipe would mix their lines, so equal targets share one.
  const shared = targets.decisions === targets.access
  const access = createWriter(options, targets.access, shared ? ['access', 'decisions'] : ['access'])
  const decisions = shared ? access : createWriter(options, targets.decisions, ['decisions'])
  const audit =
    options.auditElsewhere ??
    new AuditLog({
      target: targets.audit,
      nowMs: options.nowMs,
      onTrouble: (text) => options.onTrouble('audit', text),
      ...(options.pace?.retryMs === undefined ? {} : { retryMs: options.pace.retryMs }),
    })
  const writers = new Set([access, decisions])
  const rotation =
    options.rotation === undefined || options.rotation === null || !(audit instanceof AuditLog)
      ? null
      : createRotation({
          settings: options.rotation,
          files: rotatedFiles(targets, {
            access: (to) => access.rotate(to),
            decisions: (to) => decisions.rotate(to),
            audit: (to) => audit.rotate(to),
          }),
          nowMs: options.nowMs,
          onTrouble: options.onTrouble,
        })
  const lost = { access: 0, decisions: 0 }
  let lostSaid = 0
  const changes: AuditEntry[] = []

  function put(writer: LineWriter, stream: LineStream, json: () => string): string | null {
    try {
      const text = json()
      if (!writer.write(`${text}\n`)) lost[stream] += 1
      return text
    } catch {
      lost[stream] += 1
      options.onTrouble(stream, `an entry could not be written as JSON; ${lost[stream]} are lost since start`)
      return null
    }
  }

  return {
    /**
     * Never waits and never throws: the line is written soon, or with the next `flush`. Returns its text, without the end of the
     * line; null where the entry has none.
     */
    access: (entry: AccessEntry): string | null => put(access, 'access', () => recordJson(entry)),
    /** `content` gives a `DecisionContent` by `recordJson`: decisions that are repeated say the same, so it is kept with them. */
    decision(head: DecisionHead, content: () => string): void {
      const before = lost.decisions
      const said = before === lostSaid ? head : { ...head, lost_before: before - lostSaid }
      put(decisions, 'decisions', () => `${recordJson(said).slice(0, -1)},${content().slice(1)}`)
      // The next decision that is taken says how many were lost before it.
      if (lost.decisions === before) lostSaid = before
    },
    /**
     * Hands the access and decision records so far to the system: they survive the end of this process from then on. What a
     * full pipe or a failing target does not take stays in memory.
     */
    flush(): void {
      for (const writer of writers) writer.flush()
    },
    /**
     * Resolves with true when the entry is on the disk, with false when it cannot be brought there now: it is queued then,
     * and `auditHealthy()` is false. Never rejects. Secrets in `details` are masked.
     */
    audit(event: string, actor: string, details: Readonly<Record<string, unknown>>): Promise<boolean> {
      changes.unshift({ time: new Date(options.nowMs()).toISOString(), event, actor, details })
      changes.length = Math.min(changes.length, mostChanges)
      return audit.write(event, actor, details)
    },
    /** The latest audit entries of this process, the latest first; secrets in details are not masked yet. */
    changes: (): readonly AuditEntry[] => changes,
    /** False while an audit entry is not on the disk: be not ready, and refuse changes. */
    auditHealthy: (): boolean => audit.healthy(),
    /** Number and hash of the last audit line, to be noted where the file's owner cannot change it. */
    auditHead: (): ChainHead => audit.head(),
    /** The same of the last line that is on the disk. Only where the audit log is written here. */
    durableAuditHead: (): ChainHead => (audit instanceof AuditLog ? audit.durableHead() : audit.head()),
    /** In the order access, decisions, audit. */
    health: (): StreamHealth[] => [
      { stream: 'access', ...access.health(), lost: lost.access },
      { stream: 'decisions', ...decisions.health(), lost: lost.decisions },
      { stream: 'audit', healthy: audit.healthy(), lost: 0, error: audit.error() },
    ],
    /** After a log rotation has moved files away: further entries go to new files under the old names. */
    reopen(): void {
      for (const writer of writers) writer.reopen()
      audit.reopen()
    },
    /** Writes everything that waits. Rejects with a sentence for each stream that lost something. */
    async close(): Promise<void> {
      await rotation?.close()
      const endings = await Promise.allSettled([...[...writers].map((writer) => writer.close()), audit.close()])
      const losses = endings.flatMap((ending) => (ending.status === 'rejected' ? [messageOf(ending.reason)] : []))
      if (losses.length > 0) throw new Error(losses.join('; '))
    },
  }
}

function createWriter(options: SinksOptions, target: string, streams: readonly LineStream[]): LineWriter {
  return new LineWriter({
    target,
    onTrouble: (text) => {
      for (const stream of streams) options.onTrouble(stream, text)
    },
    ...options.pace,
    isRotated: options.rotation !== undefined && options.rotation !== null,
    // Audit lines are written past this writer, straight to the descriptor; other workers write to the same pipe. To a
    // file each write appends as a whole, whoever else does.
    ...(target === pathOf(options.audit) ||
    (options.auditElsewhere !== undefined && standardDescriptor(target) !== null)
      ? { maxWriteBytes: pipeBufferBytes }
      : {}),
  })
}

/** One spelling for each file, so that equal targets are seen to be equal. */
function pathOf(target: string): string {
  return standardDescriptor(target) === null ? resolve(target) : target
}
