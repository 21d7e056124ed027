// The queue before the upstream: so many requests at once, the others take turns by the weight of their team, and no team
// holds all of it. While the upstream has a key rest (429), what is of lower priority waits or is refused. Every wait is
// bounded.

import type { Precedence } from '../../limits/precedence.ts'
import type { Problem } from '../../problems.ts'
import { overloaded, resting, shareReached } from './errors.ts'
import { createFairQueue, type Waiter } from './fair-queue.ts'
import { createConnectionShares } from '../../limits/connection-shares.ts'
import { createThrottles } from './throttles.ts'

export interface QueueCallbacks {
  begin(): void
  /** Called in place of `begin`; the entry is given up by then. */
  refuse(problem: Problem): void
}

export type HeldResult = 'sent' | 'refused' | 'left'

export interface QueueSettings {
  readonly capacity: number
  /** Requests that wait beyond those; more are refused. */
  readonly maxWaiting: number
  /** Longest wait for one of the `capacity`, milliseconds. */
  readonly maxWaitMs: number
  readonly now: () => number
  /** A request of the team was held: it went on after a while, was refused, or its caller has left. */
  readonly onHeld: (team: string, result: HeldResult) => void
  /** A request had to wait or was refused although there was room: its team holds its share. */
  readonly onShareReached: (team: string, of: 'connections' | 'queue') => void
}

type Priority = Precedence['priority']

/** Which priorities a 429 holds back, by the priority of the request that met it. Low priority makes room for all. */
const heldBy: Readonly<Record<Priority, readonly Priority[]>> = {
  high: ['normal', 'low'],
  normal: ['low'],
  low: ['low'],
}

function groupOf(key: string, priority: Priority): string {
  return `${priority} ${key}`
}

/** A request before or at the upstream. What it holds changes in this file only. */
export class QueueEntry implements Waiter {
  readonly key: string
  readonly precedence: Precedence
  phase: 'new' | 'waiting' | 'begun' | 'gone' = 'new'
  /** Among those that show whether the key has recovered. */
  tries = false
  /** How long it waited before it began, was refused or left; null when it did not have to, or still does. */
  waitedMs: number | null = null
  sinceMs = 0
  deadlineMs = 0
  timer: NodeJS.Timeout | undefined = undefined
  callbacks: QueueCallbacks | null = null

  constructor(key: string, precedence: Precedence) {
    this.key = key
    this.precedence = precedence
  }

  get flow(): string {
    return this.precedence.team
  }

  get weight(): number {
    return this.precedence.weight
  }

  get group(): string {
    return groupOf(this.key, this.precedence.priority)
  }
}

export function createUpstreamQueue(settings: QueueSettings) {
  const { capacity, maxWaiting, now, onHeld, onShareReached } = settings
  const queue = createFairQueue<QueueEntry>()
  const throttles = createThrottles()
  const connections = createConnectionShares(capacity)
  const places = createConnectionShares(maxWaiting)
  let wake: NodeJS.Timeout | undefined
  let isAdvancing = false

  function isOpen(group: string): boolean {
    return throttles.size === 0 || throttles.stateOf(group, now()) === 'open'
  }

  /** A request that may not wait for a key does not wait for probes of others either. */
  function isHeld(entry: QueueEntry): boolean {
    if (throttles.size === 0) return false
    const state = throttles.stateOf(entry.group, now())
    return state === 'rest' || (state === 'full' && entry.precedence.maxRestMs > 0)
  }

  function mayBegin({ flow, weight }: QueueEntry): boolean {
    return connections.allows(flow, weight)
  }

  function begin(entry: QueueEntry): void {
    const { callbacks } = entry
    const waited = entry.phase === 'waiting'
    entry.phase = 'begun'
    connections.take(entry.flow)
    if (throttles.size > 0) entry.tries = throttles.begun(entry.group, now())
    if (waited) settle(entry, 'sent')
    callbacks?.begin()
  }

  function settle(entry: QueueEntry, result: HeldResult): void {
    clearTimeout(entry.timer)
    // The Map of the queue may keep the entry for a while; the request is not to stay with it.
    entry.callbacks = null
    places.giveBack(entry.flow)
    entry.waitedMs = now() - entry.sinceMs
    onHeld(entry.flow, result)
  }

  function wait(entry: QueueEntry, maxWaitMs: number): void {
    entry.phase = 'waiting'
    entry.sinceMs = now()
    setDeadline(entry, entry.sinceMs + maxWaitMs)
    places.take(entry.flow)
    queue.add(entry)
    wakeInTime()
  }

  function setDeadline(entry: QueueEntry, deadlineMs: number): void {
    clearTimeout(entry.timer)
    entry.deadlineMs = deadlineMs
    entry.timer = setTimeout(() => refuseWaiting(entry), Math.max(0, deadlineMs - now())).unref()
  }

  function refuseWaiting(entry: QueueEntry): void {
    if (entry.phase !== 'waiting') return
    const problem = isOpen(entry.group) ? overloaded() : resting(entry.key, throttles.restMs(entry.group, now()))
    queue.remove(entry)
    entry.phase = 'gone'
    const { callbacks } = entry
    settle(entry, 'refused')
    callbacks?.refuse(problem)
  }

  /** Why it cannot even wait; null when it can. */
  function refusalOf({ key, precedence, group, flow, weight }: QueueEntry, isResting: boolean): Problem | null {
    const restMs = isResting ? throttles.restMs(group, now()) : 0
    if (restMs > precedence.maxRestMs) return resting(key, restMs)
    if (restMs === 0 && connections.allows(flow, weight)) return null
    if (places.taken >= maxWaiting) return overloaded()
    if (places.allows(flow, weight)) return null
    onShareReached(flow, 'queue')
    return shareReached()
  }

  function advance(): void {
    // A request that is refused as it begins leaves in the middle of this.
    if (isAdvancing) return
    isAdvancing = true
    while (queue.size > 0 && connections.taken < capacity) {
      const entry = queue.next(isOpen, mayBegin)
      if (entry === null) break
      begin(entry)
    }
    isAdvancing = false
    wakeInTime()
  }

  /** When the next rest is over, those who wait for it go on. */
  function wakeInTime(): void {
    clearTimeout(wake)
    wake = undefined
    const nextMs = queue.size === 0 || throttles.size === 0 ? null : throttles.nextMs(now())
    if (nextMs !== null) wake = setTimeout(advance, Math.ceil(nextMs)).unref()
  }

  return {
    get active(): number {
      return connections.taken
    },
    get waiting(): number {
      return queue.size
    },
    /** Throws `rate-limit-exceeded` when the key rests for longer than the request may wait, `overloaded` when there is no room. */
    open(key: string, precedence: Precedence): QueueEntry {
      const entry = new QueueEntry(key, precedence)
      const refusal = refusalOf(entry, isHeld(entry))
      if (refusal === null) return entry
      onHeld(precedence.team, 'refused')
      throw refusal
    },
    /** Begins at once, waits for its turn, or is refused when there is no room any more. */
    enter(entry: QueueEntry, callbacks: QueueCallbacks): void {
      if (entry.phase === 'gone') return
      entry.callbacks = callbacks
      const isResting = isHeld(entry)
      if (!isResting && mayBegin(entry)) {
        begin(entry)
        return
      }
      // Its body may have taken a while to come since there was room.
      const refusal = refusalOf(entry, isResting)
      if (refusal !== null) {
        entry.phase = 'gone'
        onHeld(entry.flow, 'refused')
        callbacks.refuse(refusal)
        return
      }
      if (!isResting && connections.taken < capacity) onShareReached(entry.flow, 'connections')
      wait(entry, isResting ? entry.precedence.maxRestMs : settings.maxWaitMs)
    },
    /** The request is over, or its caller has left. `accepted`: the upstream answered, and not with 429. */
    leave(entry: QueueEntry, accepted: boolean): void {
      const { phase } = entry
      entry.phase = 'gone'
      if (phase === 'begun') {
        connections.giveBack(entry.flow)
        if (entry.tries) throttles.ended(entry.group, accepted)
      } else if (phase === 'waiting') {
        queue.remove(entry)
        settle(entry, 'left')
      }
      if (queue.size > 0) advance()
    },
    /** The upstream has answered 429 to a request with this key and priority: what is of lower priority makes room. */
    throttled(key: string, priority: Priority, waitMs: number): void {
      for (const group of heldBy[priority].map((held) => groupOf(key, held))) {
        throttles.refused(group, waitMs, now())
        for (const entry of queue.waitingIn(group)) {
          const deadlineMs = Math.min(entry.deadlineMs, now() + entry.precedence.maxRestMs)
          // Refuses at once those who could not be served in time.
          if (now() + throttles.restMs(group, now()) > deadlineMs) refuseWaiting(entry)
          else setDeadline(entry, deadlineMs)
        }
      }
      wakeInTime()
    },
  }
}

export type UpstreamQueue = ReturnType<typeof createUpstreamQueue>
