// Membership of the instances that share a store: presence, leader, and messages to all members. One heartbeat renews this
// instance's presence and returns its status.
//
// An instance becomes a member once it listens. A member has a lease, which it renews again and again; a renewal counts only
// when every message before it was applied here. So a sender waits until all members have acknowledged, or until their leases
// have expired: then no member can still use what the message made stale, even if it never answered.

import { randomBytes } from 'node:crypto'
import type { Store } from '../store.ts'
import { absentAfterMs, Headcount } from './headcount.ts'
import { Lease, leaseMs, type Moment } from './lease.ts'
import { MessageLog, namesIn, readMessage } from './message-log.ts'
import { heartbeat, leave, remove, send } from './scripts.ts'
import { StatusTracker } from './status-tracker.ts'
import type { MemberHandlers, Membership } from './types.ts'

/** Interval of heartbeats; shorter after a failure, so that an outage and its end are noticed soon. */
const heartbeatMs = { usual: 400, afterFailure: 250 } as const

/**
 * Upper bound until the others evict a member that is cut off: one unacknowledged renewal (at most 1 lease), its expiry (1 lease),
 * one heartbeat to notice, the others' own expiry (1 lease and a heartbeat).
 */
const noticedAfterMs = 3 * leaseMs + 2 * heartbeatMs.usual

/** For how long a leader may act on one heartbeat. The store lets another one lead when this has passed and more. */
const leadForMs = absentAfterMs - 1000

/** Requests that a killed instance has sent may still be processed for so long. */
const removedForMs = 30_000

/** What it needs of the store. */
export interface MembershipOptions extends Pick<Store, 'instance' | 'run' | 'subscribe' | 'key'> {
  /** Runs a script although the store may be away. */
  readonly probe: Store['run']
  /** Monotonic clock, milliseconds. */
  readonly monotonic: () => number
  /** Milliseconds since the epoch: goes on while the machine sleeps. */
  readonly now: () => number
}

/** Sends the first heartbeat at once. Only `send` can reject. */
export function createMembership(options: MembershipOptions): Membership {
  const { instance, probe, run, subscribe, key, monotonic, now } = options
  // Beside the limits, which look at the instances and the epoch in their own script.
  const shown = { epoch: key('{limits}', 'epoch'), instances: key('{limits}', 'instances') }
  const own = ['group', 'members', 'missing'].map((name) => key('{limits}', name))
  const keys = [...own, shown.instances, shown.epoch]
  const channel = key('members')
  const log = new MessageLog()
  const lease = new Lease({ monotonic, now })
  const headcount = new Headcount()
  const tracker = new StatusTracker()
  const epochWatchers: (() => void)[] = []
  let handlers: MemberHandlers = { message: () => undefined, reset: () => undefined, out: () => undefined }
  let member = newName()
  let previousNames: string[] = []
  /** When the store last heard from this member, by the store's clock; null while this is no member. */
  let heardOfAt: string | null = null
  let noticedAtMs = Number.NEGATIVE_INFINITY
  let leadsUntilMs = Number.NEGATIVE_INFINITY
  let epoch: string | null = null
  let [listening, beating, closed] = [false, false, false]
  let timer: NodeJS.Timeout | undefined
  /** When to send the next heartbeat after the one under way. */
  let nextMs: number | null = null

  function newName(): string {
    return `${instance}_${randomBytes(12).toString('base64url')}`
  }

  function check(): void {
    if (tracker.isJoined && lease.isOver) leaveGroup('the store was not heard of in time')
  }

  /** Messages may have been missed. */
  function leaveGroup(why: string): void {
    handlers.reset()
    log.clear()
    lease.end()
    // The store has forgotten older ones by itself.
    previousNames = [...previousNames.slice(-9), member]
    member = newName()
    heardOfAt = null
    tracker.leave(why)
    soon(0)
  }

  /** Sends one heartbeat: joins or renews. */
  async function sendHeartbeat(): Promise<void> {
    if (beating || closed) return
    beating = true
    check()
    if (lease.isUnconfirmed()) leaveGroup('messages of the others were missed')
    const asked = member
    const askedAt = lease.moment()
    const mode = heardOfAt ?? (listening ? 'join' : '')
    const named = mode === 'join' ? [asked, mode, ...previousNames] : [mode === '' ? '' : asked, mode]
    const values = [channel, leaseMs, instance, absentAfterMs, newName(), ...named]
    const take = (answer: unknown): void => heard(answer, asked, mode, askedAt)
    let pauseMs: number = heartbeatMs.usual
    try {
      take(await probe(heartbeat, keys, values, take))
    } catch {
      pauseMs = heartbeatMs.afterFailure
      // The store reports its own outages. The join may have succeeded, though.
      if (mode === 'join') noticedAtMs = monotonic() + noticedAfterMs
    }
    beating = false
    soon(Math.min(pauseMs, nextMs ?? pauseMs))
    nextMs = null
  }

  function heard(answer: unknown, asked: string, mode: string, askedAt: Moment): void {
    if (!Array.isArray(answer)) return
    const [count, life, leads, stands] = answer as [number, string, number, unknown]
    headcount.saw(count, monotonic())
    if (leads === 1) leadsUntilMs = askedAt.monotonicMs + leadForMs
    if (life !== epoch) {
      const isFirst = epoch === null
      epoch = life
      if (!isFirst) for (const watcher of epochWatchers) watcher()
    }
    if (mode !== '' && asked === member) stand(stands, mode, askedAt)
  }

  /** The store's answer about this member; null when the store does not know it. */
  function stand(answer: unknown, mode: string, askedAt: Moment): void {
    if (!Array.isArray(answer)) {
      // A renewal that arrived after a later one is ignored.
      if (mode === heardOfAt) leaveGroup('the others took this instance to be gone')
      return
    }
    const [score, head, memberCount, missingCount] = answer as [string, string, number, number]
    heardOfAt = score
    noticedAtMs = monotonic() + noticedAfterMs
    tracker.count(memberCount, missingCount)
    lease.renewed(head, askedAt)
    confirm()
  }

  function confirm(): void {
    lease.confirm(log)
    if (tracker.isJoined || lease.isOver) return
    previousNames = []
    tracker.join()
  }

  function soon(afterMs: number): void {
    if (beating) nextMs = Math.min(afterMs, nextMs ?? afterMs)
    clearTimeout(timer)
    if (!closed) timer = setTimeout(() => void sendHeartbeat(), afterMs)
  }

  function hear(text: string): void {
    const message = readMessage(text)
    if (message !== null) apply(message.body)
    if (message !== null && message.body['joined'] === member && log.head === null) {
      log.start(message.before, message.payload)
      handlers.reset()
    } else if (log.head !== null) {
      if (message === null || !log.follow(message.before, message.payload)) {
        leaveGroup('messages of the others were missed')
        return
      }
    }
    confirm()
  }

  function apply(body: Readonly<Record<string, unknown>>): void {
    const gone = namesIn(body['gone'])
    if (gone !== null) {
      handlers.reset()
      handlers.out(gone)
      tracker.miss(gone.length)
    }
    const { left } = body
    if (typeof left === 'string') handlers.out([left])
    handlers.message(body)
  }

  subscribe(channel, {
    message: (text) => hear(text.toString()),
    // Nothing is lost as long as a renewal names a head that is known here.
    lost: () => (listening = false),
    restored: () => {
      listening = true
      soon(0)
    },
  })
  soon(0)

  return {
    keys: shown,
    attach: (given) => (handlers = given),
    check,
    get status() {
      return tracker.status
    },
    get state() {
      return tracker.state
    },
    get member() {
      return member
    },
    get instances() {
      return headcount.count
    },
    get epoch() {
      return epoch
    },
    get isLeader() {
      return monotonic() < leadsUntilMs
    },
    get noticedAtMs() {
      return noticedAtMs
    },
    async send(body) {
      const values = [channel, leaseMs, instance, JSON.stringify(body)]
      const [leftMs, hearers] = (await run(send, keys, values)) as [number, string[]]
      return { members: hearers, answerWithinMs: leaseMs, untilMs: monotonic() + leftMs }
    },
    onChange: (listener) => tracker.onChange(listener),
    onEpoch: (listener) => void epochWatchers.push(listener),
    joined: (withinMs) => tracker.joined(withinMs),
    async remove(other) {
      await run(remove, keys, [channel, leaseMs, other, removedForMs]).catch(() => {})
    },
    heartbeat: () => soon(0),
    async close() {
      closed = true
      clearTimeout(timer)
      handlers.reset()
      await run(leave, keys, [channel, leaseMs, instance, heardOfAt === null ? '' : member]).catch(() => {})
    },
  }
}
