// A membership over a store that answers when a test says so: leases, renewals that arrive late, who leads, and epochs.

import { hash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createMembership } from '../../src/store/membership/membership.ts'
import type { Membership } from '../../src/store/membership/types.ts'
import { StoreAway, type Argument, type Listener, type Script } from '../../src/store/store.ts'

/** One heartbeat, as the store gets it. */
interface Heartbeat {
  readonly member: string
  /** `join`, or when the member was heard of; empty for neither. */
  readonly mode: string
  answer(reply: unknown): void
  fail(): void
  late(reply: unknown): void
}

const start = '0'.repeat(40)
let heartbeats: Heartbeat[] = []
let nowMs = 0
let listener: Listener | null = null
let membership: Membership

/** Lets timers run, and time pass with them. */
async function pass(ms: number): Promise<void> {
  nowMs += ms
  await vi.advanceTimersByTimeAsync(ms)
}

function begin(): void {
  membership = createMembership({
    instance: 'one',
    probe: (_script: Script, _keys: readonly string[], values: readonly Argument[], late) =>
      new Promise((resolve, reject) => {
        heartbeats.push({
          member: String(values[5]),
          mode: String(values[6]),
          answer: resolve,
          fail: () => reject(new StoreAway('as the test wants it')),
          late: (reply) => late?.(reply),
        })
      }),
    run: () => Promise.reject(new StoreAway('nobody asks for this')),
    subscribe: (_channel, given) => (listener = given),
    key: (...parts) => parts.join(':'),
    monotonic: () => nowMs,
    now: () => nowMs,
  })
}

/** The last heartbeat. */
async function next(): Promise<Heartbeat> {
  await pass(0)
  const heartbeat = heartbeats.at(-1)
  if (heartbeat === undefined) throw new Error('no heartbeat')
  return heartbeat
}

const reply = (score: string | null, head: string, { epoch = 'first', leads = 0 } = {}): unknown => [
  1,
  epoch,
  leads,
  score === null ? null : [score, head, 1, 0],
]

/** Joins, and returns the digest of what was said. */
async function join(): Promise<string> {
  await pass(0)
  listener?.restored()
  const { member, mode, answer } = await next()
  expect(mode).toBe('join')
  const payload = JSON.stringify({ joined: member })
  const head = hash('sha1', start + payload)
  answer(reply('1', head))
  await pass(0)
  listener?.message(Buffer.from(`${start} ${payload}`))
  expect(membership.status).toBe('joined')
  return head
}

describe('a membership', () => {
  beforeEach(() => {
    vi.useFakeTimers()
    heartbeats = []
    nowMs = 10_000
    begin()
  })
  afterEach(async () => {
    await membership.close()
    vi.useRealTimers()
  })

  test('says that the instance is there before it listens, and joins when it does', async () => {
    const first = await next()
    expect(first.mode).toBe('')
    first.answer(reply(null, ''))
    await pass(400)
    expect([(await next()).mode, membership.status]).toEqual(['', 'isolated'])
    heartbeats.at(-1)?.answer(reply(null, ''))
    await join()
  })

  test('survives renewals that arrive late, one after the other', async () => {
    ;(await next()).answer(reply(null, ''))
    const head = await join()
    await pass(400)
    const one = await next()
    one.fail()
    await pass(250)
    const other = await next()
    other.fail()
    expect([one.mode, other.mode]).toEqual(['1', '1'])
    await pass(0)
    // Both were done: the first one counts, and the store knew of no such state of the member when the second one came.
    one.late(reply('2', head))
    other.late(reply(null, ''))
    expect([membership.status, membership.state.lapses]).toEqual(['joined', 0])
    await pass(250)
    expect((await next()).mode).toBe('2')
  })

  test('is over when the store knows no such member, when the lease is over, and when messages have not come', async () => {
    ;(await next()).answer(reply(null, ''))
    let head = await join()
    await pass(400)
    ;(await next()).answer(reply(null, ''))
    await pass(0)
    expect(membership.state).toMatchObject({ status: 'isolated', lapses: 1 })

    head = await rejoined()
    nowMs += 1_400
    membership.check()
    expect(membership.state).toMatchObject({ status: 'isolated', lapses: 2 })

    head = await rejoined()
    for (let round = 0; round < 3; round += 1) {
      await pass(400)
      // Somebody has said something since, which is not heard here.
      ;(await next()).answer(reply(String(round + 10), hash('sha1', head)))
      await pass(0)
    }
    await pass(400)
    expect(membership.state).toMatchObject({ status: 'isolated', lapses: 3 })
  })

  async function rejoined(): Promise<string> {
    await pass(0)
    while (heartbeats.at(-1)?.mode !== 'join') {
      heartbeats.at(-1)?.answer(reply(null, ''))
      await pass(400)
    }
    const { member, answer } = await next()
    const payload = JSON.stringify({ joined: member })
    const head = hash('sha1', start + payload)
    answer(reply('1', head))
    await pass(0)
    listener?.message(Buffer.from(`${start} ${payload}`))
    expect(membership.status).toBe('joined')
    return head
  }

  test('leads for as long as the store would let nobody else', async () => {
    ;(await next()).answer(reply(null, '', { leads: 1 }))
    await pass(0)
    expect(membership.isLeader).toBe(true)
    nowMs += 4_999
    expect(membership.isLeader).toBe(true)
    nowMs += 1
    expect(membership.isLeader).toBe(false)
  })

  test('tells when the store is another one, and not of the first', async () => {
    const epochs: (string | null)[] = []
    membership.onEpoch(() => epochs.push(membership.epoch))
    ;(await next()).answer(reply(null, ''))
    await pass(400)
    expect([membership.epoch, epochs]).toEqual(['first', []])
    heartbeats.at(-1)?.answer(reply(null, '', { epoch: 'second' }))
    await pass(0)
    expect(epochs).toEqual(['second'])
  })
})
