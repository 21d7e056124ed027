// When the places of keys are asked again, and what their answers change. Time is the test's own.

import { describe, expect, test } from 'vitest'
import type { KeyHandle } from '../../src/keys/key.ts'
import { createKeyring } from '../../src/keys/keyring.ts'
import { resolveSecrets, type SecretSources } from '../../src/keys/reading.ts'
import type { RemoteSources } from '../../src/keys/sources/open.ts'
import { SourceFault, type KeptText, type SourceFaultKind } from '../../src/keys/sources/source.ts'
import { keyOf } from '../support/policies.ts'

const origin = 'https://api.corp.example'

function printed(id: string, refreshMs = 60_000, program = id): KeyHandle {
  return keyOf(id, { secret: { exec: { command: [program], timeoutMs: 1_000, env: [], refreshMs } } })
}

/** A value, the kind of a fault, or whenever it comes. */
type Answer = string | Promise<KeptText>

/** A keyring whose keys are all kept elsewhere, by the names of their programs. */
function bench(places: Record<string, Answer>) {
  let nowMs = 0
  const asked: { place: string; atMs: number }[] = []
  const events: string[] = []
  const remote: RemoteSources = {
    of(reference) {
      const place = 'exec' in reference ? (reference.exec.command[0] ?? '') : ''
      return {
        place: `the place ${place}`,
        async read() {
          asked.push({ place, atMs: nowMs })
          const answer = places[place] ?? 'absent'
          if (typeof answer !== 'string') return await answer
          if (answer.startsWith('cog_')) return { text: answer, version: String(asked.length) }
          throw new SourceFault(answer as SourceFaultKind, `the place ${place} is ${answer}`)
        },
        write: null,
      }
    },
    close: () => Promise.resolve(),
  }
  const sources: SecretSources = { env: {}, origin, remote }
  const keyring = createKeyring({
    sources,
    now: () => nowMs,
    monotonic: () => nowMs,
    onChange: (event, handle, version) => void events.push(`${event} ${handle.id} ${version}`),
    onSource: (handle, fault, hasValue) =>
      void events.push(`source ${handle.id} ${fault?.kind ?? 'back'}${hasValue ? '' : ' without value'}`),
  })
  return {
    places,
    asked,
    events,
    keyring,
    load: async (...handles: KeyHandle[]) => keyring.adopt(handles, await resolveSecrets(handles, sources)),
    /** Lets time pass as the gateway does, which looks every quarter of a second. */
    async pass(ms: number) {
      for (const endMs = nowMs + ms; nowMs < endMs;) {
        nowMs += 250
        keyring.refreshDue()
        await new Promise(setImmediate)
      }
    },
    states: () => keyring.status().map(({ handle, version, state }) => `${handle.id} ${version} ${state}`),
    valueOf(handle: KeyHandle) {
      const found = keyring.open(handle)
      return typeof found === 'string' ? found : found.secret.reveal(origin)
    },
  }
}

/** Times between readings of one place. */
function waits(asked: readonly { place: string; atMs: number }[], place: string): number[] {
  const times = asked.filter((each) => each.place === place).map(({ atMs }) => atMs)
  return times.slice(1).map((atMs, index) => atMs - (times[index] ?? 0))
}

describe('a key that is kept elsewhere', () => {
  test('is read again at its interval, give or take a tenth, and a new value is in use then', async () => {
    const own = bench({ a: 'cog_1', b: 'cog_9' })
    const [a, b] = [printed('a'), printed('b', 300_000)]
    await own.load(a, b)
    await own.pass(600_000)
    for (const ms of waits(own.asked, 'a')) {
      expect(ms).toBeGreaterThanOrEqual(54_000)
      expect(ms).toBeLessThanOrEqual(66_500)
    }
    expect(waits(own.asked, 'a').length).toBeGreaterThanOrEqual(8)
    expect(new Set(waits(own.asked, 'a')).size).toBeGreaterThan(1)
    expect(waits(own.asked, 'b').length).toBeLessThanOrEqual(2)
    expect(own.events).toEqual([])
    own.places['a'] = 'cog_2'
    await own.pass(70_000)
    expect(own.valueOf(a)).toBe('cog_2')
    expect(own.events).toEqual(['key-version a 2'])
  })

  test('without a value is asked with growing waits, at most a minute, and works at once when it answers', async () => {
    const own = bench({ a: 'unavailable' })
    const a = printed('a', 86_400_000)
    await own.load(a)
    expect(own.valueOf(a)).toBe('unresolved')
    expect(own.states()).toEqual(['a 0 unresolved'])
    await own.pass(600_000)
    const all = waits(own.asked, 'a')
    // Each is between a half and the whole of a span that doubles.
    for (const [index, ms] of all.entries()) {
      const span = Math.min(1_000 * 2 ** index, 60_000)
      expect(ms).toBeGreaterThanOrEqual(span / 2)
      expect(ms).toBeLessThanOrEqual(span + 250)
    }
    expect(all.length).toBeGreaterThan(12)
    expect(own.events).toEqual(['source a unavailable without value'])
    own.places['a'] = 'cog_1'
    await own.pass(60_250)
    expect(own.valueOf(a)).toBe('cog_1')
    expect(own.events.slice(1)).toEqual(['source a back', 'key-version a 1'])
  })

  test.each<SourceFaultKind>(['unavailable', 'absent', 'denied', 'wrong'])(
    'keeps its value while its place is %s, and its age grows',
    async (kind) => {
      const own = bench({ a: 'cog_1' })
      const a = printed('a')
      await own.load(a)
      expect(own.keyring.status()[0]?.valueAgeMs).toBe(0)
      own.places['a'] = kind
      await own.pass(180_000)
      expect(own.valueOf(a)).toBe('cog_1')
      expect(own.states()).toEqual(['a 1 ready'])
      expect(own.keyring.status()[0]).toMatchObject({ valueAgeMs: 180_000, sourceFault: `the place a is ${kind}` })
      expect(own.events).toEqual([`source a ${kind}`])
      // What is away is asked more often than what was refused.
      if (kind === 'unavailable') expect(waits(own.asked, 'a').length).toBeGreaterThan(5)
      else expect(waits(own.asked, 'a').length).toBeLessThanOrEqual(3)
      own.places['a'] = 'cog_1'
      await own.pass(66_250)
      expect(own.keyring.status()[0]?.sourceFault).toBeNull()
      expect(own.events.at(-1)).toBe('source a back')
    },
  )

  test('that hangs is asked once, and holds up no other', async () => {
    const own = bench({ a: 'cog_1', b: 'cog_2' })
    const [a, b] = [printed('a'), printed('b')]
    await own.load(a, b)
    own.places['a'] = new Promise(() => {})
    own.places['b'] = 'cog_3'
    await own.pass(300_000)
    expect(own.asked.filter(({ place }) => place === 'a')).toHaveLength(2)
    expect(own.valueOf(a)).toBe('cog_1')
    expect(own.valueOf(b)).toBe('cog_3')
    // A caller whose call Devin has rejected does not wait for it either.
    const version = own.keyring.open(a)
    if (typeof version === 'string') throw new Error(version)
    const late = new Promise((resolve) => setTimeout(() => resolve('late'), 8_000).unref())
    expect(await Promise.race([own.keyring.rejected(version), late])).toBeUndefined()
  }, 20_000)

  test('whose place a new set changes is not given an old value by a reading that was under way', async () => {
    const own = bench({ a: 'cog_1', other: 'cog_2' })
    await own.load(printed('a'))
    const slow = Promise.withResolvers<KeptText>()
    own.places['a'] = slow.promise
    await own.pass(66_250)
    await own.load(printed('a', 60_000, 'other'))
    slow.resolve({ text: 'cog_old', version: null })
    await own.pass(250)
    expect(own.valueOf(printed('a', 60_000, 'other'))).toBe('cog_2')
    expect(own.events).toEqual(['key-version a 2'])
  })

  test('keeps its value through a reload that gets no answer, and is asked again at once', async () => {
    const own = bench({ a: 'cog_1' })
    const a = printed('a', 86_400_000)
    await own.load(a)
    own.places['a'] = 'unavailable'
    await own.load(a)
    expect(own.valueOf(a)).toBe('cog_1')
    own.places['a'] = 'cog_2'
    await own.pass(250)
    expect(own.valueOf(a)).toBe('cog_2')
  })

  test('would lose its value to a place that is away, which a set is told before it is taken', async () => {
    const own = bench({ a: 'cog_1', other: 'unavailable' })
    const [here, there] = [printed('a'), printed('a', 60_000, 'other')]
    await own.load(here)
    const resolved = await resolveSecrets([there], {
      env: {},
      origin,
      remote: {
        of: () => ({
          place: 'x',
          read: () => Promise.reject(new SourceFault('unavailable', 'x is away')),
          write: null,
        }),
        close: () => Promise.resolve(),
      },
    })
    expect(own.keyring.wouldLose(there, resolved)).toBe(true)
    expect(own.keyring.wouldLose(here, resolved)).toBe(false)
    expect(own.keyring.wouldLose(printed('b'), resolved)).toBe(false)
  })
})

describe('nobody is asked', () => {
  test('where a command only checks: such keys are listed apart', async () => {
    const { values, unresolved, unasked } = await resolveSecrets([printed('a'), keyOf('b', { secret: { env: 'B' } })], {
      env: { B: 'cog_1' },
      origin,
    })
    expect([...values.keys()]).toEqual(['b'])
    expect(unresolved).toEqual([])
    expect(unasked.map(({ id }) => id)).toEqual(['a'])
  })
})
