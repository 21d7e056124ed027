// Filtered answers of an upstream that answers as it likes: odd shapes, codings, sizes, errors and redirects. What is not
// sure to be the caller's does not pass.

import { brotliCompressSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { problemOf } from '../support/three-sides.ts'
import { rawRequest, sendRaw, type RawAnswer } from '../support/raw-request.ts'
import { startTestGateway, usualKeys, type RunningGateway } from '../support/start-gateway.ts'
import { fieldOf } from '../support/upstream.ts'

const list = '/v3/enterprise/sessions'
const one = '/v3/enterprise/sessions/devin-1'
const reports = '/v3/enterprise/reports'

let running: RunningGateway
let token = ''
/** Distinct targets, so that nothing is answered from the cache. */
let count = 0

beforeAll(async () => {
  running = await startTestGateway({
    policies: {
      'teams/pair.yaml': `team: pair
members: [{ groups: [sso-pair] }]
organizations: [org-a, org-b]
grants: [{ id: read, allow: [ent.sessions.list, ent.sessions.get, ent.reports.list, org.sessions.*] }]
`,
      'guardrails.yaml': `guardrails:
  - id: own
    on: [ent.sessions.list, ent.sessions.get, ent.reports.list]
    response: { filter_items_by: organizations }
  - id: quiet
    on: [org.sessions.list, org.sessions.create, org.sessions.get]
    response: { fields: [title] }
`,
      'keys.yaml': `keys:
  - { id: analytics, scope: enterprise, permissions: [ViewAccountSessions, UseDevinSessions], secret: { env: ANALYTICS_KEY } }
  - { id: runner, scope: organization, organization: org-a, permissions: [ViewOrgSessions, ManageOrgSessions, UseDevinSessions], secret: { env: PAYMENTS_RUNNER_KEY } }
`,
      'teams/payments.yaml': null,
      'teams/analytics.yaml': null,
    },
    config: 'catalogue: { files: [more.yaml] }',
    files: {
      'more.yaml': `operations:
  - id: ent.reports.list
    method: GET
    path: ${reports}
    scope: enterprise
    answer: { form: page, items: data, organization: owner.org_id }
`,
    },
  })
  token = await running.token({ sub: 'pia', groups: ['sso-pair'] })
})
afterAll(() => running.close())
beforeEach(() => {
  running.upstream.seen.length = 0
  running.upstream.takeOver(null)
})

async function get(path: string, fields: readonly string[] = [], method = 'GET'): Promise<RawAnswer> {
  count += 1
  const mark = path.includes('?') ? '&' : '?'
  // Behind a fence an enterprise operation takes documented parameters only.
  const target = path === one ? `${one}-${count}` : `${path}${mark}${path.startsWith(list) ? 'tags' : 'n'}=${count}`
  return sendRaw(running.port, rawRequest(method, target, [`Authorization: Bearer ${token}`, ...fields]))
}

const json = { 'content-type': 'application/json' }

interface How {
  readonly status?: number
  readonly fields?: Readonly<Record<string, string>>
}

function answer(body: string | Buffer, { status = 200, fields = {} }: How = {}): void {
  running.upstream.respond((_request, response) => {
    const length = status === 204 || status === 304 ? {} : { 'content-length': Buffer.byteLength(body) }
    response.writeHead(status, { ...json, ...length, ...fields }).end(body)
  })
}

const own = { session_id: 'devin-own', org_id: 'org-a', title: 'Own' }
const foreign = { session_id: 'devin-foreign', org_id: 'org-z', title: 'Foreign' }
const page = (items: readonly unknown[], more: object = {}): string =>
  JSON.stringify({ items, end_cursor: 'devin-foreign', has_next_page: false, total: items.length, ...more })

describe('a list', () => {
  test('has neither the foreign item, nor its count, nor its cursor', async () => {
    answer(page([own, foreign]))
    const { body, status } = await get(list)
    expect(status).toBe(200)
    const shown = JSON.parse(body) as { items: unknown; end_cursor: string; total: number }
    expect(shown.items).toEqual([own])
    expect(shown.total).toBe(1)
    expect(Buffer.from(shown.end_cursor, 'base64url').toString('latin1')).not.toContain('foreign')
    expect(body).not.toContain('foreign')
  })

  test('tells nothing of itself by its fields', async () => {
    answer(page([own, foreign]), {
      fields: {
        etag: '"of-all"',
        'last-modified': 'Thu, 26 Nov 2026 10:00:00 GMT',
        'content-digest': 'sha-256=:x:',
        link: '</v3/enterprise/sessions?after=devin-foreign>; rel="next"',
        'x-devin-total': '2',
        'content-location': '/v3/enterprise/sessions/devin-foreign',
        warning: '199 - "devin-foreign"',
      },
    })
    const { fields } = await get(list)
    expect(fields['etag']).not.toContain('of-all')
    const ours = ['etag', 'date', 'connection', 'keep-alive', 'cache-status', 'x-request-id', 'gateway-decision']
    expect(
      Object.keys(fields)
        .filter((name) => !ours.includes(name))
        .sort(),
    ).toEqual(['content-length', 'content-type'])
  })

  test('goes on through the pages of Devin without the conditions of the caller, in a coding that can be read', async () => {
    const pages = [page([foreign, foreign], { has_next_page: true, end_cursor: 'one+/=' }), page([own])]
    running.upstream.respond((_request, response) => {
      response.writeHead(200, json).end(pages[running.upstream.seen.length - 1])
    })
    const fields = [
      'If-None-Match: "x"',
      'Accept-Encoding: br, zstd',
      'If-Modified-Since: Thu, 26 Nov 2026 10:00:00 GMT',
    ]
    const { body, fields: answered } = await get(`${list}?first=3`, fields)
    expect(JSON.parse(body)).toMatchObject({ items: [own], has_next_page: false })
    expect(answered['content-encoding']).toBeUndefined()
    const [first, second] = running.upstream.seen
    expect(first?.target).toBe(`${list}?tags=${count}&org_ids=org-a&org_ids=org-b&first=3`)
    expect(second?.target).toBe(`${list}?tags=${count}&org_ids=org-a&org_ids=org-b&first=200&after=one%2B%2F%3D`)
    for (const seen of [first, second]) {
      for (const name of ['if-none-match', 'if-modified-since']) expect(fieldOf(seen, name)).toBeUndefined()
      expect(fieldOf(seen, 'accept-encoding')).toBe('gzip')
      expect(fieldOf(seen, 'authorization')).toBe(`Bearer ${usualKeys['ANALYTICS_KEY']}`)
    }
  })

  test('of which a part is wanted is filtered before', async () => {
    answer(page([foreign, own]))
    const { status, body } = await get(list, ['Range: bytes=10-49'])
    expect([status, body]).toEqual([206, JSON.stringify({ items: [own] }).slice(10, 50)])
    expect(fieldOf(running.upstream.seen[0], 'range')).toBeUndefined()
  })

  test.each([
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
  ])('is read in the coding in which it comes: %s', async (coding, compress) => {
    const many = Array.from({ length: 3000 }, (_, index) => ({ ...(index % 2 === 0 ? own : foreign), index }))
    for (const items of [[own, foreign], many]) {
      answer(compress(page(items)), { fields: { 'content-encoding': coding } })
      const { body, fields } = await get(list)
      expect(fields['content-encoding']).toBeUndefined()
      const shown = JSON.parse(body) as { items: { org_id: string }[]; has_next_page: boolean }
      expect(shown.items.length).toBe(items.length === 2 ? 1 : 100)
      expect(shown.items.every(({ org_id }) => org_id === 'org-a')).toBe(true)
      expect(shown.has_next_page).toBe(items.length > 2)
    }
  })

  test.each<[string, string | Buffer, How]>([
    ['an item without organization', page([own, { session_id: 'devin-x' }]), {}],
    ['an item with two', `{"items":[{"org_id":"org-z","org_id":"org-a"}],"has_next_page":false}`, {}],
    ['two lists', `{"items":[],"items":[${JSON.stringify(foreign)}]}`, {}],
    ['a bare list', JSON.stringify([own, foreign]), {}],
    ['half a list', page([own, foreign]).slice(0, -3), {}],
    ['two documents', page([own]) + page([foreign]), {}],
    ['a text', '<h1>devin-foreign</h1>', { fields: { 'content-type': 'text/html' } }],
    ['JSON that says that it is a text', page([own]), { fields: { 'content-type': 'text/plain' } }],
    ['a redirect', page([foreign]), { status: 307, fields: { location: 'https://store.example/all' } }],
    ['a part', page([own]), { status: 206 }],
    ['no content', '', { status: 204 }],
    ['an unasked 304', '', { status: 304 }],
    ['bytes that are no UTF-8', Buffer.from(page([{ ...own, title: '\xff' }]), 'latin1'), {}],
    ['a broken coding', gzipSync(page([own])).subarray(0, -9), { fields: { 'content-encoding': 'gzip' } }],
    ['an item that is too large', page([{ ...own, title: 'x'.repeat(1_100_000) }]), {}],
  ])('is refused, and nothing of it passes: %s', async (_, body, how) => {
    answer(body, how)
    const answered = await get(list)
    expect(answered.status).toBe(502)
    expect(problemOf(answered).type).toBe('/gateway/v1/problems/upstream-answer-refused')
    expect(answered.text).not.toMatch(/devin-(?:own|foreign|x)|org-z|store\.example/)
  })

  test('of an error passes with its body, and without a link', async () => {
    answer('{"detail":[{"loc":["query","tags"],"msg":"bad","type":"x"}]}', {
      status: 422,
      fields: { link: '<x>', 'retry-after': '3' },
    })
    const { status, body, fields } = await get(list)
    expect([status, JSON.parse(body)]).toEqual([422, { detail: [{ loc: ['query', 'tags'], msg: 'bad', type: 'x' }] }])
    expect([fields['link'], fields['retry-after']]).toEqual([undefined, '3'])
  })

  test('still has its keys masked', async () => {
    answer(page([{ ...own, title: `key ${usualKeys['ANALYTICS_KEY']}` }]))
    const { body } = await get(list)
    expect(body).toContain('"title":"key cog_***')
    expect(body).not.toContain(usualKeys['ANALYTICS_KEY'])
  })

  test('that breaks off in the middle is no shorter list', async () => {
    running.upstream.takeOver((_request, response) => {
      response.writeHead(200, json)
      response.write(page([own, foreign]).slice(0, 60), () => response.destroy())
    })
    expect((await get(list)).status).toBe(502)
  })
})

describe('a single object', () => {
  test('passes in no part before it is known whose it is', async () => {
    let proceed: () => void = () => undefined
    running.upstream.takeOver((_request, response) => {
      response.writeHead(200, json)
      response.write('{"session_id":"devin-foreign","title":"Foreign",')
      proceed = () => response.end('"org_id":"org-z"}')
      setTimeout(() => proceed(), 50)
    })
    const refused = await get(one)
    expect(refused.status).toBe(403)
    expect(refused.text).not.toContain('oreign')
  })

  test.each([403, 404, 409, 410, 451])('that Devin answers with %i is refused like a foreign one', async (status) => {
    answer(JSON.stringify(foreign))
    const expected = problemOf(await get(one))
    answer('{"detail":"devin-foreign is not here"}', { status })
    const { detail, title, reason } = problemOf(await get(one))
    expect({ detail, title, reason }).toEqual({
      detail: expected.detail,
      title: expected.title,
      reason: expected.reason,
    })
    expect(expected).toMatchObject({ status: 403, reason: 'organization-not-granted' })
  })

  test.each([400, 422, 429, 500, 503])('passes an answer about the request or about Devin: %i', async (status) => {
    answer('{"detail":"x"}', { status })
    expect((await get(one)).status).toBe(status)
  })

  test.each([
    ['{"session_id":"devin-1"}', {}],
    ['{"org_id":"org-z","org_id":"org-a"}', {}],
    ['[{"org_id":"org-a"}]', {}],
    ['{"org_id":"org-a"}', { status: 202 }],
    ['{"org_id":"org-a"}', { fields: { 'content-type': 'text/event-stream' } }],
    [`{"org_id":"org-a","text":"${'x'.repeat(9_000_000)}"}`, {}],
  ])('of an unknown shape is refused: %.40s', async (body, how) => {
    answer(body, how)
    expect((await get(one)).status).toBe(502)
  })

  test('passes byte for byte', async () => {
    const body = '{ "org_id": "org-b", "acus_consumed": 1.50, "big": 12345678901234567890 }'
    answer(body)
    expect((await get(one)).body).toBe(body)
  })
})

test('a list that comes whole, of an operation that operators have added, is filtered as its extension file says', async () => {
  answer('{"count":2,"data":[{"owner":{"org_id":"org-y"}},{"owner":{"org_id":"org-b"},"n":1}],"next":"org-y"}')
  const { body } = await get(reports)
  expect(body).toBe('{"data":[{"owner":{"org_id":"org-b"},"n":1}]}')
  answer('{"data":[{"owner":{}}]}')
  expect((await get(reports)).status).toBe(502)
})

describe('fields that are dropped', () => {
  const org = '/v3/organizations/org-a/sessions'

  test('are dropped from lists, objects and the answers to writes, and nothing else is', async () => {
    answer('{"items":[{"title":"x","n":1.0}],"end_cursor":"c","has_next_page":true,"total":7,"new":[1]}')
    expect((await get(org)).body).toBe(
      '{"items":[{"n":1.0}],"end_cursor":"c","has_next_page":true,"total":7,"new":[1]}',
    )
    answer('{"title":"x","org_id":"org-q"}')
    expect((await get(`${org}/devin-1`)).body).toBe('{"org_id":"org-q"}')
    answer('{"title":"x","session_id":"devin-2"}', { status: 201 })
    const created = await sendRaw(
      running.port,
      rawRequest(
        'POST',
        org,
        [`Authorization: Bearer ${token}`, 'Content-Type: application/json', 'Content-Length: 26'],
        '{"prompt":"x","title":"y"}',
      ),
    )
    expect([created.status, created.body]).toEqual([201, '{"session_id":"devin-2"}'])
    expect(running.upstream.seen.at(-1)?.body.toString()).toBe('{"prompt":"x","title":"y"}')
  })

  test('leave what has no JSON as it is, and refuse what should have', async () => {
    answer('', { status: 404 })
    expect((await get(`${org}/devin-1`)).status).toBe(404)
    answer('title', { fields: { 'content-type': 'text/plain' } })
    expect((await get(`${org}/devin-1`)).status).toBe(502)
  })
})
