// The computer's clock is set while a gateway runs: limits, idempotency keys and keys at rest go by the time that has
// passed.

import { afterEach, describe, expect, test, vi } from 'vitest'
import { startTestGateway, usualPolicies, type RunningGateway, type StartOptions } from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const payments = usualPolicies['teams/payments.yaml'] ?? ''

let running: RunningGateway | null = null
afterEach(async () => {
  vi.useRealTimers()
  await running?.close()
  running = null
})
async function start(options: StartOptions = {}): Promise<RunningGateway> {
  // By whatever clock the test sets.
  running = await startTestGateway({ now: () => Date.now(), ...options })
  return running
}

const create = (gateway: RunningGateway, body: unknown, headers: Record<string, string> = {}): Promise<Response> =>
  gateway.call(sessions, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })

describe("the computer's clock", () => {
  const hourMs = 3_600_000
  const dayMs = 24 * hourMs
  const headers = async (answer: Response): Promise<{ status: number; wait: number; left: string }> => {
    await answer.arrayBuffer()
    return {
      status: answer.status,
      wait: Number(answer.headers.get('retry-after') ?? 0),
      left: answer.headers.get('ratelimit') ?? '',
    }
  }
  /** Sets it for the whole process, whoever reads it. Timers go on. */
  const setClock = (ms: number): void => {
    vi.useFakeTimers({ toFake: ['Date'] })
    vi.setSystemTime(ms)
  }

  describe.each([
    ['back an hour', -hourMs],
    ['back ten years', -3650 * dayMs],
    ['ahead two hours', 2 * hourMs],
    ['ahead three days', 3 * dayMs],
  ])('that steps %s', (_name, stepMs) => {
    test('changes no limit: what was used stays used, and the wait is that of the window', async () => {
      const gateway = await start({
        policies: { 'teams/payments.yaml': `${payments}limits: { requests: 3/min, writes: 2/h, attempts: 2/min }\n` },
      })
      const startMs = Date.now()
      for (let count = 0; count < 2; count += 1) expect((await create(gateway, { prompt: 'x' })).status).toBe(200)
      expect((await gateway.call(sessions)).status).toBe(200)
      setClock(startMs + stepMs)
      const read = await headers(await gateway.call(sessions))
      const write = await headers(await create(gateway, { prompt: 'x' }))
      expect([read.status, write.status]).toEqual([429, 429])
      expect(read.wait).toBeGreaterThan(0)
      expect(read.wait).toBeLessThanOrEqual(60)
      expect(write.wait).toBeGreaterThan(0)
      expect(write.wait).toBeLessThanOrEqual(3600)
      for (const [, seconds] of read.left.matchAll(/;t=(-?\d+)/g)) {
        expect(Number(seconds)).toBeGreaterThanOrEqual(0)
        expect(Number(seconds)).toBeLessThanOrEqual(3600)
      }
    })

    test('sends no create twice: its key is remembered for its day', async () => {
      const gateway = await start()
      const key = { 'idempotency-key': '"4f3c9b70-13a4-4b1b-a3a8-2a4f1d0f8e11"' }
      const startMs = Date.now()
      expect((await create(gateway, { prompt: 'once' }, key)).status).toBe(200)
      setClock(startMs + stepMs)
      const again = await create(gateway, { prompt: 'once' }, key)
      expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([200, 'true'])
      expect(gateway.upstream.seen).toHaveLength(1)
    })

    test('lets a key that Devin has asked to rest neither go early nor rest for hours', async () => {
      const gateway = await start({ policies: { 'teams/payments.yaml': `${payments}limits: { priority: low }\n` } })
      gateway.upstream.respond((_request, response) => response.writeHead(429, { 'retry-after': '30' }).end('{}'))
      expect((await gateway.call(sessions)).status).toBe(429)
      const asked = gateway.upstream.seen.length
      setClock(Date.now() + stepMs)
      const again = await headers(await gateway.call(sessions))
      expect(again.status).toBe(429)
      expect(again.wait).toBeGreaterThan(0)
      expect(again.wait).toBeLessThanOrEqual(31)
      expect(gateway.upstream.seen).toHaveLength(asked)
    })
  })
})
