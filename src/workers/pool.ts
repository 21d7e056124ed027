// The parent's side: worker processes behind one listener, one audit log, a new worker for one that ends or hangs.

import cluster, { type Worker } from 'node:cluster'

import { AuditLog } from '../records/audit/audit-log.ts'
import { createRotation, rotatedFiles, type RotationSettings } from '../records/rotation/rotation.ts'
import { moveTarget } from '../records/target.ts'
import type { Stream } from '../records/entries.ts'
import type { Checkpoints } from '../records/checkpoints/checkpoints.ts'
import type { Log } from '../records/log.ts'
import type { BoundAddress, ToParent, ToWorker } from './messages.ts'

export interface PoolOptions {
  readonly count: number
  /** The program and the arguments of each worker, and the variable that gives it its number. */
  readonly command: { readonly file: string; readonly args: readonly string[]; readonly numberVariable: string }
  /** The target of each stream. Workers write the first two, this process the audit log. */
  readonly records: Readonly<Record<Stream, string>>
  /** Of all record files; null: others rotate them, if at all. */
  readonly rotation: RotationSettings | null
  readonly log: Log
  readonly drainMs: number
  readonly nowMs: () => number
}

export interface WorkerStatus {
  readonly number: number
  readonly pid: number
  /** How often a worker in this slot has ended unexpectedly. */
  readonly restarts: number
  /** Its own operators' listener; null until it listens. */
  readonly admin: BoundAddress | null
  /** Proves to that listener that the parent asks. */
  readonly secret: string
  /** Pings that it has not answered. */
  readonly unanswered: number
}

interface WorkerSlot extends WorkerStatus {
  pid: number
  restarts: number
  admin: BoundAddress | null
  secret: string
  unanswered: number
  /** Its name among the instances that share the store. */
  instance: string | null
  worker: Worker | null
  taken: number
}

/** How long a worker may take to record what it was asked to cut. */
const cutMs = 1_000
/** Pauses before a new worker is started, from the first to the last; anew after a worker lived this long. */
const pauseMs = { first: 100, most: 10_000, forgivenAfter: 10_000 } as const

/** Each worker is asked so often whether it does anything; one that has not answered so many times is killed and replaced. */
const pulse = { everyMs: 1_000, mostUnanswered: 5 } as const

export function createPool({ count, command, records, rotation: settings, log, drainMs, nowMs }: PoolOptions) {
  const { file, args, numberVariable } = command
  cluster.setupPrimary({ exec: file, args: [...args] })
  const slots = Array.from({ length: count }, (_, index): WorkerSlot => {
    return {
      number: index + 1,
      pid: 0,
      restarts: 0,
      admin: null,
      secret: '',
      unanswered: 0,
      instance: null,
      worker: null,
      taken: 0,
    }
  })
  let stopping = false
  let checkpoints: Checkpoints | null = null
  const audit = new AuditLog({
    target: records.audit,
    nowMs,
    onTrouble(text) {
      log.error({ event: 'records', stream: 'audit' }, text)
      setImmediate(() => slots.forEach(tellAudit))
    },
  })

  /** The workers let go of a moved file by themselves. */
  const move = (from: string) => (to: string) => {
    moveTarget(from, to)
    return true
  }
  const rotation =
    settings === null
      ? null
      : createRotation({
          settings,
          files: rotatedFiles(records, {
            access: move(records.access),
            decisions: move(records.decisions),
            audit: (to) => audit.rotate(to),
          }),
          nowMs,
          onTrouble: (stream, text) => log.error({ event: 'records', stream }, text),
        })

  function tellAudit({ worker, taken }: WorkerSlot): void {
    const [healthy, error, head] = [audit.healthy(), audit.error(), audit.head()]
    tell(worker, { kind: 'audit-state', taken, healthy, error, head, checkpoints: checkpoints?.status() ?? null })
  }

  /** Starts a worker in a slot; calls back with the callers' address when it listens, or null when it ended before. */
  function launch(slot: WorkerSlot, pause: number, onFirst: (gateway: BoundAddress | null) => void): void {
    const worker = cluster.fork({ [numberVariable]: String(slot.number) })
    const startedMs = performance.now()
    Object.assign(slot, { worker, pid: worker.process.pid ?? 0, taken: 0, admin: null, unanswered: 0, instance: null })
    worker.on('message', (message: ToParent) => {
      slot.unanswered = 0
      if (message.kind === 'pong') return
      if (message.kind === 'listening') {
        slot.admin = message.admin
        slot.secret = message.secret
        slot.instance = message.instance
        onFirst(message.gateway)
        return
      }
      if (message.kind === 'checkpoint') {
        const { id } = message
        void (checkpoints?.now() ?? Promise.resolve(null)).then((outcome) =>
          tell(worker, { kind: 'checkpoint', id, outcome }),
        )
        return
      }
      if (message.kind === 'audit') {
        const entry = audit.write(message.event, message.actor, { ...message.details, worker: slot.number })
        void entry.then(() => {
          if (slot.worker !== worker) return
          slot.taken += 1
          tellAudit(slot)
        })
        return
      }
      tellAudit(slot)
    })
    worker.on('error', () => {
      // A message to a worker that has just ended fails; its exit is handled elsewhere.
    })
    worker.on('exit', (code, signal) => {
      const { instance } = slot
      const hadListened = slot.admin !== null
      Object.assign(slot, { worker: null, pid: 0, admin: null })
      // The other workers need not treat it as possibly cut off and writing.
      if (instance !== null) for (const other of slots) tell(other.worker, { kind: 'ended', instance })
      onFirst(null)
      if (stopping || (!hadListened && slot.restarts === 0 && slot.number === 1)) return
      slot.restarts += 1
      const nextPause =
        performance.now() - startedMs > pauseMs.forgivenAfter ? pauseMs.first : Math.min(pause * 2, pauseMs.most)
      log.error({ event: 'worker-ended', worker: slot.number, code, signal, pause_ms: nextPause }, 'a worker ended')
      setTimeout(() => {
        if (!stopping) launch(slot, nextPause, () => {})
      }, nextPause)
    })
  }

  /** Counted, not timed: while this process is stopped itself, no ping is sent. A worker that starts may take its time. */
  const watch = setInterval(() => {
    for (const slot of slots) {
      if (slot.worker === null || slot.admin === null) continue
      // Their state changes without an entry.
      if (checkpoints !== null) tellAudit(slot)
      if (slot.unanswered < pulse.mostUnanswered) {
        slot.unanswered += 1
        tell(slot.worker, { kind: 'ping' })
        continue
      }
      log.error({ event: 'worker-hangs', worker: slot.number, pid: slot.pid }, 'a worker hangs and is replaced')
      slot.worker.process.kill('SIGKILL')
    }
  }, pulse.everyMs)

  /** Resolves when the last worker has ended: by itself, or killed after so long. */
  async function end(kind: 'drain' | 'cut', mostMs: number): Promise<void> {
    stopping = true
    clearInterval(watch)
    const ends = slots.flatMap(({ worker }) =>
      worker === null ? [] : [new Promise<void>((resolve) => void worker.on('exit', () => resolve()))],
    )
    for (const { worker } of slots) tell(worker, { kind })
    const insist = setTimeout(() => slots.forEach(({ worker }) => worker?.process.kill('SIGKILL')), mostMs)
    await Promise.all(ends)
    clearTimeout(insist)
  }

  const listening = (slot: WorkerSlot): Promise<BoundAddress | null> =>
    new Promise((resolve) => launch(slot, pauseMs.first / 2, resolve))

  return {
    /** Starts all. Resolves with the callers' address, or null when the first could not start: it has said why itself. */
    async start(): Promise<BoundAddress | null> {
      const [first, ...others] = slots
      // The first worker starts alone: what stops it would stop all, and should be reported once.
      const gateway = first === undefined ? null : await listening(first)
      if (gateway !== null) await Promise.all(others.map(listening))
      return gateway
    },
    workers: slots,
    /** The last audit line that is on the disk. */
    auditHead: () => audit.durableHead(),
    /** Signs the head of the audit log from now on. */
    use(opened: Checkpoints | null): void {
      checkpoints = opened
    },
    /** Writes an entry of the parent's own. */
    audit: (event: string, actor: string, details: Readonly<Record<string, unknown>>): void =>
      void audit.write(event, actor, details),
    /** Opens the audit log anew, and tells the workers to read policies, secrets and certificate again (SIGHUP). */
    reopen(): void {
      audit.reopen()
      checkpoints?.renewKey()
    },
    hangUp(): void {
      audit.reopen()
      checkpoints?.renewKey()
      for (const { worker } of slots) worker?.process.kill('SIGHUP')
    },
    /** Tells all workers to drain, ends those that do not, and closes the audit log. Resolves with the hash of its head. */
    async stop(): Promise<string> {
      await end('drain', drainMs)
      await rotation?.close()
      await audit.close()
      await checkpoints?.close()
      return audit.head().hash
    },
    /** Tells all workers to cut what is under way, and ends those that do not. */
    cut: (): Promise<void> => end('cut', cutMs),
  }
}

export type Pool = ReturnType<typeof createPool>

function tell(worker: Worker | null, message: ToWorker): void {
  if (worker?.isConnected() === true) worker.send(message)
}
