// What holds for every source of secrets, whatever is behind it. Each source runs this with a place of its own.

import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { readNow, resolveSecrets } from '../../../src/keys/reading.ts'
import { SourceFault, type SecretSource } from '../../../src/keys/sources/source.ts'
import { keyOf } from '../../support/policies.ts'

/** A place that a test fills, empties, closes and brings back. */
export interface SourceBench {
  readonly source: SecretSource
  /** What the place keeps from now on. */
  keep(text: string): Promise<void>
  /** Nothing is kept there any more. */
  empty(): Promise<void>
  /** Reading is not allowed any more; null where nothing can forbid it. */
  readonly forbid: (() => Promise<void>) | null
  /** The place gives no answer, for as long as the test lasts; null where it always does. */
  readonly silence: (() => Promise<void>) | null
  /** Writing fails from now on, and reading does not; null where nothing is written. */
  readonly refuseWriting: (() => Promise<void>) | null
  /** Whatever the source needs to be let in: found in nothing that it says. */
  readonly credentials: readonly string[]
}

const value = 'cog_Planted-needle-0123456789'
const otherValue = 'cog_Other-needle-9876543210'
const origin = 'https://api.corp.example'
const signal = (): AbortSignal => AbortSignal.timeout(20_000)

/** `open` makes a new place that keeps `cog_…` text. */
export function describeSource(name: string, open: () => Promise<SourceBench>): void {
  /** Everything that can be seen of what the source said. */
  function expectClean(bench: SourceBench, said: unknown): void {
    const text = `${inspect(said, { depth: null, showHidden: true })} ${JSON.stringify(said)} ${String(said)}`
    for (const needle of ['needle', ...bench.credentials]) expect(text).not.toContain(needle)
  }

  async function faultOf(bench: SourceBench, ask: Promise<unknown>): Promise<string> {
    const fault: unknown = await ask.then(
      () => 'no fault',
      (error: unknown) => error,
    )
    if (!(fault instanceof SourceFault)) throw new Error(`expected a fault, got ${inspect(fault)}`)
    expect(fault.message.startsWith(bench.source.place), fault.message).toBe(true)
    expectClean(bench, [fault, fault.stack, fault.cause])
    return fault.kind
  }

  describe(`a secret in ${name}`, () => {
    test('is read, and read again when it has changed', async () => {
      const bench = await open()
      await bench.keep(value)
      const first = await bench.source.read(signal())
      expect(first.text).toBe(value)
      await bench.keep(otherValue)
      const second = await bench.source.read(signal())
      expect(second.text).toBe(otherValue)
      if (first.version !== null) expect(second.version).not.toBe(first.version)
      expectClean(bench, bench.source)
    })

    test('is absent when nothing is kept there', async () => {
      const bench = await open()
      await bench.keep(value)
      await bench.empty()
      expect(await faultOf(bench, bench.source.read(signal()))).toBe('absent')
    })

    test('is denied where reading is not allowed', async (context) => {
      const bench = await open()
      if (bench.forbid === null) return context.skip()
      await bench.keep(value)
      await bench.forbid()
      expect(await faultOf(bench, bench.source.read(signal()))).toBe('denied')
    })

    test('is unavailable while the place gives no answer, and nobody waits longer than told', async (context) => {
      const bench = await open()
      if (bench.silence === null) return context.skip()
      await bench.keep(value)
      await bench.silence()
      const gone = new AbortController()
      const asked = faultOf(bench, bench.source.read(gone.signal))
      setTimeout(() => gone.abort(), 50)
      const late = new Promise((resolve) => setTimeout(() => resolve('late'), 3_000).unref())
      expect(await Promise.race([asked, late])).toBe('unavailable')
      const sources = { env: {}, origin, given: () => bench.source }
      const found = await readNow(keyOf('a'), sources, 50)
      expect(found).toBeInstanceOf(SourceFault)
      expect(found).toMatchObject({ kind: 'unavailable' })
      expectClean(bench, found)
    })

    test('is refused when it is no key, without a word of it', async () => {
      const bench = await open()
      for (const wrong of [
        'needle',
        '"cog_needle"',
        'Bearer cog_needle',
        'cog_needle\ncog_needle',
        'apk_user_needle',
      ]) {
        await bench.keep(wrong)
        const { values, unresolved } = await resolveSecrets([keyOf('a')], {
          env: {},
          origin,
          given: () => bench.source,
        })
        expect(values.size).toBe(0)
        expect(unresolved[0]?.message).toContain(`key "a": ${bench.source.place} does not hold a service-user key: `)
        expectClean(bench, unresolved)
      }
    })

    test('is written and read back, whole', async (context) => {
      const bench = await open()
      const { write } = bench.source
      if (write === null) return context.skip()
      await bench.keep(value)
      await write(otherValue, signal())
      expect((await bench.source.read(signal())).text).toBe(otherValue)
      await write(value, signal())
      expect((await bench.source.read(signal())).text).toBe(value)
    })

    test('stays what it was when writing fails', async (context) => {
      const bench = await open()
      const { write } = bench.source
      if (write === null || bench.refuseWriting === null) return context.skip()
      await bench.keep(value)
      await bench.refuseWriting()
      expect(await faultOf(bench, write(otherValue, signal()))).toMatch(/^(denied|unavailable|wrong)$/)
      expect((await bench.source.read(signal())).text).toBe(value)
    })
  })
}
