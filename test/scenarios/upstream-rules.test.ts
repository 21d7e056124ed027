// Operations of an extension file whose answers are kept by the upstream's own fields (RFC 9111), and parts of answers, over
// real sockets. The public suite for this is run by bench/conformance.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { rawRequest, sendRaw, type RawAnswer } from '../support/raw-request.ts'
import { startTestGateway, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'
import { fieldOf } from '../support/upstream.ts'

const things = '/v3/organizations/org-payments/things'
const extension = `operations:
  - { id: org.things.get, method: GET, path: "/v3/organizations/{org_id}/things/{id}", scope: organization, cache: rfc9111 }
  - { id: org.things.put, method: PUT, path: "/v3/organizations/{org_id}/things/{id}", scope: organization }
  - { id: org.things.search, method: M-SEARCH, path: "/v3/organizations/{org_id}/things/{id}", scope: organization }
  - { id: org.guesses.get, method: GET, path: "/v3/organizations/{org_id}/guesses/{id}", scope: organization, cache: rfc9111-heuristic }
  - { id: org.things.review.get, method: GET, path: "/v3/organizations/{org_id}/things/{id}/review", scope: organization, served: false }
`
let directory: string
let running: RunningGateway
let fresh = 0

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gateway-extension-'))
  await writeFile(join(directory, 'extension.yaml'), extension)
  running = await startTestGateway({
    config: `catalogue: { files: ["${join(directory, 'extension.yaml')}"] }`,
    policies: {
      'teams/payments.yaml': (usualPolicies['teams/payments.yaml'] ?? '')
        .replace('cache: { at_most: 0s }\n', '')
        .replace('org.attachments.*', 'org.attachments.*, org.things.*, org.guesses.*'),
    },
  })
})
afterAll(async () => {
  await running.close()
  await rm(directory, { recursive: true, force: true, maxRetries: 5 })
})
beforeEach(() => {
  running.upstream.seen.length = 0
})

function path(under = things): string {
  fresh += 1
  return `${under}/t${fresh}`
}

function answer(fields: Record<string, string>, status = 200, body = '0123456789'): void {
  running.upstream.respond((_request, response) => response.writeHead(status, fields).end(body))
}

async function ask(method: string, target: string, fields: readonly string[] = []): Promise<RawAnswer> {
  return await sendRaw(
    running.port,
    rawRequest(method, target, [`Authorization: Bearer ${await running.token()}`, ...fields]),
  )
}

const statusOf = (response: Response): string => response.headers.get('cache-status') ?? ''

test('an operation that waits for a review is refused, though a grant by pattern covers it', async () => {
  const response = await running.call(`${path()}/review`)
  expect(response.status).toBe(403)
  expect(await response.json()).toMatchObject({
    type: '/gateway/v1/problems/unknown-operation',
    reason: 'operation-not-served',
    detail: expect.stringContaining('org.things.review.get is not served until it is reviewed'),
  })
  expect(running.upstream.seen).toEqual([])
})

describe('what the upstream says of its answers', () => {
  test('max-age is enough to share one: whoever shares it would have asked with the same key', async () => {
    const target = path()
    answer({ 'cache-control': 'max-age=60' })
    await running.call(target)
    const second = await running.call(target, { claims: { sub: 'bob' } })
    expect(statusOf(second)).toMatch(/; hit; ttl=\d\d$/)
    expect(running.upstream.seen).toHaveLength(1)
  })

  test.each([
    ['private', { 'cache-control': 'private, max-age=60' }, 'private'],
    ['no-store', { 'cache-control': 'no-store' }, 'no-store'],
    ['Vary: *', { 'cache-control': 'max-age=60', vary: '*' }, 'vary'],
    ['nothing, where nothing is guessed', { 'last-modified': 'Wed, 01 Jan 2020 00:00:00 GMT' }, null],
  ])('%s', async (_name, fields, detail) => {
    const target = path()
    answer(fields)
    if (detail !== null) expect(statusOf(await running.call(target))).toContain(`detail=${detail}`)
    await running.call(target)
    expect(statusOf(await running.call(target))).not.toContain('hit')
  })

  test('CDN-Cache-Control governs in place of Cache-Control', async () => {
    const target = path()
    answer({ 'cache-control': 'max-age=60', 'cdn-cache-control': 'no-store' })
    await running.call(target)
    expect(statusOf(await running.call(target))).toContain('detail=no-store')
  })

  test('nothing is guessed but where the operation says so', async () => {
    const target = path('/v3/organizations/org-payments/guesses')
    answer({ 'last-modified': 'Wed, 01 Jan 2020 00:00:00 GMT' })
    await running.call(target)
    expect(statusOf(await running.call(target))).toContain('; hit')
  })

  test('a 304 that speaks of a length validates what is stored', async () => {
    const target = path()
    answer({ 'cache-control': 'max-age=0', etag: '"a"' })
    await running.call(target)
    answer({ 'cache-control': 'max-age=60', etag: '"a"', 'content-length': '10' }, 304, '')
    const validated = await running.call(target)
    expect([validated.status, await validated.text(), statusOf(validated)]).toEqual([
      200,
      '0123456789',
      expect.stringContaining('fwd=stale; fwd-status=304; stored'),
    ])
    expect(statusOf(await running.call(target))).toContain('; hit')
  })

  test('429 is never kept, whatever it says', async () => {
    const target = path()
    answer({ 'cache-control': 'max-age=60', 'retry-after-ms': '1' }, 429)
    expect(statusOf(await running.call(target))).toContain('detail=no-store')
    await running.call(target)
    expect(running.upstream.seen).toHaveLength(2)
  })

  test('a write drops its own path, unless the upstream answers with an error of its own', async () => {
    const target = path()
    answer({ 'cache-control': 'max-age=60' })
    await running.call(target)
    answer({}, 500)
    await running.call(target, { method: 'PUT', body: 'x' })
    expect(statusOf(await running.call(target))).toContain('; hit')
    answer({ 'cache-control': 'max-age=60' })
    await running.call(target, { method: 'PUT', body: 'x' })
    expect(statusOf(await running.call(target))).toContain('fwd=uri-miss')
    // Any other method is a write, too.
    expect((await running.call(target, { method: 'M-SEARCH' })).status).toBe(200)
    expect(statusOf(await running.call(target))).toContain('fwd=uri-miss')
  })
})

describe('a part of an answer', () => {
  test('is given from the whole, which is asked for without Range and kept', async () => {
    const target = path()
    answer({ 'cache-control': 'max-age=60', etag: '"a"' })
    const first = await running.call(target, { headers: { range: 'bytes=2-4' } })
    expect([first.status, first.headers.get('content-range'), await first.text()]).toEqual([206, 'bytes 2-4/10', '234'])
    const second = await running.call(target, { headers: { range: 'bytes=-3' } })
    expect([second.status, await second.text(), statusOf(second)]).toEqual([
      206,
      '789',
      expect.stringContaining('; hit'),
    ])
    const beyond = await running.call(target, { headers: { range: 'bytes=99-' } })
    expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, 'bytes */10'])
    // Not by `fetch`, which adds `no-cache` to a condition of the caller's own.
    const other = await ask('GET', target, ['Range: bytes=0-1', 'If-Range: "b"'])
    expect([other.status, other.body]).toEqual([200, '0123456789'])
    expect(running.upstream.seen).toHaveLength(1)
    expect([fieldOf(running.upstream.seen[0], 'range'), fieldOf(running.upstream.seen[0], 'if-range')]).toEqual([
      undefined,
      undefined,
    ])
  })

  test('of an operation by class is given, too, and of what is never kept the whole', async () => {
    answer({ 'content-type': 'application/json' })
    const sessions = '/v3/organizations/org-payments/sessions?first=41'
    const part = await running.call(sessions, { headers: { range: 'bytes=0-0' } })
    expect([part.status, await part.text()]).toEqual([206, '0'])
    const messages = '/v3/organizations/org-payments/sessions/devin-1/messages'
    const whole = await running.call(messages, { headers: { range: 'bytes=0-0' } })
    expect([whole.status, await whole.text()]).toEqual([200, '0123456789'])
    expect(running.upstream.seen.map((seen) => fieldOf(seen, 'range'))).toEqual([undefined, undefined])
  })
})

test('HEAD of what is stored has its fields and length, and Age', async () => {
  const target = path()
  answer({ 'cache-control': 'max-age=60', etag: '"a"' })
  await running.call(target)
  const head = await ask('HEAD', target)
  expect([head.status, head.fields['content-length'], head.fields['etag'], head.fields['age']]).toEqual([
    200,
    '10',
    '"a"',
    '0',
  ])
  expect(running.upstream.seen).toHaveLength(1)
})
