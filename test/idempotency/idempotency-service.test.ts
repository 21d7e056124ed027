// The states of an idempotency key: who does the request, who gets its answer, who is refused; as a law over every order of
// events, with crashes of instances, and case by case.

import { randomBytes } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { EntryStore } from '../../src/idempotency/entry-store.ts'
import { createMemoryEntries } from '../../src/idempotency/memory-entries.ts'
import {
  createIdempotencyService,
  type Claim,
  type KeyedRequest,
  type KeyOwner,
} from '../../src/idempotency/idempotency-service.ts'
import { Problem } from '../../src/problems.ts'

const secret = randomBytes(32)
const answer = { status: 201, fields: ['content-type', 'application/json'], body: Buffer.from('{"session_id":"s-1"}') }

const ann: KeyOwner = { issuer: 'sso', subject: 'ann', team: 'payments', app: '' }

function request(changes: Partial<KeyedRequest> = {}): KeyedRequest {
  return { caller: ann, key: 'k-1', method: 'POST', target: '/v3/x', body: Buffer.from('{}'), ...changes }
}

function setup(over: Partial<EntryStore> = {}) {
  const clock = { nowMs: 1_000_000 }
  const memory = createMemoryEntries({ monotonic: () => clock.nowMs, maxBytes: 1_000_000 })
  const events: string[] = []
  const troubles: unknown[] = []
  const store: EntryStore = {
    claim: (...args) => memory.claim(...args),
    replace: (...args) => memory.replace(...args),
    release: (...args) => memory.release(...args),
    retryWait: () => Promise.resolve(),
    bytes: 0,
    fullTeams: [],
    ...over,
  }
  const instance = () =>
    createIdempotencyService({
      store,
      secret,
      keepMs: 86_400_000,
      maxRunMs: 60_000,
      onEvent: (event) => events.push(event),
      onAsked: (team, trouble) => void (trouble === null || troubles.push(team)),
    })
  return { clock, memory, events, troubles, instance, creates: instance() }
}

async function claimed(beginning: ReturnType<ReturnType<typeof setup>['creates']['begin']>): Promise<Claim> {
  const begun = await beginning
  if (begun.kind !== 'first') throw new Error('it was not the first')
  return begun.claim
}

async function refusal(work: Promise<unknown>): Promise<Problem> {
  const error = await work.catch((thrown: unknown) => thrown)
  if (!(error instanceof Problem)) throw new Error('it was not refused')
  return error
}

describe('a key', () => {
  it("is claimed by one of many, and the answer of the first is everybody's, byte for byte", async () => {
    const { creates, events } = setup()
    const all = await Promise.allSettled(Array.from({ length: 50 }, () => creates.begin(request())))
    const first = all.flatMap((each) =>
      each.status === 'fulfilled' && each.value.kind === 'first' ? [each.value] : [],
    )
    expect(first).toHaveLength(1)
    const refused = all.flatMap((each): unknown[] => (each.status === 'rejected' ? [each.reason] : []))
    expect(refused).toHaveLength(49)
    for (const reason of refused)
      expect(reason).toMatchObject({ kind: 'idempotency-in-progress', status: 409, fields: { 'retry-after': '1' } })
    await first[0]?.claim.answered(answer)
    expect(await creates.begin(request())).toEqual({ kind: 'repeated', answer })
    expect(events.filter((event) => event === 'claimed')).toHaveLength(1)
  })

  it.each<[string, Partial<KeyedRequest>]>([
    ['another body', { body: Buffer.from('{ }') }],
    ['another path', { target: '/v3/y' }],
    ['another query', { target: '/v3/x?a' }],
    ['another method', { method: 'PATCH' }],
  ])('is refused for %s, whether the first is under way, done or unclear', async (_what, changes) => {
    const { creates } = setup()
    const claim = await claimed(creates.begin(request()))
    const reused = { kind: 'idempotency-key-reused', status: 422 }
    expect(await refusal(creates.begin(request(changes)))).toMatchObject(reused)
    await claim.answered(answer)
    expect(await refusal(creates.begin(request(changes)))).toMatchObject(reused)
    const other = await claimed(creates.begin(request({ key: 'k-2' })))
    await other.unclear(null)
    expect(await refusal(creates.begin(request({ ...changes, key: 'k-2' })))).toMatchObject(reused)
  })

  it.each([
    ['person', { ...ann, subject: 'bob' }],
    ['issuer', { ...ann, issuer: 'other' }],
    ['team', { ...ann, team: 'research' }],
    ['app', { ...ann, app: 'bot' }],
  ])('of another %s is another key', async (_what, caller) => {
    const { creates } = setup()
    await (await claimed(creates.begin(request()))).answered(answer)
    expect((await creates.begin(request({ caller }))).kind).toBe('first')
  })

  it('is free again when the request surely was not done', async () => {
    const { creates } = setup()
    await (await claimed(creates.begin(request()))).release()
    expect((await creates.begin(request({ body: Buffer.from('mended') }))).kind).toBe('first')
  })

  it.each([
    ['no answer', null, /got no answer.*new key/, 'idempotency-unclear'],
    ['a failure of the upstream', 503, /answered with 503.*new key/, 'idempotency-unclear'],
    ['an answer that could not be kept', 201, /was done \(status 201\).*do not send it again/, 'answer-not-kept'],
  ])('after %s is not sent again, and the refusal says what to do', async (_what, status, says, reason) => {
    const { creates } = setup()
    await (await claimed(creates.begin(request()))).unclear(status)
    const problem = await refusal(creates.begin(request()))
    const fields = { 'x-should-retry': 'false' }
    expect(problem).toMatchObject({ kind: 'idempotency-unclear', status: 409, reason, fields })
    expect(problem.message).toMatch(says)
  })

  it('of an instance that died is under way until its time is over, then unclear, and after a day free', async () => {
    const { creates, instance, clock } = setup()
    await claimed(creates.begin(request()))
    const other = instance()
    clock.nowMs += 59_999
    expect(await refusal(other.begin(request()))).toMatchObject({ kind: 'idempotency-in-progress' })
    clock.nowMs += 1
    expect(await refusal(other.begin(request()))).toMatchObject({ kind: 'idempotency-unclear' })
    clock.nowMs += 86_400_000
    expect((await other.begin(request())).kind).toBe('first')
  })

  it('whose answer is too large to keep, or finds no room, is done and not repeated', async () => {
    const { creates, memory } = setup()
    const claim = await claimed(creates.begin(request()))
    await claim.answered({ ...answer, body: Buffer.alloc(16 * 1024 + 1) })
    expect(await refusal(creates.begin(request()))).toMatchObject({ reason: 'answer-not-kept' })
    expect(memory.bytes).toBeLessThan(1000)
    const { creates: narrow } = setup({
      replace: (name, expected, value) =>
        value.length > 8_000 ? Promise.resolve(false) : memory.replace(name, expected, value),
      claim: (...args) => memory.claim(...args),
    })
    await (await claimed(narrow.begin(request({ key: 'k-2' })))).answered({ ...answer, body: Buffer.alloc(16 * 1024) })
    expect(await refusal(narrow.begin(request({ key: 'k-2' })))).toMatchObject({ reason: 'answer-not-kept' })
  })

  it('is refused when the team has used its share, and those of other teams are not', async () => {
    const { creates } = setup()
    const refused: unknown[] = []
    for (let count = 0; refused.length === 0; count++)
      await creates.begin(request({ key: `k-${count}` })).catch((error: unknown) => refused.push(error))
    expect(refused[0]).toMatchObject({
      kind: 'idempotency-unavailable',
      reason: 'idempotency-full',
      fields: { 'retry-after': '60' },
    })
    expect(await refusal(creates.begin(request({ key: 'k-0' })))).toMatchObject({ kind: 'idempotency-in-progress' })
    expect((await creates.begin(request({ caller: { ...ann, team: 'research' } }))).kind).toBe('first')
  })

  it('is settled once: what is said later changes nothing', async () => {
    const { creates } = setup()
    const claim = await claimed(creates.begin(request()))
    await claim.answered(answer)
    await claim.release()
    await claim.unclear(null)
    expect(await creates.begin(request())).toEqual({ kind: 'repeated', answer })
  })

  it('and its answer are nowhere to be read in the store', async () => {
    const seen: Buffer[] = []
    const { creates } = setup({
      claim: (name, _team, value) => {
        seen.push(Buffer.from(name), value)
        return Promise.resolve(null)
      },
      replace: (name, _expected, value) => {
        seen.push(Buffer.from(name), value)
        return Promise.resolve(true)
      },
    })
    await (await claimed(creates.begin(request({ key: 'a-key-to-be-found' })))).answered(answer)
    expect(seen).toHaveLength(4)
    for (const text of ['a-key-to-be-found', 's-1', 'payments', 'answered', 'running'])
      expect(Buffer.concat(seen).includes(text), text).toBe(false)
  })
})

describe('a store that is away', () => {
  const away = (): Promise<never> => Promise.reject(new Error('connection lost'))

  it('refuses the request and says that nothing was sent', async () => {
    const { creates, troubles } = setup({ claim: away })
    const problem = await refusal(creates.begin(request()))
    expect(problem).toMatchObject({ kind: 'idempotency-unavailable', status: 503, fields: { 'retry-after': '5' } })
    expect(problem.message).toMatch(/^Nothing was sent/)
    expect([troubles.length, creates.underWay]).toEqual([1, 0])
  })

  it('for a moment at the end of a request is retried, without delaying the caller', async () => {
    let asked = 0
    const { creates, events, memory } = setup({
      replace: (...args) => (asked++ === 0 ? away() : memory.replace(...args)),
    })
    await (await claimed(creates.begin(request()))).answered(answer)
    await creates.whenIdle()
    expect(await creates.begin(request())).toEqual({ kind: 'repeated', answer })
    expect(events).toEqual(['claimed', 'kept', 'replayed'])
  })

  it('for long at the end leaves the key unclear, never free, and hears how the request ended when it is back', async () => {
    let isAway = true
    let back = (): void => {}
    const returned = new Promise<void>((resolve) => (back = resolve))
    const { creates, clock, memory } = setup({
      replace: (...args) => (isAway ? away() : memory.replace(...args)),
      release: (...args) => (isAway ? away() : memory.release(...args)),
      retryWait: () => returned,
    })
    await (await claimed(creates.begin(request()))).answered(answer)
    await (await claimed(creates.begin(request({ key: 'k-2' })))).release()
    clock.nowMs += 60_000
    for (const key of ['k-1', 'k-2'])
      expect(await refusal(creates.begin(request({ key })))).toMatchObject({ kind: 'idempotency-unclear' })
    isAway = false
    back()
    await creates.whenIdle()
    expect(await creates.begin(request())).toEqual({ kind: 'repeated', answer })
    expect((await creates.begin(request({ key: 'k-2' }))).kind).toBe('first')
  })

  it('that holds what nobody sealed is no store: nothing is sent', async () => {
    const { creates } = setup({
      claim: () => Promise.resolve({ value: Buffer.from('{"state":"answered"}'), ageMs: 0 }),
    })
    expect(await refusal(creates.begin(request()))).toMatchObject({ kind: 'idempotency-unavailable' })
  })

  it('that passes off the entry of another key is found out', async () => {
    const values: Buffer[] = []
    const { creates } = setup({
      claim: (_name, _team, value) =>
        Promise.resolve(values.push(value) === 1 ? null : { value: values[0] ?? value, ageMs: 0 }),
    })
    await creates.begin(request({ key: 'k-1' }))
    expect(await refusal(creates.begin(request({ key: 'k-2' })))).toMatchObject({ kind: 'idempotency-unavailable' })
  })
})

it('resolves when nothing is under way any more', async () => {
  const { creates } = setup()
  await creates.whenIdle()
  const claim = await claimed(creates.begin(request()))
  let idle = false
  const waiting = creates.whenIdle().then(() => {
    idle = true
  })
  await creates.begin(request()).catch(() => {})
  expect([creates.underWay, idle]).toEqual([1, false])
  await claim.unclear(null)
  await waiting
  expect(creates.underWay).toBe(0)
})

/** What can happen to one key, at two instances. */
type Event =
  | { readonly do: 'ask'; readonly at: number; readonly body: string }
  | { readonly do: 'end'; readonly how: 'answered' | 'unclear' | 'release' }
  | { readonly do: 'crash' }
  | { readonly do: 'wait'; readonly ms: number }

const event: fc.Arbitrary<Event> = fc.oneof(
  fc.record({ do: fc.constant('ask' as const), at: fc.nat(1), body: fc.constantFrom('a', 'b') }),
  fc.record({ do: fc.constant('end' as const), how: fc.constantFrom('answered', 'unclear', 'release') }),
  fc.record({ do: fc.constant('crash' as const) }),
  fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(1, 59_999, 60_000, 86_400_000) }),
)

/** The plain model: what the key stands for, and since when; null when it is free. */
interface Model {
  state: 'running' | 'done' | 'unclear'
  readonly body: string
  readonly sinceMs: number
}

function expected(model: Model | null, body: string, nowMs: number): object {
  if (model === null) return { kind: 'first' }
  if (model.body !== body) return { kind: 'idempotency-key-reused' }
  if (model.state === 'done') return { kind: 'repeated', answer: { body: Buffer.from(body) } }
  const live = model.state === 'running' && nowMs < model.sinceMs + 60_000
  return { kind: live ? 'idempotency-in-progress' : 'idempotency-unclear' }
}

it('within its day a key is done a second time only after it surely was not done, in every order of events', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 30 }), async (events) => {
      const { clock, instance } = setup()
      const instances = [instance(), instance()]
      let model: Model | null = null
      /** The claim that somebody holds, and whether it is still the one the key stands for. */
      let open: { readonly claim: Claim; readonly of: Model } | null = null
      for (const each of events) {
        if (model !== null && clock.nowMs >= model.sinceMs + 86_400_000) model = null
        if (each.do === 'wait') clock.nowMs += each.ms
        else if (each.do === 'crash') open = null
        else if (each.do === 'ask') {
          const begin = instances[each.at]?.begin(request({ body: Buffer.from(each.body) }))
          const outcome: unknown = await begin?.catch((error: unknown) => error)
          expect(outcome).toMatchObject(expected(model, each.body, clock.nowMs))
          if (model !== null) continue
          model = { state: 'running', body: each.body, sinceMs: clock.nowMs }
          // Whose claim is older than a day has lost it; he may not know.
          open ??= { claim: (outcome as { claim: Claim }).claim, of: model }
        } else if (open !== null) {
          const { claim, of } = open
          if (each.how === 'answered') await claim.answered({ ...answer, body: Buffer.from(of.body) })
          else await claim[each.how](null)
          if (of === model) {
            if (each.how === 'release') model = null
            else of.state = each.how === 'answered' ? 'done' : 'unclear'
          }
          open = null
        }
      }
    }),
    { numRuns: 300 },
  )
})
