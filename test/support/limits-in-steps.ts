// Several instances with limits in one real store, in a time of their own: a test says when a call arrives there,
// when its answer arrives here, and which of them fails.

import { expect, vi } from 'vitest'
import { decideScript } from '../../src/limits/shared/decision-script.ts'
import { keyOf } from '../../src/limits/shared/limit-wire.ts'
import type { LimitDecision, Limit } from '../../src/limits/limiter.ts'
import { createSharedLimiter, type SharedLimiter } from '../../src/limits/shared/shared-limiter.ts'
import { script, StoreAway, type Argument, type Script, type Store } from '../../src/store/store.ts'

/** The script with a clock that is its last argument, in milliseconds. */
export function withClock({ name, text }: Script): Script {
  const changed = text.replace(
    "local time = redis.call('TIME')\nlocal now = time[1] * 1000 + time[2] / 1000\n",
    'local now = tonumber(table.remove(ARGV))\nlocal time = { math.floor(now / 1000), now % 1000 * 1000 }\n',
  )
  expect(changed).not.toBe(text)
  return script(name, changed)
}

const decideAt = withClock(decideScript)
/** Says that an instance is there, and which epoch it is. */
const enter = script(
  'test.enter',
  `redis.call('SET', KEYS[2], ARGV[2])
return redis.call('ZADD', KEYS[1], 0, ARGV[1])`,
)

const forget = script('test.forget', `return redis.call('DEL', unpack(KEYS))`)

/** A use of a limit that the store has counted, and when. */
export interface Use {
  readonly limit: Limit
  readonly atMs: number
}

interface Taking {
  readonly limits: readonly Limit[]
  decision: LimitDecision | null
}

interface Call {
  readonly keys: readonly string[]
  readonly values: readonly Argument[]
  readonly sentAtMs: number
  /** When the script ran, and what it answered. */
  ran: { readonly atMs: number; readonly answer: unknown } | null
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: Error) => void
  readonly late: ((answer: unknown) => void) | undefined
}

/** How long calls are under way at most, in steps of time; their outcome is not fixed by that. */
const longestCallMs = 1000

export class Steps {
  nowMs: number
  readonly instances: Instance[] = []
  readonly uses: Use[] = []
  /** Calls that were made of the store. */
  calls = 0

  readonly name: string
  readonly #store: Store
  #losses = 0

  constructor(store: Store, name: string, count: number, beginMs: number) {
    this.name = name
    this.#store = store
    this.nowMs = beginMs
    // Only these: the connection to the store needs the real others.
    if (!vi.isFakeTimers()) vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    for (let index = 0; index < count; index += 1)
      this.instances.push(new Instance(this, store, `${name}:${index}`, name, count))
  }

  /** The epoch of the store. */
  get epoch(): string {
    return `${this.name} ${this.#losses}`
  }

  /** The store loses what it held. */
  async loseAll(limits: readonly Limit[]): Promise<void> {
    this.#losses += 1
    const key = (...parts: readonly string[]): string => `${this.name}:${parts.join(':')}`
    await this.#store.run(forget, [key('there'), ...limits.map(({ meter }) => keyOf(key, meter))], [])
  }

  async advance(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 250) {
      const part = Math.min(left, 250)
      this.nowMs += part
      vi.advanceTimersByTime(part)
      await turn()
      for (const instance of this.instances) if (instance.callAgeMs > longestCallMs) await instance.settle()
    }
  }

  /** Ends every request and every instance; every report arrives. Leaves the timers to `vi.useRealTimers`. */
  async end(): Promise<void> {
    for (const instance of this.instances) {
      await instance.settle()
      instance.finish(Infinity)
      const closed = instance.limiter.close()
      await instance.settle()
      await closed
    }
  }
}

export class Instance {
  readonly limiter: SharedLimiter
  /** Requests that were let through and are under way; those that the store has not granted, too. */
  readonly open: (readonly Limit[])[] = []
  /** Of those, what was let through by this instance's share, because a call had failed. */
  readonly byShare = new Set<readonly Limit[]>()
  readonly #steps: Steps
  readonly #store: Store
  readonly #name: string
  readonly #there: string
  readonly #epochKey: string
  readonly #epochs: (() => void)[] = []
  #epoch: string
  #takings: Taking[] = []
  #call: Call | null = null
  #given: Call[] = []

  constructor(steps: Steps, store: Store, name: string, world: string, count: number) {
    this.#steps = steps
    this.#store = store
    this.#name = name
    const key = (...parts: readonly string[]): string => `${world}:${parts.join(':')}`
    this.#there = key('there')
    this.#epochKey = key('epoch')
    this.#epoch = `${world} 0`
    const membership = {
      keys: { epoch: this.#epochKey, instances: this.#there },
      instances: count,
      onEpoch: (watcher: () => void) => void this.#epochs.push(watcher),
      // The test says when it is heard.
      heartbeat: () => {},
    }
    Object.defineProperty(membership, 'epoch', { get: () => this.#epoch })
    const stand: Partial<Store> = {
      instance: name,
      away: false,
      state: { away: false, sinceMs: 0, reason: null, instances: count, calls: { answered: 0, failed: 0, spared: 0 } },
      key,
      onChange: () => {},
      // The limiter uses nothing else of it either.
      membership: membership as unknown as Store['membership'],
      run: (_script, keys, values, late) =>
        new Promise((resolve, reject) => {
          steps.calls += 1
          this.#call = { keys, values, sentAtMs: steps.nowMs, ran: null, resolve, reject, late }
        }),
    }
    this.limiter = createSharedLimiter({
      // The limiter uses nothing else of it.
      store: stand as Store,
      now: () => steps.nowMs,
      monotonic: () => steps.nowMs - 1_000_000,
      budgetsWhenAway: 'refuse',
    })
  }

  get callAgeMs(): number {
    return this.#call === null ? 0 : this.#steps.nowMs - this.#call.sentAtMs
  }

  /** So many requests come at once. */
  async take(limits: readonly Limit[], count: number): Promise<void> {
    for (let left = count; left > 0; left -= 1) this.#takeOne(limits)
    await turn()
  }

  #takeOne(limits: readonly Limit[]): void {
    const taking: Taking = { limits, decision: null }
    this.#takings.push(taking)
    void Promise.resolve(this.limiter.take(limits)).then((made) => (taking.decision = made))
  }

  /** So many requests end, the oldest first. */
  finish(count: number): void {
    for (const limits of this.open.splice(0, count)) this.limiter.release(limits)
  }

  /** The call under way arrives at the store. */
  async arrive(): Promise<void> {
    await this.#store.run(enter, [this.#there, this.#epochKey], [this.#name, this.#steps.epoch])
    // On one connection none overtakes another.
    for (const call of [...this.#given, this.#call]) {
      if (call === null || call.ran !== null) continue
      const atMs = this.#steps.nowMs
      call.ran = { atMs, answer: await this.#store.run(decideAt, call.keys, [...call.values, atMs]) }
    }
  }

  /** Hears that the store has been emptied. */
  async hearOfLoss(): Promise<void> {
    if (this.#epoch === this.#steps.epoch) return
    this.#epoch = this.#steps.epoch
    for (const watcher of this.#epochs) watcher()
    await turn()
  }

  /** Its answer arrives here. */
  async answer(): Promise<void> {
    const call = this.#call
    if (call?.ran == null) return
    this.#call = null
    call.resolve(call.ran.answer)
    await turn()
    const { atMs } = call.ran
    for (const { limits, decision } of this.#takings) {
      if (decision?.granted !== true) continue
      this.open.push(limits)
      for (const limit of limits) this.#steps.uses.push({ limit, atMs })
    }
    this.#takings = this.#takings.filter(({ decision }) => decision === null)
  }

  /** The call under way is given up; it may arrive all the same. */
  fail(): Promise<void> {
    return this.#giveUp(false)
  }

  /** The call under way is given up; if it has not arrived, it never does. */
  lose(): Promise<void> {
    return this.#giveUp(true)
  }

  async #giveUp(isLost: boolean): Promise<void> {
    const call = this.#call
    if (call === null) return
    this.#call = null
    if (!isLost) this.#given.push(call)
    call.reject(new StoreAway('as the test wants it'))
    await turn()
    for (const { limits, decision } of this.#takings) {
      if (decision?.granted !== true) continue
      this.open.push(limits)
      this.byShare.add(limits)
    }
    this.#takings = this.#takings.filter(({ decision }) => decision === null)
  }

  /** The answer of a call that was given up arrives after all. */
  async late(): Promise<void> {
    await this.arrive()
    const call = this.#given.shift()
    call?.late?.(call.ran?.answer)
    await turn()
  }

  /** Everything that has come up is asked and answered. */
  async settle(): Promise<void> {
    await turn()
    while (this.#call !== null) {
      await this.arrive()
      await this.answer()
      await turn()
    }
  }
}

/** Until what is planned for this turn of the event loop is done. */
async function turn(): Promise<void> {
  for (let count = 0; count < 2; count += 1) await new Promise((resolve) => setImmediate(resolve))
}
