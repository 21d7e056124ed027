// Collecting a body: at once where all of it has arrived, and never more than is accepted, however it is framed.

import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { collectBody } from '../../src/gateway/bodies/collect.ts'
import { Problem } from '../../src/problems.ts'
import { rawRequest, sendRaw } from '../support/raw-request.ts'

const most = 10
const rules = { hold: () => true, received() {}, bodyMs: 30_000, monotonic: () => performance.now() }
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
