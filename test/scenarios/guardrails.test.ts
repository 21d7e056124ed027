// Guardrails through the real gateway: what the upstream gets, what callers get, what is recorded.

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openSocket, rawRequest } from '../support/raw-request.ts'
import { ask } from '../support/three-sides.ts'
import { startTestGateway, until, usualKeys, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'
import { fieldOf } from '../support/upstream.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const guardrails = `guardrails:
  - id: bounded-sessions
    on: [org.sessions.create]
    body:
      max_acu_limit: { default: 10, at_most: 25 }
      bypass_approval: { forbid: true }
      session_secrets: { forbid: true }
      repos: { each_matches: "corp/*" }
      tags: { add: ["team:\${team}", "app:\${app}"] }
  - id: tried-first
    on: [org.sessions.create]
    mode: shadow
    body: { title: { max_length: 5 }, max_acu_limit: { at_most: 5 } }
  - id: small-pages
    on: [org.sessions.list, ent.sessions.list]
    query: { first: { default: 50, at_most: 100 } }
`

let running: RunningGateway
let token: string

beforeAll(async () => {
  running = await startTestGateway({
    policies: {
      'teams/payments.yaml': `${usualPolicies['teams/payments.yaml'] ?? ''}limits: { attempts: 100000/min }\n`,
      'guardrails.yaml': guardrails,
      'teams/cached.yaml': `team: cached
members:
  - groups: [sso-cached]
organizations: [org-payments]
grants:
  - id: read
    allow: [ViewOrgSessions]
`,
    },
    config: 'bodies: { max_size: 200KiB, max_judged_size: 10KiB }',
  })
  token = await running.token({ azp: 'cli' })
})
afterAll(() => running.close())
beforeEach(() => {
  running.upstream.seen.length = 0
})

function post(
  body: string | Buffer<ArrayBuffer>,
  headers: Record<string, string> = {},
  path = sessions,
): Promise<Response> {
  return running.call(path, {
    method: 'POST',
    body,
    token,
    headers: { 'content-type': 'application/json', ...headers },
  })
}

interface Refusal {
  readonly status: number
  readonly kind: string | undefined
  readonly detail: string
}

async function refusalOf(answer: Response): Promise<Refusal> {
  const document = (await answer.json()) as { type?: string; detail?: string }
  return { status: answer.status, kind: document.type?.split('/').at(-1), detail: document.detail ?? '' }
}

describe('a body that a guardrail bounds', () => {
  test('goes on with what was put in, every other number as it was written, and the right length', async () => {
    const big = '"a":12345678901234567890,"b":1e400,"c":1.0,"d":-0,"e":"\\u00e9"'
    expect((await post(`{ ${big}, "tags": ["x"] }`)).status).toBe(200)
    const [seen] = running.upstream.seen
    const sent =
      '{"a":12345678901234567890,"b":1e400,"c":1.0,"d":-0,"e":"é","tags":["x","team:payments","app:cli"],"max_acu_limit":10}'
    expect(JSON.parse(seen?.body.toString() ?? '')).toEqual(JSON.parse(sent))
    expect(seen?.body.toString()).toContain('"a":12345678901234567890,"b":1e400,"c":1.0,"d":-0,')
    expect(fieldOf(seen, 'content-length')).toBe(String(seen?.body.length))
    expect(fieldOf(seen, 'content-type')).toBe('application/json')
    expect(fieldOf(seen, 'authorization')).toBe(`Bearer ${usualKeys['PAYMENTS_RUNNER_KEY']}`)
  })

  test('goes byte for byte when nothing has to be changed', async () => {
    const body = ' {"max_acu_limit" : 1.50e1,\n"tags":["team:payments", "app:cli"] , "x":1e400,"y":"\\u0041"}\n'
    expect((await post(body)).status).toBe(200)
    expect(running.upstream.seen[0]?.body.toString()).toBe(body)
  })

  test('that comes in chunks is changed and sent whole', async () => {
    const { answer, seen } = await ask(running, 'POST', sessions, {
      fields: ['Transfer-Encoding: chunked'],
      body: '5\r\n{"pro\r\n9\r\nmpt":"x"}\r\n0\r\n\r\n',
    })
    expect(answer.status).toBe(200)
    expect(JSON.parse(seen[0]?.body.toString() ?? '')).toEqual({
      prompt: 'x',
      max_acu_limit: 10,
      tags: ['team:payments'],
    })
    expect(fieldOf(seen[0], 'content-length')).toBe(String(seen[0]?.body.length))
  })

  test('that is empty gets what is put in', async () => {
    expect((await running.call(sessions, { method: 'POST', token })).status).toBe(200)
    expect(JSON.parse(running.upstream.seen[0]?.body.toString() ?? '')).toEqual({
      max_acu_limit: 10,
      tags: ['team:payments', 'app:cli'],
    })
  })

  test.each<[body: string, clause: string]>([
    ['{"max_acu_limit":99}', 'max_acu_limit must be at most 25, and is 99 (guardrail bounded-sessions)'],
    [
      '{"max_acu_limit":null}',
      'max_acu_limit must be at most 25, and is null (guardrail bounded-sessions). Leave out fields that are not set: null is a value',
    ],
    ['{"bypass_approval":true}', 'bypass_approval is forbidden: leave it out (guardrail bounded-sessions)'],
    [
      '{"session_secrets":[{"key":"A","value":"hunter2"}]}',
      'session_secrets is forbidden: leave it out (guardrail bounded-sessions)',
    ],
    ['{"repos":["corp/a","other/b"]}', 'repos.1 must match corp/*, and is another text (guardrail bounded-sessions)'],
  ])('is refused with field, bound and guardrail: %s', async (body, clause) => {
    expect(await refusalOf(await post(body))).toEqual({
      status: 403,
      kind: 'guardrail',
      detail: `${clause}. Change the request, or ask the owner of the guardrail.`,
    })
    expect(running.upstream.seen).toEqual([])
  })

  test.each<[name: string, body: string | Buffer<ArrayBuffer>, headers: Record<string, string>]>([
    ['a name twice', '{"max_acu_limit":5,"max_acu_limit":99}', {}],
    ['a name twice, once escaped', '{"max_acu_limit":5,"max_acu\\u005flimit":99}', {}],
    ['bytes that are not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), {}],
    ['too deep', `{"a":${'['.repeat(80)}${']'.repeat(80)}}`, {}],
    [
      'multipart',
      '--x\r\ncontent-disposition: form-data; name="max_acu_limit"\r\n\r\n99\r\n--x--',
      { 'content-type': 'multipart/form-data; boundary=x' },
    ],
    ['JSON that calls itself multipart', '{}', { 'content-type': 'multipart/form-data; boundary=x' }],
    ['JSON that calls itself a form', '{}', { 'content-type': 'application/x-www-form-urlencoded' }],
    ['JSON that calls itself plain text', '{}', { 'content-type': 'text/plain' }],
    ['JSON above a bound that calls itself plain text', '{"max_acu_limit":99}', { 'content-type': 'text/plain' }],
    ['JSON in bytes of no type', '{"max_acu_limit":99}', { 'content-type': 'application/octet-stream' }],
    [
      'JSON in another character set',
      Buffer.from('{"max_acu_limit":99}', 'utf16le'),
      { 'content-type': 'application/json; charset=utf-16' },
    ],
    ['a content coding', '{}', { 'content-encoding': 'gzip' }],
  ])('is refused as unreadable: %s', async (_name, body, headers) => {
    const refusal = await refusalOf(await post(body, headers))
    expect(refusal).toMatchObject({ status: 400, kind: 'body-unreadable' })
    const isOtherType = 'content-type' in headers && !/json/.test(headers['content-type'] ?? '')
    if (isOtherType) expect(refusal.detail).toContain('Send JSON with `Content-Type: application/json`.')
    expect(running.upstream.seen).toEqual([])
  })

  test('is refused above the size that is judged', async () => {
    expect((await refusalOf(await post(JSON.stringify({ prompt: 'x'.repeat(11_000) })))).kind).toBe('body-too-large')
    expect(running.upstream.seen).toEqual([])
  })

  test('is JSON by any name for it, or without one', async () => {
    for (const type of ['application/json; charset=utf-8', 'Application/JSON', 'application/vnd.devin+json'])
      expect((await post('{}', { 'content-type': type })).status).toBe(200)
    const { answer } = await ask(running, 'POST', sessions, { fields: ['Content-Length: 2'], body: '{}' })
    expect(answer.status).toBe(200)
  })
})

test('a body that no guardrail bounds is not parsed, whatever it is', async () => {
  const body = '{"a":1,"a":2'
  const answer = await running.call(`${sessions}/devin-1/tags`, {
    method: 'PUT',
    body,
    token,
    headers: { 'content-type': 'text/plain' },
  })
  expect(answer.status).toBe(200)
  expect(running.upstream.seen[0]?.body.toString()).toBe(body)
  expect(fieldOf(running.upstream.seen[0], 'content-type')).toBe('text/plain')
})

describe('a query that a guardrail bounds', () => {
  test('goes on as it was judged', async () => {
    for (const query of ['', '?first=100', '?after=a%2Bb', '?first=7&x=%7e'])
      expect((await running.call(`${sessions}${query}`, { token })).status).toBe(200)
    expect(running.upstream.seen.map(({ target }) => target)).toEqual([
      `${sessions}?first=50`,
      `${sessions}?first=100`,
      `${sessions}?after=a%2Bb&first=50`,
      `${sessions}?first=7&x=%7e`,
    ])
  })

  test('is refused with parameter, bound and guardrail', async () => {
    expect(await refusalOf(await running.call(`${sessions}?first=500`, { token }))).toEqual({
      status: 403,
      kind: 'guardrail',
      detail:
        'the parameter first must be at most 100, and is 500 (guardrail small-pages). Change the request, or ask the owner of the guardrail.',
    })
    expect(running.upstream.seen).toEqual([])
  })

  test('is cached by what was sent: two spellings of one query are one answer', async () => {
    const cached = { claims: { groups: ['sso-cached'] } }
    const first = await running.call(sessions, cached)
    const second = await running.call(`${sessions}?first=50`, cached)
    expect([first.headers.get('cache-status'), second.headers.get('cache-status')]).toEqual([
      expect.stringContaining('fwd=uri-miss'),
      expect.stringContaining('hit'),
    ])
    expect(running.upstream.seen).toHaveLength(1)
  })
})

describe('what the records say', () => {
  async function lastDecision(): Promise<unknown> {
    await running.settled()
    return (await running.decisions()).at(-1)?.guardrails
  }

  test('is which guardrails applied, changed and would have refused, and what they read', async () => {
    await (await post('{"prompt":"do it","title":"a long title","repos":["corp/a"]}')).text()
    expect(await lastDecision()).toEqual({
      applied: ['bounded-sessions'],
      changed: [
        { guardrail: 'bounded-sessions', in: 'body', place: 'max_acu_limit', bound: 'default' },
        { guardrail: 'bounded-sessions', in: 'body', place: 'tags', bound: 'add' },
        { guardrail: 'bounded-sessions', in: 'body', place: 'tags', bound: 'add' },
      ],
      refused: [],
      filtered: null,
      shadow: [
        {
          guardrail: 'tried-first',
          effect: 'deny',
          findings: [
            { guardrail: 'tried-first', in: 'body', place: 'max_acu_limit', bound: 'at_most' },
            { guardrail: 'tried-first', in: 'body', place: 'title', bound: 'max_length' },
          ],
        },
      ],
      read: {
        'body.max_acu_limit': 10,
        'body.repos': ['corp/a'],
        'body.tags': '(list of 2)',
        'body.title': '(text of 12)',
      },
    })
  })

  test('is how long the body was that the caller sent: changed, refused, given again, cut off', async () => {
    const bytesIn = async (answer: Response): Promise<number> => {
      await answer.text()
      return (await running.recordsOf(answer.headers.get('gateway-decision'))).access.bytes_in
    }
    for (const body of ['{"prompt":"é"}', '{"max_acu_limit":99}', '{"max_acu_limit":', '{"max_acu_limit":5}'])
      expect([body, await bytesIn(await post(body))]).toEqual([body, Buffer.byteLength(body)])
    for (let round = 0; round < 2; round++)
      expect(await bytesIn(await post('{"prompt":"again"}', { 'idempotency-key': 'length' }))).toBe(18)
    const socket = await openSocket(running.port)
    const fields = [`Authorization: Bearer ${token}`, 'X-Request-Id: cut', 'Content-Length: 40', 'Expect: 100-continue']
    socket.write(rawRequest('POST', sessions, fields))
    await once(socket, 'data')
    socket.end('{"prompt":"x')
    expect((await running.recordsOf('cut')).access).toMatchObject({ outcome: 'aborted', bytes_in: 12 })
  })

  test('is what was refused, and never a secret or a text of the body', async () => {
    await (await post('{"prompt":"my prompt","session_secrets":[{"key":"A","value":"hunter2"}]}')).text()
    expect(await lastDecision()).toMatchObject({
      refused: [{ guardrail: 'bounded-sessions', in: 'body', place: 'session_secrets', bound: 'forbid' }],
    })
    const written = await running.everything()
    for (const text of ['hunter2', 'my prompt', 'do it', 'a long title']) expect(written).not.toContain(text)
  })
})

test('what the policy saw is what a second parser reads at the upstream', async () => {
  const space = fc.stringMatching(/^[ \t\n\r]{0,2}$/)
  const number = fc.oneof(
    fc.stringMatching(/^-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?$/),
    fc.constantFrom('25', '25.0', '2.5e1', '24.999999999999999999', '25.000000000000000001', '1e400', '-0'),
  )
  const word = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 6 }),
    fc.constantFrom('max_acu_limit', 'tags', '__proto__', 'toString', 'é\u2028'),
  )
  const text = word.map((each) => (each.isWellFormed() ? JSON.stringify(each) : '"x"'))
  const escaped = text.map((each) =>
    each.replaceAll(/[a-z]/g, (letter) =>
      letter < 'm' && !each.includes('\\') ? `\\u00${letter.charCodeAt(0).toString(16)}` : letter,
    ),
  )
  const { json } = fc.letrec<{ json: string; list: string; object: string }>((tie) => ({
    json: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      number,
      text,
      escaped,
      fc.constantFrom('null', 'true', 'false'),
      tie('list'),
      tie('object'),
    ),
    list: fc
      .tuple(fc.array(tie('json'), { maxLength: 4 }), space)
      .map(([items, gap]) => `[${gap}${items.join(`${gap},`)}]`),
    object: fc
      .tuple(fc.array(fc.tuple(fc.oneof(text, escaped), tie('json')), { maxLength: 4 }), space)
      .map(([members, gap]) => `{${gap}${members.map(([name, value]) => `${name}${gap}:${value}`).join(`,${gap}`)}}`),
  }))
  const limit = fc.option(number, { nil: undefined })
  const document = fc
    .tuple(fc.array(fc.tuple(text, json), { maxLength: 3 }), limit, space)
    .map(([members, cost, gap]) => {
      const own = cost === undefined ? [] : [`"max_acu_limit"${gap}:${gap}${cost}`]
      return `{${[...members.map(([name, value]) => `${name}:${value}`), ...own].join(`,${gap}`)}}`
    })
  let passed = 0
  await fc.assert(
    fc.asyncProperty(document, async (body) => {
      running.upstream.seen.length = 0
      const answer = await post(body)
      await answer.text()
      const [seen] = running.upstream.seen
      if (answer.status !== 200) {
        expect([400, 403]).toContain(answer.status)
        expect(seen).toBeUndefined()
        return
      }
      passed += 1
      const [before, after] = [readBySource(body), readBySource(seen?.body.toString() ?? '')]
      // Everything the caller sent arrives with its own digits; what is new was put in by the guardrail.
      const limitSent = Reflect.get(Object(before), 'max_acu_limit')
      expect(after).toEqual({
        ...Object(before),
        max_acu_limit: limitSent ?? '10',
        tags: [...listOf(before, 'tags'), ...missing(before)],
      })
      expect(Number(Reflect.get(Object(after), 'max_acu_limit'))).toBeLessThanOrEqual(25)
    }),
    { numRuns: 300 },
  )
  expect(passed).toBeGreaterThan(50)
})

function listOf(document: unknown, name: string): readonly unknown[] {
  const list: unknown = Reflect.get(Object(document), name)
  return Array.isArray(list) ? list : []
}

function missing(document: unknown): readonly string[] {
  return ['team:payments', 'app:cli'].filter((tag) => !listOf(document, 'tags').includes(tag))
}

/** JSON.parse, with each number as the text it was written as. */
function readBySource(text: string): unknown {
  return JSON.parse(text, function (_name, value: unknown, ...rest: readonly unknown[]) {
    const source: unknown = Reflect.get(Object(rest[0]), 'source')
    return typeof value === 'number' ? source : value
  })
}

test('the guardrails are replaced with the other policies, while calls go on', async () => {
  const text = readFileSync(join(running.directory, 'policies/guardrails.yaml'), 'utf8')
  await running.writePolicy('guardrails.yaml', text.replace('at_most: 25', 'at_most: 12'))
  await until(async () => (await post('{"max_acu_limit":20}')).status === 403, 'the tighter bound')
})
