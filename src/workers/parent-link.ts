// A worker's side of the channel to its parent: the audit log, and the parent's messages.

import cluster from 'node:cluster'
import type { CheckpointOutcome, CheckpointsStatus } from '../records/checkpoints/checkpoints.ts'
import type { AuditTarget } from '../records/sinks.ts'
import type { Log } from '../records/log.ts'
import type { AuditState, BoundAddress, ToParent, ToWorker } from './messages.ts'

export interface ParentLink {
  /** Counted from 1; a worker that takes the place of another has its number. */
  readonly number: number
  readonly audit: AuditTarget
  /** Those of the parent: null where none are configured. */
  readonly checkpoints: { status(): CheckpointsStatus | null; now(): Promise<CheckpointOutcome | null> }
  /** Tells the parent where the worker can be reached, with which secret, and its name among the instances that share the store. */
  listening(gateway: BoundAddress, admin: BoundAddress, secret: string, instance: string): void
  /** Called when other workers have ended, with their names as instances. */
  onEnded(listener: (instance: string) => void): void
  /** Resolves when the worker has to drain: the parent asked for it, or is gone. */
  readonly drain: Promise<void>
  /** Resolves when the worker has to cut what is under way and end. */
  readonly cut: Promise<void>
}

/** The channel to the parent: `process` of a worker. */
export interface Channel {
  send?(message: ToParent): boolean
  on(event: 'message', listener: (message: ToWorker) => void): unknown
  on(event: 'disconnect', listener: () => void): unknown
}

const closeMs = 5000

/** Resolves once the parent has said how the audit log stands. */
export function connectToParent(number: number, channel: Channel): Promise<ParentLink> {
  // Otherwise Node ends a worker at once whose parent is gone; this one drains.
  if (cluster.worker !== undefined) cluster.worker.exitedAfterDisconnect = true
  return new Promise((resolve) => {
    let state: AuditState | null = null
    let sent = 0
    let connected = true
    const drain = Promise.withResolvers<void>()
    const cut = Promise.withResolvers<void>()
    const waiting = new Set<() => void>()
    const endListeners: ((instance: string) => void)[] = []
    /** Entries the parent has not answered, in their order. */
    const entries: ((isOnDisk: boolean) => void)[] = []
    const send = (message: ToParent): void => {
      if (connected) channel.send?.(message)
    }
    let asked = 0
    const outcomes = new Map<number, (outcome: CheckpointOutcome | null) => void>()
    const settled = (): boolean => !connected || state?.taken === sent

    const audit: AuditTarget = {
      write(event, actor, details) {
        sent += 1
        send({ kind: 'audit', event, actor, details })
        if (!connected) return Promise.resolve(false)
        return new Promise((settle) => entries.push(settle))
      },
      healthy: () => connected && state?.healthy === true,
      error: () => (connected ? (state?.error ?? null) : 'the parent process is gone'),
      head: () => state?.head ?? { seq: 0, hash: '' },
      // The parent does.
      reopen: () => {},
      async close() {
        if (!settled())
          await new Promise<void>((done) => {
            waiting.add(done)
            setTimeout(done, closeMs).unref()
          })
        const missing = sent - (state?.taken ?? 0)
        if (missing > 0) throw new Error(`audit entries that did not reach the parent process: ${missing}`)
      },
    }
    channel.on('message', (message) => {
      switch (message.kind) {
        case 'drain':
          return drain.resolve()
        case 'cut':
          return cut.resolve()
        case 'checkpoint':
          outcomes.get(message.id)?.(message.outcome)
          outcomes.delete(message.id)
          return
        case 'ping':
          return send({ kind: 'pong' })
        case 'ended':
          return endListeners.forEach((listener) => listener(message.instance))
        case 'audit-state':
      }
      state = message
      for (const settle of entries.splice(0, entries.length - (sent - message.taken))) settle(message.healthy)
      if (settled()) for (const done of waiting) done()
      resolve({
        number,
        audit,
        checkpoints: {
          status: () => state?.checkpoints ?? null,
          now: () =>
            new Promise((done) => {
              if (!connected) return done({ error: 'the parent process is gone' })
              asked += 1
              outcomes.set(asked, done)
              send({ kind: 'checkpoint', id: asked })
            }),
        },
        listening: (gateway, admin, secret, instance) => send({ kind: 'listening', gateway, admin, secret, instance }),
        onEnded: (listener) => void endListeners.push(listener),
        drain: drain.promise,
        cut: cut.promise,
      })
    })
    channel.on('disconnect', () => {
      connected = false
      for (const settle of entries.splice(0)) settle(false)
      for (const done of outcomes.values()) done({ error: 'the parent process is gone' })
      for (const done of waiting) done()
      drain.resolve()
    })
    send({ kind: 'here' })
  })
}

/** A log whose lines say which worker wrote them. */
export function logOf(log: Log, worker: number): Log {
  return {
    debug: (fields, message) => log.debug({ ...fields, worker }, message),
    info: (fields, message) => log.info({ ...fields, worker }, message),
    warn: (fields, message) => log.warn({ ...fields, worker }, message),
    error: (fields, message) => log.error({ ...fields, worker }, message),
    fault: () => log.fault(),
    close: () => log.close(),
  }
}
