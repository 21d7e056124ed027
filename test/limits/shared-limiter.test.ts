// The limiter of several instances, each with a connection of its own to one real store: together they hold a limit, and
// each holds its share while the store is away.

import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { decideScript } from '../../src/limits/shared/decision-script.ts'
import type { LimitDecision, Limit } from '../../src/limits/limiter.ts'
import { createSharedLimiter, type SharedLimiter } from '../../src/limits/shared/shared-limiter.ts'
import { createStore } from '../../src/store/client.ts'
import type { Store } from '../../src/store/store.ts'
import { until } from '../support/start-gateway.ts'
import { describeWithValkey, startStoreServer, storeSettings, type StoreServer } from '../support/valkey.ts'

interface Instance {
  readonly store: Store
  readonly limiter: SharedLimiter
  take(limits: readonly Limit[]): Promise<LimitDecision>
  /** As a crash would: nothing is released, and nothing renewed. */
  crash(): Promise<void>
}

let server: StoreServer
const instances: Instance[] = []

/** Nothing is counted twice or judged alone because the machine was slow; a test of a store that hangs sets a short one. */
const patientMs = 10_000

interface InstanceOptions {
  readonly budgetsWhenAway?: 'refuse' | 'share'
  readonly user?: string
  readonly timeoutMs?: number
}

async function startInstances(count: number, options: InstanceOptions = {}): Promise<Instance[]> {
  const { budgetsWhenAway = 'refuse', user, timeoutMs = patientMs } = options
  const monotonic = (): number => performance.now()
  const started = Array.from({ length: count }, (): Instance => {
    const store = createStore({
      settings: storeSettings(server, { timeoutMs, ...(user === undefined ? {} : { user, password: () => 'none' }) }),
      now: Date.now,
      monotonic,
    })
    const limiter = createSharedLimiter({ store, now: Date.now, monotonic, budgetsWhenAway })
    return {
      store,
      limiter,
      take: async (limits) => await limiter.take(limits),
      async crash() {
        await limiter.close()
        await store.close()
      },
    }
  })
  instances.push(...started)
  await until(() => started.every(({ store }) => !store.away), 'the store')
  if (instances.length === count) await back(started, count)
  return started
}

/** Waits until all of them use the store, and know of each other. */
const back = (some: readonly Instance[], count = some.length): Promise<void> =>
  until(() => some.every(({ store }) => !store.away && store.state.instances === count), 'the store')
const away = (some: readonly Instance[]): Promise<void> =>
  until(() => some.every(({ store }) => store.away), 'the store to be away')

const rate = (meter: string, amount: number, more: Partial<Limit> = {}): Limit => ({
  meter,
  name: meter,
  kind: 'rate',
  scope: 'team',
  quota: { amount, perMs: 3_600_000, calendar: null, burst: null, timeZone: 'UTC' },
  most: 0,
  shadow: false,
  ...more,
})
const slots = (meter: string, most: number): Limit => ({ ...rate(meter, 0), kind: 'concurrency', quota: null, most })

/** So many takes at each instance, all at once; those that were granted. */
async function storm(some: readonly Instance[], limits: readonly Limit[], each: number): Promise<LimitDecision[]> {
  const all = await Promise.all(some.flatMap(({ take }) => Array.from({ length: each }, () => take(limits))))
  return all.filter(({ granted }) => granted)
}

const left = async (instance: Instance | undefined, limits: readonly Limit[]): Promise<number[]> =>
  ((await instance?.limiter.peek(limits)) ?? []).map(({ remaining }) => remaining)

describeWithValkey('the limiter of several instances', () => {
  beforeAll(async () => {
    server = await startStoreServer()
  })
  beforeEach(() => server.command('FLUSHALL'))
  afterEach(async () => {
    await Promise.all(instances.splice(0).map(({ crash }) => crash()))
  })
  afterAll(() => server.close())

  test('grants exactly the limit, whichever of them are asked, and counts what is refused nowhere', async () => {
    const all = await startInstances(4)
    const limits = [rate('requests', 100), rate('writes', 37), slots('concurrent', 1000)]
    expect(await storm(all, limits, 50)).toHaveLength(37)
    for (const one of all) expect(await left(one, limits)).toEqual([63, 0, 963])
  })

  test('reports shadow limits without applying them, and names the limit with the longest wait', async () => {
    const [one] = await startInstances(1)
    const shadow = [rate('shadow', 1, { shadow: true })]
    await one?.take(shadow)
    expect(await one?.take(shadow)).toMatchObject({ granted: true, exceeded: { name: 'shadow' } })
    const quota = { amount: 1, perMs: null, calendar: 'month', burst: null, timeZone: 'Asia/Tokyo' } as const
    const limits = [rate('short', 1), rate('long', 1, { kind: 'refundable', quota })]
    expect((await one?.take(limits))?.granted).toBe(true)
    expect(await one?.take(limits)).toMatchObject({ granted: false, exceeded: { name: 'long' } })
  })

  test('frees slots with the request, and gives budgets back', async () => {
    const [one, other] = await startInstances(2)
    const limits = [slots('concurrent', 1), rate('sessions', 1, { kind: 'refundable' })]
    await one?.take(limits)
    expect((await other?.take(limits))?.granted).toBe(false)
    one?.limiter.release(limits)
    one?.limiter.giveBack(limits)
    await until(async () => (await other?.take(limits))?.granted === true, 'what was given back')
  })

  test('makes one call for requests of the same turn, and reports ended requests with it', async () => {
    const [one] = await startInstances(1)
    const limits = [rate('requests', 100), slots('concurrent', 50)]
    const seen = await server.watch()
    const calls = (): number => seen.lines().filter((line) => line.includes(decideScript.digest)).length
    const granted = await storm(instances, limits, 60)
    expect(granted).toHaveLength(50)
    for (let count = 0; count < 30; count += 1) one?.limiter.release(limits)
    expect(await storm(instances, limits, 40)).toHaveLength(30)
    await until(() => calls() === 2, 'both calls to have been seen')
    // Nothing else happens, and ended requests are still reported.
    for (let count = 0; count < 50; count += 1) one?.limiter.release(limits)
    await until(() => calls() === 3, 'the third call')
    seen.close()
    expect(await left(one, limits)).toEqual([20, 50])
  })

  test('neither loses nor doubles a slot, in any order of requests and ends at any instance', async () => {
    const all = await startInstances(3)
    const limits = [slots('concurrent', 7), rate('requests', 100_000)]
    let held = 0
    let most = 0
    // Numbers without a pattern, the same in each run.
    let seed = 1
    const any = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below
    await Promise.all(
      Array.from({ length: 24 }, async (_, index) => {
        const instance = all[index % all.length]
        for (let round = 0; round < 60; round += 1) {
          const decision = await instance?.take(limits)
          if (decision?.granted !== true) continue
          held += 1
          most = Math.max(most, held)
          for (let turns = any(4); turns > 0; turns -= 1) await new Promise((resolve) => setImmediate(resolve))
          held -= 1
          instance?.limiter.release(limits)
        }
      }),
    )
    expect(most).toBe(7)
    await Promise.all(all.map(({ limiter }) => limiter.close()))
    expect((await left(all[0], limits))[0]).toBe(7)
  })

  test('checks each request by the policies it was admitted under, also while they change', async () => {
    const [one] = await startInstances(1)
    const [before, after] = [[rate('requests', 1)], [rate('requests', 3)]]
    const turn = [before, before, after, before, after]
    const answers = await Promise.all(turn.map(async (limits) => await one?.take(limits)))
    expect(answers.map((answer) => answer?.granted)).toEqual([true, false, true, false, true])
    expect(answers.map((answer) => answer?.statuses[0]?.remaining)).toEqual([0, 0, 1, 0, 0])
  })

  test('decides requests behind an unanswered call together with it', async () => {
    const [one] = await startInstances(1, { timeoutMs: 500 })
    const limits = [rate('sessions', 5, { kind: 'refundable' })]
    const seen = await server.watch()
    server.freeze()
    const first = one?.take(limits)
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
    const second = one?.take(limits)
    for (const answer of [await first, await second]) expect(answer).toMatchObject({ granted: false, storeAway: true })
    server.thaw()
    await back(instances)
    await until(async () => (await left(one, limits)).join() === '5', 'what was counted to be taken back')
    // The second was never asked about.
    expect(seen.lines().filter((line) => line.includes('"take 1 1"'))).toHaveLength(1)
    seen.close()
  })

  test('keeps the slots of a live instance, and frees those of a crashed one', async () => {
    const [living, crashed] = await startInstances(2)
    const limits = [slots('concurrent', 3)]
    await living?.take(limits)
    await storm(crashed === undefined ? [] : [crashed], limits, 2)
    expect((await living?.take(limits))?.granted).toBe(false)
    await crashed?.crash()
    await until(async () => (await storm(living === undefined ? [] : [living], limits, 2)).length > 0, 'a slot')
    // Both are free; the third is still held after all that time.
    await until(async () => {
      if ((await left(living, limits))[0] === 0) return true
      await living?.take(limits)
      return false
    }, 'all slots to be taken')
    living?.limiter.release(limits)
    await until(async () => (await left(living, limits))[0] === 1, 'the first slot')
  })

  test('frees the slots of an instance that certainly has ended at once', async () => {
    await server.command('ACL', 'SETUSER', 'killed', 'on', 'nopass', '~*', '&*', '+@all')
    const [one, other] = [...(await startInstances(1)), ...(await startInstances(1, { user: 'killed' }))]
    if (one === undefined || other === undefined) throw new Error('no instances')
    const limits = [slots('concurrent', 3)]
    await storm([other], limits, 3)
    expect(await storm([one], limits, 3)).toHaveLength(0)
    await server.command('ACL', 'DELUSER', 'killed')
    await one.store.membership.remove(other.store.instance)
    // Not only when it has not been heard of for seconds.
    expect(await server.command('ZSCORE', 'test:{limits}:instances', other.store.instance)).toBe('$-1\r\n')
    await until(async () => (await storm([one], limits, 1)).length === 1, 'the slots')
    expect(await storm([one], limits, 3)).toHaveLength(2)
  })

  test('holds a share at each instance while the store is away, beginning with what was used', async () => {
    const all = await startInstances(4)
    const limits = [rate('requests', 40)]
    expect(await storm(all, limits, 5)).toHaveLength(20)
    await server.kill()
    await away(all)
    // A share is ten, of which each has used five.
    expect(await storm(all, limits, 50)).toHaveLength(20)
    // At least one, however many there are.
    const few = [rate('few', 2)]
    expect(await storm(all, few, 5)).toHaveLength(4)
    await server.restart()
    await back(all)
    // The store has come back empty, and gets every report again.
    await until(async () => (await left(all[0], limits))[0] === 0, 'what was used to be known')
    expect(await storm(all, limits, 20)).toHaveLength(0)
    expect(await storm(all, few, 5)).toHaveLength(0)
  })

  test.each([
    ['evenly', [15, 15, 15, 15]],
    ['by one of them', [60, 0, 0, 0]],
  ])('lets no more through than the limit when the store has lost what it held, used %s before', async (_how, uses) => {
    const all = await startInstances(4)
    const day = { amount: 80, perMs: null, calendar: 'day', burst: null, timeZone: 'UTC' } as const
    const limits = [rate('requests', 80), rate('of the day', 80, { quota: day }), slots('concurrent', 75)]
    for (const [index, count] of uses.entries())
      expect(await storm(all.slice(index, index + 1), limits, count)).toHaveLength(count)
    // Each of them hears how much is used.
    for (const one of all) expect(await left(one, limits)).toEqual([20, 20, 15])
    await server.command('FLUSHALL')
    let granted = 60
    await until(async () => {
      granted += (await storm(all, limits, 5)).length
      return (await left(all[3], limits)).join() === '5,5,0' && (await left(all[0], limits)).join() === '5,5,0'
    }, 'all that was used to be known')
    expect(granted).toBe(75)
  })

  test('has no slots beside those that are held when the memory of the store is full', async () => {
    const all = await startInstances(4)
    const limits = [slots('concurrent', 8)]
    expect(await storm(all.slice(0, 2), limits, 4)).toHaveLength(8)
    expect(await storm(all, limits, 1)).toHaveLength(0)
    await server.command('CONFIG', 'SET', 'maxmemory', '1')
    await away(all)
    expect(await storm(all, limits, 3)).toHaveLength(0)
    // Those that one of them gives back it may take again, up to its share.
    for (let count = 0; count < 4; count += 1) all[0]?.limiter.release(limits)
    expect(await storm(all, limits, 3)).toHaveLength(2)
    await server.command('CONFIG', 'SET', 'maxmemory', '0')
    await back(all)
  })

  test('gives an instance that is cut off its part of what is left, and nothing of a limit that is used up', async () => {
    await server.command('ACL', 'SETUSER', 'cut', 'on', 'nopass', '~*', '&*', '+@all')
    const [one, other] = [...(await startInstances(1)), ...(await startInstances(1, { user: 'cut' }))]
    if (one === undefined || other === undefined) throw new Error('no instances')
    await back([one, other])
    const [full, half] = [[rate('used up', 60)], [rate('used by half', 60)]]
    await storm([one], full, 50)
    await storm([one], half, 20)
    expect(await storm([other], full, 20)).toHaveLength(10)
    expect(await storm([other], half, 10)).toHaveLength(10)
    await server.command('ACL', 'DELUSER', 'cut')
    await away([other])
    expect(await storm([other], full, 20)).toHaveLength(0)
    // Thirty were left, for two.
    expect(await storm([other], half, 40)).toHaveLength(15)
    await server.command('ACL', 'SETUSER', 'cut', 'on', 'nopass', '~*', '&*', '+@all')
    await back([other], 2)
  })

  test.each([
    ['slots', slots('concurrent', 8)],
    ['a rate', rate('requests', 8)],
    ['sessions', rate('sessions', 8, { kind: 'refundable' })],
  ])('lets what is asked of an emptied store wait until all have told it what they used: %s', async (_what, limit) => {
    const [one, other, third] = await startInstances(3)
    if (one === undefined || other === undefined || third === undefined) throw new Error('no instances')
    // One has heard of it before it was used up, and another one never.
    expect(await left(other, [limit])).toEqual([8])
    expect(await storm([one], [limit], 7)).toHaveLength(7)
    await server.command('FLUSHALL')
    expect(await storm([other, third], [limit], 4)).toHaveLength(1)
    await until(async () => (await left(one, [limit])).join() === '0', 'all that is used to be known')
  })

  test('lets no more than a bounded number wait for that, and judges the others by their share', async () => {
    const [one, other] = await startInstances(2)
    if (one === undefined || other === undefined) throw new Error('no instances')
    const limits = [rate('requests', 1_000_000)]
    expect(await storm([one, other], limits, 1)).toHaveLength(2)
    await server.command('FLUSHALL')
    const asked: Promise<{ readonly granted: boolean }>[] = []
    let atOnce = 0
    await until(() => {
      for (let count = 0; count < 10_001; count += 1) {
        const decision = other.limiter.take(limits)
        if (decision instanceof Promise) asked.push(decision)
        else if (decision.granted) atOnce += 1
      }
      return atOnce > 0
    }, 'the first that does not wait')
    expect((await Promise.all(asked)).every(({ granted }) => granted)).toBe(true)
  })

  test('applies the share where a store is lost while it waits for what others tell it, and goes on by itself', async () => {
    const all = await startInstances(2)
    const limits = [rate('requests', 60)]
    expect(await storm(all.slice(0, 1), limits, 50)).toHaveLength(50)
    await server.command('FLUSHALL')
    const asked = storm(all.slice(1), limits, 40)
    await server.kill()
    expect(await asked).toHaveLength(30)
    await server.restart()
    await back(all)
  })

  test('waits for those that are cut off no longer than for others', async () => {
    await server.command('ACL', 'SETUSER', 'late', 'on', 'nopass', '~*', '&*', '+@all')
    const [one] = await startInstances(1)
    const [other] = await startInstances(1, { user: 'late' })
    if (one === undefined || other === undefined) throw new Error('no instances')
    await back([one, other])
    const limits = [rate('requests', 60)]
    await storm([other], limits, 50)
    expect(await left(one, limits)).toEqual([10])
    const { epoch } = one.store.membership
    await server.command('ACL', 'DELUSER', 'late')
    await server.command('FLUSHALL')
    await until(() => one.store.membership.epoch !== epoch, 'the store to be known as another one')
    // Nobody has told the fifty.
    expect(await storm([one], limits, 40)).toHaveLength(40)
    await server.command('ACL', 'SETUSER', 'late', 'on', 'nopass', '~*', '&*', '+@all')
    await until(() => !other.store.away, 'the other one')
    await until(async () => (await left(other, limits))[0] === 0, 'what it used to be known')
    expect(await storm([one], limits, 40)).toHaveLength(0)
  })

  test('counts no use twice when instances report again', async () => {
    const all = await startInstances(2)
    const limits = [rate('requests', 100)]
    await storm(all, limits, 10)
    await server.command('FLUSHALL')
    await until(async () => (await left(all[0], limits))[0] === 80, 'what was used to be known')
    await server.kill()
    await away(all)
    await storm(all, limits, 5)
    await server.restart()
    await back(all)
    await until(async () => (await left(all[0], limits))[0] === 70, 'what was used to be known')
    // Slots and uses are reported repeatedly, which changes nothing.
    await until(async () => (await left(all[1], limits))[0] === 70, 'the other one to agree')
  })

  test('refuses what a budget bounds while the store is away, and nothing else; counting nothing', async () => {
    const [one] = await startInstances(1)
    const limits = [rate('requests', 10), rate('sessions', 5, { kind: 'refundable' })]
    await server.kill()
    await away(instances)
    expect(await one?.take(limits)).toMatchObject({ granted: false, storeAway: true, exceeded: { name: 'sessions' } })
    expect((await one?.take([rate('requests', 10)]))?.granted).toBe(true)
    await server.restart()
    await back(instances)
    await until(async () => (await left(one, limits)).join() === '9,5', 'what was used to be known')
  })

  test('lets a share of a budget through while the store is away where that was chosen', async () => {
    const all = await startInstances(2, { budgetsWhenAway: 'share' })
    const limits = [rate('sessions', 6, { kind: 'refundable' })]
    await server.kill()
    await away(all)
    expect(await storm(all, limits, 9)).toHaveLength(6)
    await server.restart()
    await back(all)
    await until(async () => (await left(all[0], limits))[0] === 0, 'what was used to be known')
    expect(await storm(all, limits, 9)).toHaveLength(0)
  })

  test('decides requests that the store leaves hanging, and takes back what the store counted for refused ones', async () => {
    const [one] = await startInstances(1, { timeoutMs: 500 })
    const limits = [rate('requests', 10), rate('sessions', 5, { kind: 'refundable' }), slots('concurrent', 5)]
    server.freeze()
    expect(await one?.take(limits)).toMatchObject({ granted: false, storeAway: true })
    server.thaw()
    await back(instances)
    await until(async () => (await left(one, limits)).join() === '10,5,5', 'everything to be back')
  })

  test('reports held slots to a store that was emptied', async () => {
    const [one] = await startInstances(1)
    const limits = [slots('concurrent', 2)]
    await one?.take(limits)
    await server.kill()
    await away(instances)
    // Also those that were taken meanwhile.
    await one?.take(limits)
    await server.restart()
    await back(instances)
    await until(async () => (await left(one, limits))[0] === 0, 'the slots')
    expect((await one?.take(limits))?.granted).toBe(false)
  })

  test('keeps no names of people in the store', async () => {
    const [one] = await startInstances(1)
    await one?.take([rate('payments/principal/https://sso ann@corp.example requests', 3)])
    const keys = await server.command('KEYS', '*')
    expect(keys).toContain('test:{limits}:')
    expect(keys).not.toContain('ann')
  })
})
