// Bodies: what the policy judges is what the upstream reads, what it does not judge goes byte for byte, and an
// organization id is held against the fence wherever it stands.

import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openSocket, parseAnswer } from '../support/raw-request.ts'
import { startTestGateway, until, usualKeys, type RunningGateway } from '../support/start-gateway.ts'
import { ask, kindOf, ofAnswer, watch } from '../support/three-sides.ts'
import { fieldOf } from '../support/upstream.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const plain = `Bearer ${usualKeys['PAYMENTS_RUNNER_KEY']}`
let running: RunningGateway
let token: string

beforeAll(async () => {
  running = await startTestGateway({
    policies: {
      'teams/fenced.yaml': `team: fenced
members:
  - groups: [sso-fenced]
organizations: [org-payments]
default_organization: org-payments
grants:
  - id: enterprise-reads
    allow: [ent.sessions.*, ent.org-group-limits.*, ent.metrics.*, ent.organizations.*]
`,
      'keys.yaml': `keys:
  - id: payments-runner
    scope: organization
    organization: org-payments
    permissions: [ViewOrgSessions, ManageOrgSessions, UseDevinSessions, Read, IndexOrgRepositories]
    secret: { env: PAYMENTS_RUNNER_KEY }
  - id: payments-impersonator
    scope: organization
    organization: org-payments
    permissions: [ViewOrgSessions, ManageOrgSessions, UseDevinSessions, ImpersonateOrgSessions, Read]
    secret: { env: PAYMENTS_IMPERSONATOR_KEY }
  - id: analytics
    scope: enterprise
    permissions: [ViewAccountMetrics, ViewAccountSessions, ManageAccountSessions, ManageOrganizations, ManageAccountMembership]
    secret: { env: ANALYTICS_KEY }
`,
    },
    config: 'bodies: { max_size: 200KiB, max_judged_size: 10KiB }',
  })
  token = await running.token()
})
afterAll(() => running.close())
beforeEach(() => {
  running.upstream.seen.length = 0
  running.upstream.takeOver(null)
})

function post(
  body: string | Buffer<ArrayBuffer>,
  headers: Record<string, string> = {},
  path = sessions,
): Promise<Response> {
  return running.call(path, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', ...headers },
  })
}

async function kindOfResponse(answer: Response): Promise<string> {
  const document = (await answer.json()) as { type?: string }
  return document.type?.split('/').at(-1) ?? ''
}

describe('a body that the policy has to look into', () => {
  test.each([
    ['a byte order mark', Buffer.from('\ufeff{"prompt":"x"}')],
    ['UTF-16', Buffer.from('{"prompt":"x"}', 'utf16le')],
    ['UTF-16 with a byte order mark', Buffer.from('\ufeff{"prompt":"x"}', 'utf16le')],
    ['bytes that are not UTF-8', Buffer.from([0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xff, 0x22, 0x7d])],
    ['an overlong encoding', Buffer.from('7b2261223a22c0af227d', 'hex')],
    ['an encoded surrogate', Buffer.from('7b2261223a22eda080227d', 'hex')],
    ['a name twice', Buffer.from('{"prompt":"x","prompt":"y"}')],
    ['a name twice, one of them escaped', Buffer.from('{"create_as_user_id":null,"create_as\\u005fuser_id":"bob"}')],
    ['a name twice, first the escaped one', Buffer.from('{"\\u0063reate_as_user_id":"bob","create_as_user_id":null}')],
    ['a nested name twice', Buffer.from('{"a":{"b":1,"b":2}}')],
    ['a comment', Buffer.from('{"prompt":"x"/*,"create_as_user_id":"bob"*/}')],
    ['single quotes', Buffer.from("{'prompt':'x'}")],
    ['a final comma', Buffer.from('{"prompt":"x",}')],
    ['two documents', Buffer.from('{"prompt":"x"}{"create_as_user_id":"bob"}')],
    ['two documents in lines', Buffer.from('{"prompt":"x"}\n{"create_as_user_id":"bob"}')],
    ['garbage behind it', Buffer.from('{"prompt":"x"}\u0000')],
    ['NaN', Buffer.from('{"prompt":NaN}')],
    ['a raw control byte in a string', Buffer.from('{"prompt":"\u0001"}')],
    ['a form', Buffer.from('prompt=x&create_as_user_id=bob')],
    ['nothing but spaces', Buffer.from('   ')],
    ['a depth of 100,000', Buffer.from('['.repeat(5000) + ']'.repeat(5000))],
    [
      'a multipart body',
      Buffer.from('--b\r\nContent-Disposition: form-data; name="create_as_user_id"\r\n\r\nbob\r\n--b--\r\n'),
    ],
  ])('is refused with %s', async (_name, body) => {
    const answer = await post(body)
    expect([answer.status, await kindOfResponse(answer)]).toEqual([400, 'body-unreadable'])
    expect(running.upstream.seen).toEqual([])
  })

  test.each([
    'application/json\t',
    'application/json;charset=utf-8',
    'application/jsongarbage',
    'APPLICATION/JSON',
    'text/plain',
    'application/octet-stream',
    'application/vnd.api+json',
    'application/x-ndjson',
    ' application/json',
    'application/json, text/plain',
    'garbage',
    '',
  ])('is judged whatever the media type says: "%s"', async (type) => {
    const body = '{"prompt":"x","create_as_user_id":"email|bob"}'
    const { answer, seen } = await ask(running, 'POST', sessions, {
      fields: [`Content-Type: ${type}`, `Content-Length: ${body.length}`],
      body,
    })
    expect([answer.status, kindOf(answer)]).toEqual([403, 'not-granted'])
    expect(seen).toEqual([])
  })

  test('is judged without any media type', async () => {
    const body = '{"prompt":"x","create_as_user_id":"email|bob"}'
    const { answer } = await ask(running, 'POST', sessions, { fields: [`Content-Length: ${body.length}`], body })
    expect([answer.status, kindOf(answer)]).toEqual([403, 'not-granted'])
  })

  // A server that reads the body as its media type says must find what was judged, or nothing.
  test.each([
    [
      'utf-7',
      'application/json; charset=utf-7',
      '{"prompt":"+ACIALAAiAGMAcgBlAGEAdABlAF8AYQBzAF8AdQBzAGUAcgBfAGkAZAAiADoAIgBiAG8AYg-"}',
    ],
    ['a form', 'application/x-www-form-urlencoded', '{"prompt":"&create_as_user_id=bob&x="}'],
    ['utf-16', 'application/json; charset=utf-16le', '{"prompt":"x"}'],
  ])('does not go on under a media type that reads it otherwise: %s', async (_name, type, body) => {
    const { answer, seen } = await ask(running, 'POST', sessions, {
      fields: [`Content-Type: ${type}`, `Content-Length: ${body.length}`],
      body,
    })
    if (answer.status === 400) expect(seen).toEqual([])
    else expect(fieldOf(seen[0], 'content-type')).toBe('application/json')
  })

  test.each([['gzip'], ['identity, gzip'], ['GZIP'], ['x-unknown'], ['br']])(
    'is refused in the content coding %s',
    async (coding) => {
      const answer = await post(gzipSync('{"prompt":"x"}'), { 'content-encoding': coding })
      expect([answer.status, await kindOfResponse(answer)]).toEqual([400, 'body-unreadable'])
      expect(running.upstream.seen).toEqual([])
    },
  )

  test.each([
    [['Content-Encoding: gzip', 'Content-Encoding: identity']],
    [['Content-Encoding: identity', 'Content-Encoding: gzip']],
    [['Content-Encoding: gzip', 'Connection: content-encoding']],
    [['Content-Encoding: gzip', 'Content-Encoding: ']],
  ])('is refused in two content codings: %j', async (fields) => {
    const body = '{"prompt":"x"}'
    const { answer, seen } = await ask(running, 'POST', sessions, {
      fields: [...fields, `Content-Length: ${body.length}`],
      body,
    })
    expect(answer.status).toBe(400)
    expect(seen).toEqual([])
  })

  test('may be empty, with and without a media type', async () => {
    expect((await post('')).status).toBe(200)
    const { answer, seen } = await ask(running, 'POST', sessions, {
      fields: ['Transfer-Encoding: chunked', 'Content-Type: application/json'],
      body: '0\r\n\r\n',
    })
    expect(answer.status).toBe(200)
    expect(seen[0]?.body).toHaveLength(0)
  })

  test('goes byte for byte when it comes in chunks', async () => {
    const { answer, seen } = await ask(running, 'POST', sessions, {
      fields: ['Transfer-Encoding: chunked'],
      body: '5;ext=1\r\n{"pro\r\n9\r\nmpt":"x"}\r\n0\r\nX-Trailer: 1\r\n\r\n',
    })
    expect(answer.status).toBe(200)
    expect(seen[0]?.body.toString()).toBe('{"prompt":"x"}')
    expect(fieldOf(seen[0], 'content-length')).toBe('14')
    expect(seen[0]?.rawHeaders.join()).not.toMatch(/x-trailer/i)
  })
})

describe('who a session is created as', () => {
  test.each([
    ['null', '{"prompt":"x","create_as_user_id":null}'],
    ['absent', '{"prompt":"x"}'],
    ['nested', '{"prompt":"x","more":{"create_as_user_id":"bob"}}'],
    ['in an array', '[{"create_as_user_id":"bob"}]'],
    ['in a string', '{"prompt":"\\"create_as_user_id\\":\\"bob\\""}'],
    ['as a dotted name', '{"prompt":"x","a.create_as_user_id":"bob"}'],
  ])('%s needs nothing more, and the key that cannot impersonate is used', async (_name, body) => {
    const answer = await running.call(sessions, {
      method: 'POST',
      body,
      claims: { groups: ['sso-payments-eng', 'payments-leads'] },
      headers: { 'content-type': 'application/json' },
    })
    expect(answer.status).toBe(200)
    expect(fieldOf(running.upstream.seen[0], 'authorization')).toBe(plain)
    expect(running.upstream.seen[0]?.body.toString()).toBe(body)
  })

  test.each([
    ['a string', '{"create_as_user_id":"bob"}'],
    ['an empty string', '{"create_as_user_id":""}'],
    ['false', '{"create_as_user_id":false}'],
    ['zero', '{"create_as_user_id":0}'],
    ['an object', '{"create_as_user_id":{}}'],
    ['an array', '{"create_as_user_id":[]}'],
    ['an array of null', '{"create_as_user_id":[null]}'],
    ['an escaped name', '{"create\\u005fas_user_id":"bob"}'],
    ['among names of prototypes', '{"__proto__":{"create_as_user_id":null},"create_as_user_id":"bob"}'],
  ])('%s needs the right to impersonate', async (_name, body) => {
    const answer = await post(body)
    expect([answer.status, await kindOfResponse(answer)]).toEqual([403, 'not-granted'])
    expect(running.upstream.seen).toEqual([])
  })

  test('a prototype of the body grants nothing and hides nothing', async () => {
    expect((await post('{"__proto__":{"create_as_user_id":"bob"}}')).status).toBe(200)
    expect(fieldOf(running.upstream.seen[0], 'authorization')).toBe(plain)
  })

  test('the kin of the field are held the same way', async () => {
    const body = '{"message":"x","message_as_user_id":"bob"}'
    const answer = await post(body, {}, `${sessions}/devin-1/messages`)
    expect([answer.status, await kindOfResponse(answer)]).toEqual([403, 'not-granted'])
    expect(running.upstream.seen).toEqual([])
  })
})

describe('organizations in a body', () => {
  const limits = '/v3/enterprise/org-group-limits'
  const put = (body: string) =>
    running.call(limits, {
      method: 'PUT',
      body,
      claims: { groups: ['sso-fenced-all'] },
      headers: { 'content-type': 'application/json' },
    })

  beforeAll(async () => {
    // `all` may reach an operation that names no organization; the fence of the other teams stays as it is.
    await running.writePolicy(
      'teams/fenced-all.yaml',
      'team: fenced-all\nmembers:\n  - groups: [sso-fenced-all]\norganizations: all\ngrants:\n  - id: limits\n    allow: [ent.org-group-limits.*]\n',
    )
    await running.gateway.reload('test')
  })

  test('of a team without a fence pass', async () => {
    expect((await put('{"groups":{"g":{"org_ids":["org-payments","org-other"],"max":1}}}')).status).toBe(200)
  })

  test('of a fenced team are refused when they lie outside, wherever they stand', async () => {
    for (const body of [
      '{"groups":{"g":{"org_ids":["org-other"]}}}',
      '{"groups":{"g":{"org_ids":["org-payments","org-other"]}}}',
      '{"groups":{"g":{"org_ids":["org-payments"]},"h":{"org_ids":["org-other"]}}}',
      '{"groups":[{"org_ids":["org-other"]}]}',
      '{"groups":{"g":{"org_ids":"org-other"}}}',
      '{"groups":{"g":{"org_ids":[["org-other"]]}}}',
      '{"groups":{"g":{"org_ids":{"0":"org-other"}}}}',
    ]) {
      const answer = await running.call(limits, {
        method: 'PUT',
        body,
        claims: { groups: ['sso-fenced'] },
        headers: { 'content-type': 'application/json' },
      })
      expect([answer.status, await kindOfResponse(answer)], body).toEqual([403, 'organization-not-granted'])
    }
    expect(running.upstream.seen).toEqual([])
  })

  test('that no operation documents are held against the fence where the body is judged', async () => {
    for (const body of [
      '{"prompt":"x","org_id":"org-other"}',
      '{"prompt":"x","org_ids":["org-payments","org-other"]}',
    ]) {
      const answer = await post(body)
      expect([answer.status, await kindOfResponse(answer)], body).toEqual([403, 'organization-not-granted'])
    }
    expect(running.upstream.seen).toEqual([])
  })
})

describe('organizations in a query', () => {
  test.each([
    ['another one', 'org_id=org-other'],
    ['another one in a list', 'org_ids=org-payments&org_ids=org-other'],
    ['a list in one value', 'org_ids=org-payments,org-other'],
    ['an escaped name', 'org%5Fid=org-other'],
    ['a fully escaped name', '%6f%72%67%5f%69%64=org-other'],
    ['an escaped value', 'org_id=%6frg-other'],
    ['behind a semicolon', 'first=1;org_id=org-other'],
    ['behind an empty pair', '&&org_id=org-other'],
    ['an empty value', 'org_id='],
    ['no value', 'org_id'],
    ['a list in brackets', 'org_ids[]=org-other'],
    ['a list with an index', 'org_ids[0]=org-other'],
    ['a list with a name', 'org_ids[a]=org-other'],
    ['a list in a list', 'org_ids[0][]=org-other'],
    ['a list in escaped brackets', 'org_ids%5B%5D=org-other'],
    ['a value with a NUL', 'org_id=org-payments%00org-other'],
    ['a value with a space', 'org_id=org-payments+'],
  ])('%s is refused, though the operation documents none: ?%s', async (_name, query) => {
    const answer = await running.call(`${sessions}?${query}`)
    expect([answer.status, await kindOfResponse(answer)]).toEqual([403, 'organization-not-granted'])
    expect(running.upstream.seen).toEqual([])
  })

  const enterprise = (query: string) =>
    running.call(`/v3/enterprise/sessions?${query}`, { claims: { groups: ['sso-fenced'] } })

  test('narrow an enterprise operation to the fence', async () => {
    expect((await enterprise('org_ids=org-payments')).status).toBe(200)
    expect((await enterprise('first=5&org_ids=org-payments')).status).toBe(200)
  })

  test.each([
    ['none', 'first=5'],
    ['one behind a semicolon, which others read as part of a value', 'first=5;org_ids=org-payments'],
    ['one inside a value', 'x=org_ids=org-payments'],
    ['one under the other name', 'org_id=org-payments'],
    ['one in a name of other letters', 'ORG_IDS=org-payments'],
    ['one with a space in front of its name', '+org_ids=org-payments'],
    ['one whose name is escaped twice', 'org%255Fids=org-payments'],
    ['one that is empty', 'org_ids='],
    ['one of another team as well', 'org_ids=org-payments&org_ids=org-other'],
  ])('%s do not narrow it: ?%s', async (_name, query) => {
    const answer = await enterprise(query)
    expect([answer.status, await kindOfResponse(answer)]).toEqual([403, 'organization-not-granted'])
    expect(running.upstream.seen).toEqual([])
  })
})

describe('a body that the policy does not look into', () => {
  test.each([
    ['binary', 'application/octet-stream', Buffer.from(Array.from({ length: 512 }, (_, index) => index % 256))],
    ['invalid JSON', 'application/json', Buffer.from('{"tags":[')],
    ['JSON with a byte order mark', 'application/json', Buffer.from('\ufeff{"tags":["x"]}')],
    ['a name twice', 'application/json', Buffer.from('{"tags":["x"],"tags":["y"]}')],
    ['an odd media type', 'application/json\tgarbage', Buffer.from('{"tags":["x"]}')],
    ['a form', 'application/x-www-form-urlencoded', Buffer.from('a=b')],
    ['a large one', 'application/octet-stream', Buffer.alloc(150_000, 7)],
  ])('goes byte for byte: %s', async (_name, type, body) => {
    const { answer, seen } = await ask(running, 'POST', `${sessions}/devin-1/tags`, {
      fields: [`Content-Type: ${type}`, `Content-Length: ${body.length}`],
      body: body.toString('latin1'),
    })
    expect(answer.status).toBe(200)
    expect(seen[0]?.body.equals(body)).toBe(true)
    expect(fieldOf(seen[0], 'content-type')).toBe(type)
    expect(fieldOf(seen[0], 'content-length')).toBe(String(body.length))
  })

  test('keeps its content coding', async () => {
    const body = gzipSync('{"tags":["x"]}')
    await running.call(`${sessions}/devin-1/tags`, {
      method: 'POST',
      body,
      headers: { 'content-encoding': 'gzip', 'content-type': 'application/json' },
    })
    expect(fieldOf(running.upstream.seen[0], 'content-encoding')).toBe('gzip')
    expect(running.upstream.seen[0]?.body.equals(body)).toBe(true)
  })

  test('may belong to a DELETE', async () => {
    await running.call(`${sessions}/devin-1`, { method: 'DELETE', body: '{"why":"x"}' })
    expect(running.upstream.seen[0]?.body.toString()).toBe('{"why":"x"}')
  })

  test('is a file in several parts, byte for byte and while it comes', async () => {
    const arrived: Buffer[] = []
    running.upstream.takeOver((request, response) => {
      request.on('data', (chunk: Buffer) => arrived.push(chunk))
      request.on('end', () => response.writeHead(200).end('{}'))
    })
    const socket = await openSocket(running.port)
    let text = ''
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
    const part = '--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
    socket.write(
      `POST /v3/organizations/org-payments/attachments HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${token}\r\nContent-Type: multipart/form-data; boundary=b\r\nTransfer-Encoding: chunked\r\n\r\n${part.length.toString(16)}\r\n${part}\r\n`,
    )
    await until(() => Buffer.concat(arrived).toString() === part, 'the first part, before the second is sent')
    socket.write('8\r\nbin\r\n--b\r\n4\r\n--\r\n\r\n0\r\n\r\n')
    await until(() => text.includes('200 OK'), 'the answer')
    expect(Buffer.concat(arrived).toString()).toBe(`${part}bin\r\n--b--\r\n`)
    socket.destroy()
  })
})

describe('a body that is too large', () => {
  test.each([
    ['judged and declared', sessions, 11_000, 'bodies.max_judged_size'],
    ['streamed and declared', `${sessions}/devin-1/tags`, 300_000, 'bodies.max_size'],
  ])('%s is refused before it is read', async (_name, target, length, setting) => {
    const sides = await watch(running, async () => {
      const socket = await openSocket(running.port)
      let text = ''
      socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
      socket.write(
        `POST ${target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Length: ${length}\r\n\r\n{`,
      )
      await new Promise((resolve) => socket.on('close', resolve))
      return parseAnswer(text)
    })
    const { answer, seen, access } = ofAnswer(sides)
    expect([answer.status, kindOf(answer), answer.fields['connection']]).toEqual([413, 'body-too-large', 'close'])
    expect(answer.body).toContain(`ask the operator to raise ${setting}.`)
    expect(seen).toEqual([])
    expect(access).toHaveLength(1)
  })

  test.each([
    ['judged', sessions, 11_000],
    ['streamed', `${sessions}/devin-1/tags`, 300_000],
  ])(
    '%s and in chunks is refused at the limit, and the upstream never takes it for a whole',
    async (_name, target, length) => {
      let complete = 0
      running.upstream.takeOver((request) => {
        request.on('error', () => {})
        request.on('end', () => (complete += 1))
        request.resume()
      })
      const sides = await watch(running, async () => {
        const socket = await openSocket(running.port)
        let text = ''
        socket.on('error', () => {})
        socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
        socket.write(
          `POST ${target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nTransfer-Encoding: chunked\r\n\r\n`,
        )
        const chunk = `3e8\r\n${'x'.repeat(1000)}\r\n`
        for (let sent = 0; sent < length; sent += 1000) socket.write(chunk)
        await new Promise((resolve) => socket.on('close', resolve))
        return parseAnswer(text)
      })
      const { answer, access } = ofAnswer(sides)
      expect([answer.status, kindOf(answer), answer.fields['connection']]).toEqual([413, 'body-too-large', 'close'])
      expect(access).toHaveLength(1)
      expect(complete).toBe(0)
    },
  )
})

describe('a caller that leaves in the middle of an upload', () => {
  test.each([
    ['declared', 'Content-Length: 150000', 'x'.repeat(1000)],
    ['in chunks', 'Transfer-Encoding: chunked', '3e8\r\n' + 'x'.repeat(1000) + '\r\n'],
  ])('%s: the upstream sees a request that was broken off, never a complete one', async (name, framing, body) => {
    let complete = 0
    let aborted = 0
    running.upstream.takeOver((request) => {
      request.on('error', () => (aborted += 1))
      request.on('end', () => (complete += 1))
      request.resume()
    })
    const id = `breaks-off-${name.replaceAll(' ', '-')}`
    const socket = await openSocket(running.port)
    socket.write(
      `POST ${sessions}/devin-1/tags HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nX-Request-Id: ${id}\r\n${framing}\r\n\r\n${body}`,
    )
    await until(() => running.upstream.seen.length === 1, 'the upload to begin')
    socket.destroy()
    await until(() => aborted === 1, 'the upstream to be let go')
    expect(complete).toBe(0)
    expect((await running.recordsOf(id)).access).toMatchObject({ outcome: 'aborted', status: null })
  })
})
