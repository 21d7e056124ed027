// Random interleavings of reads and writes over two instances and a real store: nobody reads a value older than the last write
// that was acknowledged before the read began.

import * as fc from 'fast-check'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { followAcquired } from '../../../src/cache/acquired.ts'
import type { ResponseSink } from '../../../src/cache/response-stream.ts'
import { Problem } from '../../../src/problems.ts'
import { describeWithValkey, startStoreServer, type StoreServer } from '../../support/valkey.ts'
import { Caller } from '../support.ts'
import { startInstance, together, type Instance } from './support.ts'

interface Step {
  readonly instance: number
  readonly what: 'read' | 'write' | 'lost'
  readonly thing: number
  /** Milliseconds: before it begins, until the upstream works on it, until its answer is there. */
  readonly after: number
  readonly works: number
  readonly answers: number
}

const wait = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(4))
const step: fc.Arbitrary<Step> = fc.record({
  instance: fc.nat(1),
  what: fc.constantFrom('read', 'read', 'read', 'read', 'write', 'write', 'lost'),
  thing: fc.nat(1),
  after: fc.nat(12),
  works: wait,
  answers: wait,
})

let server: StoreServer
let instances: Instance[] = []
let runs = 0

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => (ms === 0 ? setImmediate(resolve) : setTimeout(resolve, ms)))
}

/** What was read too old, in words. */
async function play(steps: readonly Step[]): Promise<string[]> {
  runs += 1
  const run = runs
  const values = [0, 0]
  const acknowledged = [0, 0]
  const complaints: string[] = []

  async function upstream({ what, thing, works, answers }: Step, sink: ResponseSink): Promise<void> {
    sink.attach({ abort: () => undefined, resume: () => undefined })
    await pause(works)
    if (what !== 'read') values[thing] = (values[thing] ?? 0) + 1
    const body = Buffer.from(String(values[thing]))
    await pause(answers)
    if (what === 'lost') {
      sink.fail(new Problem('upstream-unreachable', 'lost'))
      return
    }
    sink.head({ status: 200, fields: [], length: body.length })
    sink.end(body)
  }

  async function take(one: Step): Promise<void> {
    const { instance, what, thing, after } = one
    await pause(after)
    const setting = instances[instance]?.setting
    const caller = new Caller()
    const least = acknowledged[thing] ?? 0
    const ended = new Promise<void>((resolve) => {
      const { end, fail } = caller
      caller.end = (last) => {
        end.call(caller, last)
        resolve()
      }
      caller.fail = (problem) => {
        fail.call(caller, problem)
        resolve()
      }
    })
    const request = setting?.request(`/things/${run}/${thing}`, {
      tags: [`thing-${run}-${thing}`],
      method: what === 'read' ? 'GET' : 'PUT',
    })
    if (request === undefined || setting === undefined) return
    followAcquired(setting.cache.acquire(request), caller, (_shared, sink) => void upstream(one, sink))
    await ended
    if (what === 'write') acknowledged[thing] = Math.max(acknowledged[thing] ?? 0, Number(caller.body))
    if (what === 'read' && Number(caller.body) < least)
      complaints.push(`${caller.body} instead of at least ${least}: ${caller.fields['cache-status']}`)
  }

  await Promise.all(steps.map(take))
  return complaints
}

describeWithValkey('reads and writes over two instances', () => {
  beforeAll(async () => {
    server = await startStoreServer()
    instances = [startInstance(server), startInstance(server)]
    await together(...instances)
  })
  afterEach(() => together(...instances))
  afterAll(async () => {
    await Promise.all(instances.map((instance) => instance.close()))
    await server.close()
  })

  it('never show a value older than the last write that was acknowledged before', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 8, maxLength: 60 }), async (steps) => {
        expect(await play(steps)).toEqual([])
      }),
      { numRuns: 60 },
    )
  })

  it('nor while connections to the store are cut', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 30, maxLength: 60 }), fc.nat(10), async (steps, afterMs) => {
        const cut = pause(afterMs).then(() => server.command('CLIENT', 'KILL', 'TYPE', 'pubsub'))
        expect(await play(steps)).toEqual([])
        await cut
      }),
      { numRuns: 2, endOnFailure: true },
    )
  })
})
