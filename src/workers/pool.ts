// The parent's side: several worker processes behind one listener, one audit log for all of them, a new worker for one that
// ends. Used by cli/start.ts. The parent serves no caller, so that nothing a caller does can end it.

import cluster, { type Worker } from 'node:cluster'
import { AuditLog } from '../records/audit/audit-log.ts'
import type { Log } from '../records/log.ts'
import type { Address, ToParent, ToWorker } from './messages.ts'

export interface PoolOptions {
  readonly count: number
  /** The program and the arguments of each worker, and the variable that gives it its number. */
  readonly command: { readonly file: string; readonly args: readonly string[]; readonly numberVariable: string }
  /** Target of the audit log. */
  readonly audit: string
  readonly log: Log
  /** How long a worker may take to drain. */
  readonly drainMs: number
  readonly nowMs: () => number
}

/** A worker as the operators see it. */
export interface Member {
  readonly number: number
  readonly pid: number
  /** How often a worker in this place has ended without having been told to. */
  readonly restarts: number
  /** Its own operators' listener; null until it listens. */
  readonly admin: Address | null
}

export interface Pool {
  /** Starts all. Resolves with the callers' address, or null when the first could not start: it has said why itself. */
  start(): Promise<Address | null>
  readonly members: readonly Member[]
  /** Opens the audit log anew, and tells the workers to read policies, secrets and certificate again (SIGHUP). */
  reopen(): void
  hangUp(): void
  /** Tells all workers to drain, ends those that do not, and closes the audit log. Resolves with the hash of its head. */
  stop(): Promise<string>
  /** Tells all workers to cut what is under way, and ends those that do not. */
  cut(): Promise<void>
}

interface Place extends Member {
  pid: number
  restarts: number
  admin: Address | null
  worker: Worker | null
  taken: number
}

/** A worker that was told to cut what is under way may take so long to record it. */
const cutMs = 1_000
/** Pauses before a new worker is started grow from the first to the last, and begin anew after a worker lived this long. */
const pauseMs = { first: 100, most: 10_000, forgivenAfter: 10_000 } as const

/** Makes the pool; nothing is started yet. */
export function createPool({ count, command, audit: target, log, drainMs, nowMs }: PoolOptions): Pool {
  const { file, args, numberVariable } = command
  cluster.setupPrimary({ exec: file, args: [...args] })
  const places = Array.from({ length: count }, (_, index): Place => {
    return { number: index + 1, pid: 0, restarts: 0, admin: null, worker: null, taken: 0 }
  })
  let stopping = false
  const audit = new AuditLog({
    target,
    nowMs,
    onTrouble(text) {
      log.error({ event: 'records', stream: 'audit' }, text)
      setImmediate(() => places.forEach(tellAudit))
    },
  })

  function tellAudit({ worker, taken }: Place): void {
    const [healthy, error, head] = [audit.healthy(), audit.error(), audit.head()]
    tell(worker, { kind: 'audit-state', taken, healthy, error, head })
  }

  /** Starts a worker in a place; calls back with the callers' address when it listens, or null when it ended before. */
  function occupy(place: Place, pause: number, onFirst: (gateway: Address | null) => void): void {
    const worker = cluster.fork({ [numberVariable]: String(place.number) })
    const startedMs = performance.now()
    Object.assign(place, { worker, pid: worker.process.pid ?? 0, taken: 0, admin: null })
    worker.on('message', (message: ToParent) => {
      if (message.kind === 'listening') {
        place.admin = message.admin
        onFirst(message.gateway)
        return
      }
      if (message.kind === 'audit') {
        const entry = audit.write(message.event, message.actor, { ...message.details, worker: place.number })
        void entry.then(() => {
          if (place.worker !== worker) return
          place.taken += 1
          tellAudit(place)
        })
        return
      }
      tellAudit(place)
    })
    worker.on('error', () => {
      // A message to a worker that has just ended; its end is told as well.
    })
    worker.on('exit', (code, signal) => {
      const hadListened = place.admin !== null
      Object.assign(place, { worker: null, pid: 0, admin: null })
      onFirst(null)
      if (stopping || (!hadListened && place.restarts === 0 && place.number === 1)) return
      place.restarts += 1
      const nextPause =
        performance.now() - startedMs > pauseMs.forgivenAfter ? pauseMs.first : Math.min(pause * 2, pauseMs.most)
      log.error({ event: 'worker-ended', worker: place.number, code, signal, pause_ms: nextPause }, 'a worker ended')
      setTimeout(() => {
        if (!stopping) occupy(place, nextPause, () => {})
      }, nextPause)
    })
  }

  /** Resolves when the last worker has ended: as it was told to, or killed after so long. */
  async function end(kind: 'drain' | 'cut', mostMs: number): Promise<void> {
    stopping = true
    const ends = places.flatMap(({ worker }) =>
      worker === null ? [] : [new Promise<void>((resolve) => void worker.on('exit', () => resolve()))],
    )
    for (const { worker } of places) tell(worker, { kind })
    const insist = setTimeout(() => places.forEach(({ worker }) => worker?.process.kill('SIGKILL')), mostMs)
    await Promise.all(ends)
    clearTimeout(insist)
  }

  const listening = (place: Place): Promise<Address | null> =>
    new Promise((resolve) => occupy(place, pauseMs.first / 2, resolve))

  return {
    async start() {
      const [first, ...others] = places
      // What keeps one from starting keeps all, and has to be said once.
      const gateway = first === undefined ? null : await listening(first)
      if (gateway !== null) await Promise.all(others.map(listening))
      return gateway
    },
    members: places,
    reopen: () => audit.reopen(),
    hangUp() {
      audit.reopen()
      for (const { worker } of places) worker?.process.kill('SIGHUP')
    },
    async stop() {
      await end('drain', drainMs)
      await audit.close()
      return audit.head().hash
    },
    cut: () => end('cut', cutMs),
  }
}

function tell(worker: Worker | null, message: ToWorker): void {
  if (worker?.isConnected() === true) worker.send(message)
}
