// The line before the upstream: so many requests at once, the others take turns by the weight of their team. While the
// upstream has a key rest (429), what is of lower priority waits or is refused. Every wait is bounded. Used by forwarding.ts.

import { createFairQueue, type Waiter } from './fair-queue.ts'
import type { Precedence } from '../../limits/precedence.ts'
import { createThrottles } from './throttles.ts'
import { Problem } from '../../problems.ts'

/** The one who stands at a place. */
export interface Applicant {
  begin(): void
  /** Called in place of `begin`; the place is given up by then. */
  refuse(problem: Problem): void
}

export interface LineSettings {
  /** Requests at the upstream at once. */
  readonly capacity: number
  /** Requests that wait beyond those; more are refused. */
  readonly maxWaiting: number
  /** Longest wait for one of the `capacity`, milliseconds. */
  readonly maxWaitMs: number
  /** The monotonic clock. */
  readonly now: () => number
  /** A request of the team was held: it went on after a while, was refused, or its caller has left. */
  readonly onHeld: (team: string, result: 'sent' | 'refused' | 'left') => void
}

export interface UpstreamLine {
  /** Throws `rate-limit-exceeded` when the key rests for longer than the request may wait, `overloaded` when the line is full. */
  place(key: string, precedence: Precedence): Place
  /** Begins at once, or waits for its turn. */
  enter(place: Place, applicant: Applicant): void
  /** The request is over, or its caller has left. `accepted`: the upstream answered, and not with 429. */
  leave(place: Place, accepted: boolean): void
  /** The upstream has answered 429 to a request with this key and priority: what is of lower priority makes room. */
  throttled(key: string, priority: Priority, waitMs: number): void
  readonly active: number
  readonly waiting: number
}

type Priority = Precedence['priority']

/** Whom a 429 holds, by the priority of the request that met it. Traffic of low priority makes room for all. */
const heldBy: Readonly<Record<Priority, readonly Priority[]>> = {
  high: ['normal', 'low'],
  normal: ['low'],
  low: ['low'],
}

function laneOf(key: string, priority: Priority): string {
  return `${priority} ${key}`
}

/** A request before or at the upstream. What it holds changes in this file only. */
export class Place implements Waiter {
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
  applicant: Applicant | null = null

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

  get lane(): string {
    return laneOf(this.key, this.precedence.priority)
  }
}

export function createUpstreamLine(settings: LineSettings): UpstreamLine {
  const { capacity, maxWaiting, now, onHeld } = settings
  const queue = createFairQueue<Place>()
  const throttles = createThrottles()
  let active = 0
  let wake: NodeJS.Timeout | undefined

  function isOpen(lane: string): boolean {
    return throttles.size === 0 || throttles.stateOf(lane, now()) === 'open'
  }

  /** Who may not wait for a key does not wait for others to try it either. */
  function isHeld(place: Place): boolean {
    if (throttles.size === 0) return false
    const state = throttles.stateOf(place.lane, now())
    return state === 'rest' || (state === 'full' && place.precedence.maxWaitMs > 0)
  }

  function begin(place: Place): void {
    const waited = place.phase === 'waiting'
    place.phase = 'begun'
    active += 1
    if (throttles.size > 0) place.tries = throttles.begun(place.lane, now())
    if (waited) settle(place, 'sent')
    place.applicant?.begin()
  }

  function settle(place: Place, result: 'sent' | 'refused' | 'left'): void {
    clearTimeout(place.timer)
    place.waitedMs = now() - place.sinceMs
    onHeld(place.flow, result)
  }

  function wait(place: Place, maxWaitMs: number): void {
    place.phase = 'waiting'
    place.sinceMs = now()
    setDeadline(place, place.sinceMs + maxWaitMs)
    queue.add(place)
    wakeInTime()
  }

  function setDeadline(place: Place, deadlineMs: number): void {
    clearTimeout(place.timer)
    place.deadlineMs = deadlineMs
    place.timer = setTimeout(() => refuse(place), Math.max(0, deadlineMs - now())).unref()
  }

  function refuse(place: Place): void {
    if (place.phase !== 'waiting') return
    const problem = isOpen(place.lane) ? overloaded() : resting(place.key, throttles.restMs(place.lane, now()))
    queue.remove(place)
    place.phase = 'gone'
    settle(place, 'refused')
    place.applicant?.refuse(problem)
  }

  function advance(): void {
    while (queue.size > 0 && active < capacity) {
      const place = queue.next(isOpen)
      if (place === null) break
      begin(place)
    }
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
    get active() {
      return active
    },
    get waiting() {
      return queue.size
    },
    place(key, precedence) {
      const place = new Place(key, precedence)
      const restMs = isHeld(place) ? throttles.restMs(place.lane, now()) : 0
      if (restMs > precedence.maxWaitMs) {
        onHeld(precedence.team, 'refused')
        throw resting(key, restMs)
      }
      if ((active >= capacity || restMs > 0) && queue.size >= maxWaiting) {
        onHeld(precedence.team, 'refused')
        throw overloaded()
      }
      return place
    },
    enter(place, applicant) {
      if (place.phase === 'gone') return
      place.applicant = applicant
      if (isHeld(place)) wait(place, place.precedence.maxWaitMs)
      else if (active >= capacity) wait(place, settings.maxWaitMs)
      else begin(place)
    },
    leave(place, accepted) {
      const { phase } = place
      place.phase = 'gone'
      if (phase === 'begun') {
        active -= 1
        if (place.tries) throttles.ended(place.lane, accepted)
      } else if (phase === 'waiting') {
        queue.remove(place)
        settle(place, 'left')
      }
      if (queue.size > 0) advance()
    },
    throttled(key, priority, waitMs) {
      for (const lane of heldBy[priority].map((held) => laneOf(key, held))) {
        throttles.refused(lane, waitMs, now())
        for (const place of queue.waitingIn(lane)) {
          const deadlineMs = Math.min(place.deadlineMs, now() + place.precedence.maxWaitMs)
          // Who could only wait in vain is told now.
          if (now() + throttles.restMs(lane, now()) > deadlineMs) refuse(place)
          else setDeadline(place, deadlineMs)
        }
      }
      wakeInTime()
    },
  }
}

function resting(key: string, restMs: number): Problem {
  const seconds = Math.max(1, Math.ceil(restMs / 1000))
  const detail = `The Devin API has had too many requests with the key ${key} and asked to wait, so this one was not sent. Wait ${seconds} second${seconds === 1 ? '' : 's'}.`
  return new Problem('rate-limit-exceeded', detail, {
    reason: 'upstream-throttled',
    fields: { 'retry-after': String(seconds) },
  })
}

function overloaded(): Problem {
  return new Problem('overloaded', 'Too many requests wait for the Devin API. Try again after Retry-After.', {
    fields: { 'retry-after': '1' },
  })
}
