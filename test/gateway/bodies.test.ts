// Collecting a body: at once where all of it has arrived, never more than is accepted, however it is framed, and without leaving its
// memory to a collection.

import { createServer, IncomingMessage, ServerResponse } from 'node:http'
import { Socket, type AddressInfo } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { collectBody, createBodies } from '../../src/gateway/bodies/collect.ts'
import { createBodyMemory } from '../../src/gateway/bodies/memory.ts'
import { RequestContext } from '../../src/gateway/context.ts'
import type { CallerFields } from '../../src/gateway/fields.ts'
import type { KeyVersion } from '../../src/keys/keyring.ts'
import type { Evaluation } from '../../src/policy/decision/evaluate.ts'
import type { PolicySet } from '../../src/policy/model/policy-set.ts'
import type { Target } from '../../src/catalogue/target.ts'
import { Problem } from '../../src/problems.ts'
import { rawRequest, sendRaw } from '../support/raw-request.ts'

const most = 10
const timing = { bodyMs: 30_000, monotonic: () => performance.now() }
const rules = { hold: () => true, received() {}, own() {}, ...timing }
let collected: { atOnce: boolean; body: string }[] = []

/** As the gateway does it: when everything that came in this turn was read. */
async function collect(request: IncomingMessage): Promise<void> {
  await setImmediate()
  const { 'content-length': length } = request.headers
  const body = collectBody(request, length === undefined ? null : Number(length), most, rules)
  const text = await Promise.resolve(body).then(String, (error: unknown) =>
    error instanceof Problem ? error.kind : '',
  )
  collected.push({ atOnce: !(body instanceof Promise), body: text })
}

const server = createServer((request, response) => {
  void collect(request).then(() => response.setHeader('connection', 'close').end())
})
const send = (fields: readonly string[], body: string) =>
  sendRaw((server.address() as AddressInfo).port, rawRequest('POST', '/', fields, body))

beforeAll(() => new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve)))
afterAll(() => void server.close())

test('a body that came whole with its head is returned at once', async () => {
  collected = []
  await send(['Content-Length: 5'], 'whole')
  expect(collected).toEqual([{ atOnce: true, body: 'whole' }])
})

test('a chunked body is collected, and measured as it arrives', async () => {
  collected = []
  await send(['Transfer-Encoding: chunked'], '2\r\nin\r\n4\r\n two\r\n0\r\n\r\n')
  await send(['Transfer-Encoding: chunked'], `b\r\neleven char\r\n0\r\n\r\n`)
  expect(collected).toEqual([
    { atOnce: false, body: 'in two' },
    { atOnce: false, body: 'body-too-large' },
  ])
})

test('a body above the limit is refused although it has arrived', async () => {
  collected = []
  await send(['Content-Length: 11'], 'eleven char')
  expect(collected).toEqual([{ atOnce: false, body: 'body-too-large' }])
})

describe('the memory of a large body', () => {
  const piece = Buffer.alloc(64 * 1024, 'x')
  const pieces = 256
  const bytes = pieces * piece.length

  /** Feeds all of it, without its end. */
  async function feed(request: IncomingMessage): Promise<void> {
    await setImmediate()
    for (let index = 0; index < pieces; index += 1) request.push(piece)
  }

  test.each([null, bytes])('is its own size, however it grew (declared: %s)', async (declared) => {
    const request = new IncomingMessage(new Socket())
    const body = collectBody(request, declared, bytes, rules)
    const before = process.memoryUsage().arrayBuffers
    await feed(request)
    // Bytes that wait for a collection count here.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1.5 * bytes)
    end(request)
    expect((await body).equals(Buffer.alloc(bytes, 'x'))).toBe(true)
    await setImmediate()
    expect(await body).toHaveLength(bytes)
  })

  function end(request: IncomingMessage): void {
    request.complete = true
    request.push(null)
  }

  async function exchange(isReadLater = false) {
    const request = new IncomingMessage(new Socket())
    const events = { failed() {}, leaving() {}, ended() {} }
    const opening = { decisionId: 'x', method: 'POST', rawTarget: '/', policy: {} as PolicySet, nowMs: 0 }
    const context = new RequestContext(request, new ServerResponse(request), opening, events)
    context.wasRead({ bodyLength: bytes, expectsContinue: false } as CallerFields, {} as Target)
    context.evaluation = { decision: { team: null } } as Evaluation
    const memory = createBodyMemory(4 * bytes)
    const bodies = createBodies({ memory, maxJudgedBytes: bytes, isReadLater, ...timing })
    const whole = Promise.resolve(bodies.whole(context))
    await feed(request)
    return { request, context, memory, whole }
  }

  test('is given back when the exchange is over and no key was opened for it', async () => {
    const { request, context, memory, whole } = await exchange()
    end(request)
    const body = await whole
    expect(body).toHaveLength(bytes)
    context.close(false)
    expect(memory.heldBytes).toBe(0)
    expect(body).toHaveLength(0)
  })

  test('stays with who sends it, or looks at it later', async () => {
    const sent = await exchange()
    end(sent.request)
    const body = await sent.whole
    sent.context.keyVersion = {} as KeyVersion
    sent.context.close(false)
    expect(body).toHaveLength(bytes)

    const later = await exchange(true)
    end(later.request)
    const kept = await later.whole
    later.context.close(false)
    expect(kept).toHaveLength(bytes)
  })

  test('is given back when it does not become complete', async () => {
    const before = process.memoryUsage().arrayBuffers
    const { request, whole } = await exchange()
    const refused = expect(whole).rejects.toMatchObject({ reason: 'body-incomplete' })
    request.destroy()
    await refused
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(bytes / 2)
  })
})
