// The instances that share a store, as each other's peers: what one drops, all drop, before it goes on. Made by runtime.ts.
//
// An instance serves what it has stored only under a lease, which it renews again and again. A renewal counts only when every
// message that came before it was applied here. So who tells something waits until all members have answered, or a lease is
// over: then nobody serves it any more, whatever became of those who are silent. No hit asks the store.

import { randomBytes } from 'node:crypto'
import type { Script, Store } from '../../store/store.ts'
import type { PeerHandlers, Peers } from '../peers.ts'
import { Chain } from './chain.ts'
import { Lease, leaseMs, type Clocks, type Moment } from './lease.ts'
import { readMessage, type Body } from './messages.ts'
import { join, leave, renew } from './scripts.ts'
import type { GroupState } from './standing.ts'
import { createTelling } from './telling.ts'

const beatMs = 400
/**
 * After the last renewal that is known of: one more may have arrived late (a lease), it has to run out (a lease), the next beat
 * of anybody notices, and the others hear of it or have no lease any more (a lease).
 */
const noticedAfterMs = 3 * leaseMs + 2 * beatMs
/** What writes elsewhere may not reach is kept no longer than the class `short`. */
const cautiousMs = 30_000

export interface GroupOptions extends Clocks {
  readonly store: Store
  /** Hears of every change of the standing. */
  readonly onChange: (state: GroupState) => void
}

export interface Group extends Peers {
  readonly state: GroupState
  /** Stands for all messages that were applied; null while it is not known whether those are all. */
  readonly head: string | null
  /** Resolves when this instance has joined the others; after that time in any case. */
  joined(withinMs: number): Promise<void>
  /** Takes leave, so that nobody waits for this instance. */
  close(): Promise<void>
}

/** Begins at once to join. Nothing of it rejects. */
export function createGroup({ store, monotonic, now, onChange }: GroupOptions): Group {
  const keys = ['group', 'members', 'missing'].map((name) => store.key('{cache}', name))
  const channel = store.channel('cache')
  const chain = new Chain()
  const lease = new Lease({ monotonic, now })
  let handlers: PeerHandlers = { drop: () => 0, dropAll: () => undefined }
  /** Name of this membership: new after each lapse, and nobody can know it before. */
  let id = newId()
  let formers: string[] = []
  /** As the store has it; null while this is no member. */
  let heardOfAt: string | null = null
  let noticedAtMs = Number.NEGATIVE_INFINITY
  let together = false
  let [members, missing, lapses] = [0, 0, 0]
  let reason: string | null = 'the store has not answered yet'
  let [listening, beating, closed] = [false, false, false]
  let timer: NodeJS.Timeout | undefined
  const waiting = new Set<() => void>()

  const run = (what: Script, values: readonly string[], late?: (answer: unknown) => void): Promise<unknown> =>
    store.run(what, keys, [channel, leaseMs, ...values], late)
  const telling = createTelling({
    store,
    monotonic,
    run,
    isTogether() {
      check()
      return together
    },
    noticedAtMs: () => noticedAtMs,
  })

  function state(): GroupState {
    return {
      standing: together ? (missing > 0 ? 'cautious' : 'together') : 'alone',
      members,
      missing,
      lapses,
      told: { ...telling.counts },
      reason,
    }
  }

  function change(apply: () => void): void {
    const before = state().standing
    apply()
    if (state().standing !== before) onChange(state())
  }

  function check(): void {
    if (together && lease.isOver) lapse('the store was not heard of in time')
  }

  /** Out of the group: what the others have written may not be known here. */
  function lapse(why: string): void {
    handlers.dropAll()
    chain.clear()
    lease.end()
    formers.push(id)
    id = newId()
    heardOfAt = null
    change(() => {
      lapses += 1
      together = false
      reason = why
    })
    soon(0)
  }

  /** Joins or renews, again and again. */
  async function beat(): Promise<void> {
    if (beating || closed) return
    beating = true
    check()
    if (!lease.mayBeKept()) lapse('messages of the others were missed')
    if (heardOfAt !== null || (listening && !store.away)) await ask(id, heardOfAt)
    beating = false
    soon(beatMs)
  }

  async function ask(asked: string, before: string | null): Promise<void> {
    const askedAt = lease.moment()
    const take = (answer: unknown): void => {
      if (asked === id) stands(answer, askedAt)
    }
    try {
      take(await (before === null ? run(join, [asked, ...formers], take) : run(renew, [asked, before], take)))
    } catch {
      // The store tells of it by itself. That we have joined may be true, though.
      if (before === null) noticedAtMs = monotonic() + noticedAfterMs
    }
  }

  /** What the store has answered; null when it knows no such member. */
  function stands(answer: unknown, askedAt: Moment): void {
    if (!Array.isArray(answer)) {
      lapse('the others took this instance to be gone')
      return
    }
    const [score, head, memberCount, missingCount] = answer as [string, string, number, number]
    heardOfAt = score
    noticedAtMs = monotonic() + noticedAfterMs
    members = memberCount
    // Of one more the message tells, which drops what has to be dropped.
    change(() => (missing = together ? Math.min(missing, missingCount) : missingCount))
    lease.promise(head, askedAt)
    keepPromise()
  }

  function keepPromise(): void {
    lease.keepPromise(chain)
    if (together || lease.isOver) return
    formers = []
    change(() => {
      together = true
      reason = null
    })
    for (const resolve of waiting) resolve()
  }

  function soon(afterMs: number): void {
    clearTimeout(timer)
    if (!closed) timer = setTimeout(() => void beat(), afterMs)
  }

  function hear(text: string): void {
    const message = readMessage(text)
    if (message !== null) apply(message.body)
    if (message !== null && isOwnJoin(message.body)) {
      chain.start(message.before, message.payload)
      handlers.dropAll()
    } else if (chain.head !== null) {
      if (message === null || !chain.follow(message.before, message.payload)) {
        lapse('messages of the others were missed')
        return
      }
    }
    keepPromise()
  }

  function isOwnJoin(body: Body): boolean {
    return 'joined' in body && body.joined === id && chain.head === null
  }

  function apply(body: Body): void {
    if ('drop' in body) {
      telling.answer(body, id, handlers.drop({ names: body.drop, unsettled: body.unsettled }))
    } else if ('gone' in body) {
      handlers.dropAll()
      telling.out(body.gone)
      change(() => (missing += body.gone.length))
    } else if ('left' in body) telling.out([body.left])
  }

  store.subscribe(channel, {
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
    attach: (given) => (handlers = given),
    check,
    get atMostMs() {
      return together && missing === 0 ? null : cautiousMs
    },
    tell: (drop) => telling.tell(drop),
    get state() {
      return state()
    },
    get head() {
      check()
      return together ? chain.head : null
    },
    joined: (withinMs) =>
      new Promise((resolve) => {
        const limit = setTimeout(done, withinMs)
        function done(): void {
          clearTimeout(limit)
          waiting.delete(done)
          resolve()
        }
        waiting.add(done)
        if (together) done()
      }),
    async close() {
      closed = true
      clearTimeout(timer)
      together = false
      handlers.dropAll()
      if (heardOfAt !== null) await run(leave, [id]).catch(() => {})
    },
  }
}

function newId(): string {
  return randomBytes(12).toString('base64url')
}
