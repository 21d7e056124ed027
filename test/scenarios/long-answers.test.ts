// Long answers of two teams at once, beside callers who do not read: each arrives whole, in whatever form it comes.

import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openSocket } from '../support/raw-request.ts'
import { startTestGateway, until, type RunningGateway } from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const teamFile = (name: string): string => `team: ${name}
members: [{ groups: [${name}] }]
organizations: [org-payments]
grants: [{ id: read, allow: [ViewOrgSessions] }]
cache: { at_most: 0s }
`
const body = randomBytes(500_000).toString('hex')
const compressed = gzipSync(body)
const endless = Buffer.alloc(16 * 1024 * 1024, 0x20)
const unread = 10
let running: RunningGateway
const sockets: Socket[] = []

beforeAll(async () => {
  running = await startTestGateway({
    upstream: '{ origin: "ORIGIN", connections: 64 }',
    config: 'cache: { max_size: 64MiB, max_entry_size: 2MiB }',
    policies: {
      'teams/greedy.yaml': teamFile('greedy'),
      'teams/other.yaml': teamFile('other'),
      'teams/caching.yaml': teamFile('caching').replace('cache: { at_most: 0s }\n', ''),
    },
  })
  running.upstream.respond((request, response) => {
    const url = request.url ?? ''
    response.setHeader('content-type', 'application/json')
    if (url.includes('unread')) response.end(endless)
    else if (url.includes('gzip')) response.writeHead(200, { 'content-encoding': 'gzip' }).end(compressed)
    else if (url.includes('pieces')) {
      for (let from = 0; from < body.length; from += 10_000) response.write(body.slice(from, from + 10_000))
      response.end()
    } else response.writeHead(200, { 'content-length': body.length }).end(body)
  })
})
afterAll(async () => {
  for (const socket of sockets) socket.destroy()
  await running.close()
})

test('long answers of two teams arrive whole beside many that nobody reads', async () => {
  const greedy = await running.token({ groups: ['greedy'], sub: 'greedy' })
  for (let index = 0; index < unread; index += 1) {
    const socket = await openSocket(running.port)
    sockets.push(socket)
    socket.on('error', () => {})
    socket.pause()
    socket.write(`GET ${sessions}?unread=${index} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${greedy}\r\n\r\n`)
  }
  await until(() => running.upstream.seen.length === unread, 'the unread answers to be under way')
  const other = await running.token({ groups: ['other'], sub: 'other' })
  const answers = await Promise.all(
    [greedy, other].flatMap((token) =>
      ['length', 'pieces', 'gzip'].flatMap((form) =>
        [1, 2, 3].map(async (index) => {
          const response = await running.call(`${sessions}?${form}=${index}`, { token })
          return response.status === 200 && (await response.text()) === body
        }),
      ),
    ),
  )
  expect(answers).toEqual(Array.from({ length: 18 }, () => true))
})

test('a caller who leaves in the middle of a long answer takes nothing of the next one on its connection', async () => {
  const token = await running.token({ groups: ['other'], sub: 'other' })
  for (let round = 0; round < 5; round += 1) {
    const leaving = new AbortController()
    const response = await running.call(`${sessions}?length=left-${round}`, { token, signal: leaving.signal })
    await response.body?.getReader().read()
    leaving.abort()
    expect(await (await running.call(`${sessions}?pieces=after-${round}`, { token })).text()).toBe(body)
  }
})

test('a long answer from the cache arrives whole beside callers who do not read it or leave', async () => {
  const token = await running.token({ groups: ['caching'] })
  const target = `${sessions}/devin-1/insights?length=cached`
  const asked = running.upstream.seen.length
  expect(await (await running.call(target, { token })).text()).toBe(body)
  for (let index = 0; index < unread; index += 1) {
    const socket = await openSocket(running.port)
    sockets.push(socket)
    socket.on('error', () => {})
    socket.pause()
    socket.write(`GET ${target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`)
    if (index % 2 === 0) socket.end()
  }
  const answers = await Promise.all([1, 2, 3].map(async () => await running.call(target, { token })))
  const texts = await Promise.all(answers.map(async (answer) => await answer.text()))
  const head = await running.call(target, { token, method: 'HEAD' })
  expect(texts.map((text) => (text === body ? 'whole' : text.slice(0, 300)))).toEqual(['whole', 'whole', 'whole'])
  expect([head.headers.get('content-length'), await head.text()]).toEqual([String(body.length), ''])
  expect(running.upstream.seen.length).toBe(asked + 1)
})
