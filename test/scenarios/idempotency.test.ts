// Creates with an Idempotency-Key over real sockets: how often Devin is asked, and what each caller gets.

import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { rawRequest, sendRaw } from '../support/raw-request.ts'
import { startTestGateway, until, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'
import { fieldOf } from '../support/upstream.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const extension = `operations:
  - id: org.reports.create
    method: POST
    path: /v3/organizations/{org_id}/reports
    scope: organization
    permission: ManageOrgSessions
    idempotent: true
`

let running: RunningGateway
let created: number
beforeAll(async () => {
  const file = join(tmpdir(), `idempotency-${process.pid}.yaml`)
  await writeFile(file, extension)
  running = await startTestGateway({
    policies: {
      'teams/payments.yaml': `${usualPolicies['teams/payments.yaml'] ?? ''}limits: { apps: { limited: { writes: 1/h }, budgeted: { sessions: 1/day } } }\n`,
    },
    upstream: '{ origin: ORIGIN, timeouts: { headers: 2s, body_idle: 2s } }',
    config: `catalogue: { files: ['${file}'] }`,
  })
})
afterAll(() => running.close())
beforeEach(() => {
  created = 0
  running.upstream.seen.length = 0
  running.upstream.takeOver(null)
  running.upstream.respond((_request, response) => {
    created += 1
    const fields = { 'content-type': 'application/json', 'x-ratelimit-remaining': '7', location: `/v3/s-${created}` }
    response.writeHead(201, fields).end(`{"session_id":"s-${created}"}`)
  })
})

type Init = Parameters<RunningGateway['call']>[1]

function create(key: string | null, init: Init = {}, path = sessions): Promise<Response> {
  const { headers, ...rest } = init
  const keyField: Record<string, string> = key === null ? {} : { 'idempotency-key': key }
  return running.call(path, {
    method: 'POST',
    body: '{"prompt":"x"}',
    ...rest,
    headers: { ...keyField, ...(headers as Record<string, string> | undefined) },
  })
}

async function problemOf(
  response: Response,
): Promise<{ status: number; kind: string; reason: string; detail: string }> {
  const document = (await response.json()) as { status: number; type: string; reason: string; detail: string }
  return { ...document, kind: document.type.replace('/gateway/v1/problems/', '') }
}

describe('a create that is repeated under its key', () => {
  it('is done once, and answered again as it was, marked as such and recorded', async () => {
    const first = await create('"again"')
    const second = await create('again')
    expect([first.status, second.status, created]).toEqual([201, 201, 1])
    expect(await second.text()).toBe(await first.text())
    expect([first.headers.get('idempotency-replayed'), second.headers.get('idempotency-replayed')]).toEqual([
      null,
      'true',
    ])
    for (const name of ['content-type', 'location', 'date', 'content-length'])
      expect(second.headers.get(name), name).toBe(first.headers.get(name))
    // What was about the first request alone is not said again.
    for (const name of ['cache-status', 'x-ratelimit-remaining']) expect(second.headers.get(name), name).toBeNull()
    expect(second.headers.get('x-request-id')).not.toBe(first.headers.get('x-request-id'))
    const { access, decision } = await running.recordsOf(second.headers.get('gateway-decision'))
    expect(access).toMatchObject({ outcome: 'replayed', status: 201, upstream_status: null, key: null, cache: null })
    expect(decision).toMatchObject({ effect: 'allow', operation: 'org.sessions.create' })
  })

  it.each([
    ['a message', `${sessions}/devin-1/messages`, '{"message":"go on"}'],
    ['an operation of an extension file', '/v3/organizations/org-payments/reports', 'any bytes'],
  ])('is done once, also when it is %s', async (what, path, body) => {
    for (let round = 0; round < 3; round++) expect((await create(`"${what}"`, { body }, path)).status).toBe(201)
    expect(created).toBe(1)
  })

  it('goes to Devin with its body as the caller sent it, and never with the key', async () => {
    await create('"as-sent"', { body: '{"prompt": "x" }' })
    const [seen] = running.upstream.seen
    expect(seen?.body.toString()).toBe('{"prompt": "x" }')
    expect(JSON.stringify(seen)).not.toContain('as-sent')
  })

  it.each([
    ['a create', sessions],
    ['an operation that is none', `${sessions}/devin-1/tags`],
  ])('of %s has a key at Devin that is the same for its repetitions and no other caller', async (_what, path) => {
    const keyAtDevin = async (key: string, who: Record<string, unknown>): Promise<string | null> => {
      const answer = await running.call(path, {
        method: 'POST',
        body: '{}',
        headers: { 'content-type': 'application/json', 'idempotency-key': key },
        token: await running.token(who),
      })
      expect(answer.status).toBe(201)
      return fieldOf(running.upstream.seen.at(-1), 'idempotency-key') ?? null
    }
    const ada = await keyAtDevin(`"shared ${path}"`, { sub: 'ada' })
    expect(ada).toMatch(/^"[\w-]{43}"$/)
    expect(await keyAtDevin(`"shared ${path}"`, { sub: 'ada' })).toBe(ada)
    const others = [
      await keyAtDevin(`"shared ${path}"`, { sub: 'bob' }),
      await keyAtDevin(`"shared ${path}"`, { sub: 'ada', azp: 'cli' }),
      await keyAtDevin(`"other ${path}"`, { sub: 'ada' }),
    ]
    expect(new Set([ada, ...others]).size).toBe(4)
  })

  it('is sent again each time when it has no key', async () => {
    for (let round = 0; round < 3; round++) await create(null)
    expect(created).toBe(3)
  })

  it('is sent again each time when the operation is not one of creates', async () => {
    for (let round = 0; round < 2; round++)
      expect((await create('not-here', { body: '{}' }, `${sessions}/devin-1/tags`)).status).toBe(201)
    expect(created).toBe(2)
  })

  it('costs one use of a limit, however often it is repeated', async () => {
    const claims = { app: 'limited', azp: 'limited' }
    for (let round = 0; round < 4; round++) expect((await create('limited', { claims })).status).toBe(201)
    const other = await create('limited-2', { claims })
    expect(other.status).toBe(429)
    // The refused one did not take the key: it is refused by the limit again, not by the key.
    expect((await create('limited-2', { claims, body: '{"prompt":"y"}' })).status).toBe(429)
    expect(created).toBe(1)
  })

  it('is reserved once in a budget, and what the budget refuses keeps no key', async () => {
    const claims = { app: 'budgeted', azp: 'budgeted' }
    for (let round = 0; round < 3; round++) expect((await create('budgeted', { claims })).status).toBe(201)
    for (const body of ['{"prompt":"x"}', '{"prompt":"y"}']) {
      const refused = await create('budgeted-2', { claims, body })
      expect(await problemOf(refused)).toMatchObject({ status: 429, kind: 'budget-exceeded' })
    }
    expect(created).toBe(1)
  })

  it('is answered again in the plain, whatever coding its first caller took', async () => {
    running.upstream.respond((request, response) => {
      created += 1
      const coded = request.headers['accept-encoding']?.includes('gzip') === true
      response.writeHead(201, { 'content-type': 'application/json', ...(coded ? { 'content-encoding': 'gzip' } : {}) })
      response.end(coded ? gzipSync('{"id":1}') : '{"id":1}')
    })
    const token = await running.token()
    const fields = [`Authorization: Bearer ${token}`, 'Idempotency-Key: coded', 'Content-Length: 2']
    const first = await sendRaw(running.port, rawRequest('POST', sessions, [...fields, 'Accept-Encoding: gzip'], '{}'))
    const second = await sendRaw(running.port, rawRequest('POST', sessions, fields, '{}'))
    const plain = ({ body, fields: sent }: typeof first): string =>
      sent['content-encoding'] === 'gzip' ? gunzipSync(Buffer.from(body, 'latin1')).toString() : body
    expect([plain(first), second.body, second.fields['content-encoding']]).toEqual(['{"id":1}', '{"id":1}', undefined])
    expect(created).toBe(1)
  })

  it('is decided each time: who may not ask any more gets no answer of before', async () => {
    const claims = { groups: ['sso-payments-eng', 'sso-analytics'] }
    expect((await create('decided', { claims })).status).toBe(201)
    const refused = await create('decided', { claims: { groups: ['sso-analytics'] } })
    expect(refused.status).toBe(403)
    expect(created).toBe(1)
  })

  it('belongs to one caller: another person, or the same through an app, creates again', async () => {
    for (const claims of [{}, { sub: 'bob' }, { azp: 'some-app' }, {}]) await create('shared', { claims })
    expect(created).toBe(3)
  })
})

describe('a key', () => {
  it('that was used for another body or path is refused with 422, and nothing is sent', async () => {
    await create('reused')
    for (const response of [
      await create('reused', { body: '{"prompt":"y"}' }),
      await create('reused', {}, `${sessions}?x=1`),
      await create('reused', { body: '{"message":"x"}' }, `${sessions}/devin-1/messages`),
    ]) {
      expect(await problemOf(response)).toMatchObject({ status: 422, kind: 'idempotency-key-reused' })
      expect(response.headers.get('x-should-retry')).toBe('false')
    }
    expect(created).toBe(1)
  })

  it('whose create is under way answers 409 with Retry-After, and then the answer', async () => {
    let finish = (): void => {}
    running.upstream.respond((_request, response) => {
      finish = () => void response.writeHead(201).end('{"session_id":"slow"}')
    })
    const first = create('slow')
    await until(() => running.upstream.seen.length === 1, 'the create to arrive')
    const second = await create('slow')
    expect(second.headers.get('retry-after')).toBe('1')
    expect(await problemOf(second)).toMatchObject({ status: 409, kind: 'idempotency-in-progress' })
    finish()
    expect(await (await first).text()).toBe('{"session_id":"slow"}')
    expect(await (await create('slow')).text()).toBe('{"session_id":"slow"}')
    expect(running.upstream.seen).toHaveLength(1)
  })

  it.each([
    ['of two', ['Idempotency-Key: a', 'Idempotency-Key: a'], 'twice'],
    ['that is no string', ['Idempotency-Key: two words'], 'no string'],
    ['that is empty', ['Idempotency-Key: ""'], 'empty'],
    ['that is too long', [`Idempotency-Key: ${'x'.repeat(256)}`], '255'],
  ])('%s is refused with 400 and a sentence before anything is read or sent', async (_what, fields, says) => {
    const token = await running.token()
    const lines = [`Authorization: Bearer ${token}`, ...fields, 'Content-Length: 14']
    const answer = await sendRaw(running.port, rawRequest('POST', sessions, lines, '{"prompt":"x"}'))
    expect(answer.status).toBe(400)
    expect(JSON.parse(answer.body)).toMatchObject({ reason: 'idempotency-key', detail: expect.stringContaining(says) })
    expect(created).toBe(0)
  })

  it('is ignored for reads, whatever it looks like', async () => {
    const response = await running.call(sessions, { headers: { 'idempotency-key': 'two words' } })
    expect(response.status).toBe(201)
  })

  it('with a body above what can be looked at is refused with a sentence', async () => {
    const body = 'x'.repeat(1024 * 1024 + 1)
    const response = await create('large', { body }, '/v3/organizations/org-payments/reports')
    expect(await problemOf(response)).toMatchObject({
      status: 413,
      detail: expect.stringContaining('bodies.max_judged_size'),
    })
    expect(created).toBe(0)
  })

  it('and the answer kept under it are written down nowhere', async () => {
    running.upstream.respond((_request, response) => void response.writeHead(201).end('{"id":"a-planted-answer"}'))
    await create('a-planted-key')
    await create('a-planted-key')
    await create('a-planted-key', { body: '{"prompt":"z"}' })
    const everything = await running.everything()
    for (const text of ['a-planted-key', 'a-planted-answer']) expect(everything.includes(text), text).toBe(false)
    expect(everything).toMatch(/gateway_idempotency_total\{event="replayed"\} [1-9]/)
  })
})

describe('a create that failed', () => {
  it.each([400, 404, 409, 422, 429])('with %i surely did nothing: its key is free', async (status) => {
    running.upstream.respond((_request, response) => void response.writeHead(status).end('{"detail":"no"}'))
    const refused = await create(`refused-${status}`)
    expect([refused.status, await refused.text()]).toEqual([status, '{"detail":"no"}'])
    running.upstream.respond((_request, response) => void response.writeHead(201).end('{}'))
    const mended = { body: '{"prompt":"mended"}' }
    // After a 429 the key of the gateway rests for a while.
    await until(async () => (await create(`refused-${status}`, mended)).status === 201, 'the create')
  })

  it('because the key of the gateway was rejected did nothing either', async () => {
    running.upstream.respond((_request, response) => void response.writeHead(401).end('{}'))
    expect((await create('rejected')).status).toBe(502)
    running.upstream.respond((_request, response) => void response.writeHead(201).end('{}'))
    expect((await create('rejected')).status).toBe(201)
  })

  it.each([500, 503])('with %i is passed on, and is not sent again', async (status) => {
    running.upstream.respond((_request, response) => void response.writeHead(status).end('{"detail":"oops"}'))
    const failed = await create(`failed-${status}`)
    expect([failed.status, await failed.text()]).toEqual([status, '{"detail":"oops"}'])
    const again = await create(`failed-${status}`)
    expect(again.headers.get('x-should-retry')).toBe('false')
    expect(await problemOf(again)).toMatchObject({ status: 409, kind: 'idempotency-unclear' })
    expect(running.upstream.seen).toHaveLength(1)
  })

  it.each<[string, number, Parameters<RunningGateway['upstream']['respond']>[0]]>([
    ['a broken connection', 502, (request) => void request.socket.destroy()],
    ['an answer cut off in its head', 502, (request) => void request.socket.end('HTTP/1.1 201 Cre')],
    ['silence', 504, () => {}],
  ])('by %s is refused as unclear, and is not sent again', async (what, status, fail) => {
    running.upstream.respond(fail)
    expect((await create(`"${what}"`)).status).toBe(status)
    expect(await problemOf(await create(`"${what}"`))).toMatchObject({ status: 409, kind: 'idempotency-unclear' })
    expect(running.upstream.seen).toHaveLength(1)
  })

  it('by an answer that broke off in its body was done, and is not sent again', async () => {
    running.upstream.respond((request, response) => {
      response.writeHead(201, { 'content-length': '100' }).write('{"session')
      setImmediate(() => request.socket.destroy())
    })
    expect((await create('half')).status).toBe(502)
    expect(await problemOf(await create('half'))).toMatchObject({
      kind: 'idempotency-unclear',
      reason: 'answer-not-kept',
    })
    expect(running.upstream.seen).toHaveLength(1)
  })

  it('with an answer too large to keep passes whole, and is not sent again', async () => {
    const large = `{"text":"${'x'.repeat(700_000)}"}`
    running.upstream.respond((_request, response) => void response.writeHead(201).end(large))
    expect(await (await create('huge')).text()).toBe(large)
    expect(await problemOf(await create('huge'))).toMatchObject({
      kind: 'idempotency-unclear',
      reason: 'answer-not-kept',
    })
    expect(running.upstream.seen).toHaveLength(1)
  })

  it('because Devin cannot be reached was never sent: its key is free', async () => {
    const away = await startTestGateway({ issuer: running.issuer, upstream: '{ origin: "http://127.0.0.1:9" }' })
    const token = await away.token()
    for (let round = 0; round < 2; round++) {
      const headers = { 'idempotency-key': 'unreachable' }
      const response = await away.call(sessions, { method: 'POST', body: '{"prompt":"x"}', headers, token })
      expect(response.status).toBe(502)
    }
    await away.close()
  })
})

describe('a caller that leaves', () => {
  it('while its create is under way finds its answer when it comes back', async () => {
    let finish = (): void => {}
    running.upstream.respond((_request, response) => {
      finish = () => void response.writeHead(201).end('{"session_id":"kept"}')
    })
    const leave = new AbortController()
    const left = create('left', { signal: leave.signal, headers: { 'x-request-id': 'leaves' } })
    await until(() => running.upstream.seen.length === 1, 'the create to arrive')
    leave.abort()
    await left.catch(() => {})
    expect((await create('left')).status).toBe(409)
    finish()
    expect((await running.recordsOf('leaves')).access).toMatchObject({ outcome: 'aborted', upstream_status: 201 })
    await until(async () => (await create('left')).status === 201, 'the answer to be kept')
    expect(await (await create('left')).text()).toBe('{"session_id":"kept"}')
    expect(running.upstream.seen).toHaveLength(1)
  })

  it('without a key takes its create along, as before', async () => {
    let gone = false
    running.upstream.respond((request) => {
      request.socket.once('close', () => {
        gone = true
      })
    })
    const leave = new AbortController()
    const left = create(null, { signal: leave.signal })
    await until(() => running.upstream.seen.length === 1, 'the create to arrive')
    leave.abort()
    await left.catch(() => {})
    await until(() => gone, 'the upstream to be let go')
  })

  it('before its create was sent leaves its key free', async () => {
    const narrow = await startTestGateway({
      issuer: running.issuer,
      upstream: '{ origin: ORIGIN, connections: 1, max_waiting: 1 }',
    })
    const token = await narrow.token()
    narrow.upstream.respond(() => {})
    const leave = new AbortController()
    const headers = { 'idempotency-key': 'in-line' }
    const post = (signal?: AbortSignal): Promise<Response> =>
      narrow.call(sessions, { method: 'POST', body: '{"prompt":"x"}', headers, token, ...(signal ? { signal } : {}) })
    const hold = new AbortController()
    const holding = narrow.call(sessions, { token, signal: hold.signal }).catch(() => {})
    await until(() => narrow.upstream.seen.length === 1, 'the only connection to be taken')
    const waiting = post(leave.signal).catch(() => {})
    await until(async () => (await inFlight(narrow)) === 2, 'the create to wait in line')
    // With one in the queue, another is refused as overloaded: it was never sent, and keeps no key either.
    const other = { 'idempotency-key': 'overloaded' }
    for (let round = 0; round < 2; round++) {
      const init = { method: 'POST', body: '{"prompt":"x"}', headers: other, token }
      expect((await narrow.call(sessions, init)).status).toBe(503)
    }
    leave.abort()
    await waiting
    hold.abort()
    await holding
    narrow.upstream.respond((_request, response) => void response.writeHead(201).end('{}'))
    await until(async () => (await post()).status === 201, 'the key to be free')
    expect(narrow.upstream.seen.filter(({ method }) => method === 'POST')).toHaveLength(1)
    await narrow.close()
  })
})

/** Requests at the upstream or in the queue before it. */
async function inFlight({ adminUrl }: RunningGateway): Promise<number> {
  const status = (await (await fetch(`${adminUrl}/api/status`)).json()) as { upstream: { in_flight: number } }
  return status.upstream.in_flight
}
