// No body is read before a limit has room: attempts and concurrency come before the body, bodies have deadlines and a
// bound on what is held of them, and a refusal with an unread body ends its connection, over HTTP/1.1 and HTTP/2.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { openRequest, protocols, type HalfRequest, type Protocol } from '../support/both-protocols.ts'
import { createAuthority } from '../support/certificates.ts'
import {
  startTestGateway,
  until,
  usualPolicies,
  type RunningGateway,
  type StartOptions,
} from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const tags = `${sessions}/devin-1/tags`
let directory: string
let tls: string
let running: RunningGateway | null = null
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gateway-test-bodies-'))
  const { cert, key } = createAuthority('a test authority').issue({ name: 'localhost' })
  await writeFile(join(directory, 'cert.pem'), cert)
  await writeFile(join(directory, 'key.pem'), key)
  tls = `tls: { cert: "${join(directory, 'cert.pem')}", key: "${join(directory, 'key.pem')}" }`
})
afterAll(() => rm(directory, { recursive: true, force: true }))
afterEach(async () => {
  await running?.close()
  running = null
})

async function start(limits: string, listen = '', options: StartOptions = {}): Promise<RunningGateway> {
  running = await startTestGateway({
    ...options,
    listen: `{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", ${tls}${listen} }`,
    policies: {
      'teams/payments.yaml': `${usualPolicies['teams/payments.yaml'] ?? ''}${limits}`,
      'guardrails.yaml': `guardrails:
  - { id: bounded, on: [org.sessions.create], teams: all, body: { max_acu_limit: { at_most: 25 } } }
`,
      ...options.policies,
    },
  })
  running.upstream.respond((_request, response) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"session_id":"devin-1"}'),
  )
  return running
}

interface Create {
  readonly token: string
  readonly path?: string
  readonly method?: string
  readonly fields?: Readonly<Record<string, string>>
}

/** A whole request. */
function send(protocol: Protocol, body: string, how: Create) {
  const fields = protocol === 'HTTP/2' ? {} : { connection: 'close' }
  const request = openRequest(
    protocol,
    running?.port ?? 0,
    {
      method: how.method ?? 'POST',
      path: how.path ?? sessions,
      token: how.token,
      fields: { 'content-type': 'application/json', ...fields, ...how.fields },
    },
    body.length,
  )
  request.end(body)
  return request.over
}

function half(protocol: Protocol, length: number | null, how: Create): HalfRequest {
  return openRequest(
    protocol,
    running?.port ?? 0,
    {
      method: how.method ?? 'POST',
      path: how.path ?? sessions,
      token: how.token,
      fields: { 'content-type': 'application/json', ...how.fields },
    },
    length,
  )
}

const refusedBody = '{"prompt":"x","max_acu_limit":99}'
const goodBody = '{"prompt":"x","max_acu_limit":1}'
const kindOf = (body: string): string => /problems\/([a-z-]+)/.exec(body)?.[1] ?? body

describe.each(protocols)('over %s', (protocol) => {
  test('a caller has so many attempts, refused or not, and the next body is not read', async () => {
    const gateway = await start('limits: { attempts: 3/min, requests: 1000/min }\n')
    const token = await gateway.token({ sub: 'ann' })
    for (const [index, body] of [refusedBody, goodBody, refusedBody].entries()) {
      const answer = await send(protocol, body, { token })
      expect(answer.status).toBe(index === 1 ? 200 : 403)
      expect(answer.fields['ratelimit']).toContain(`"attempts";r=${2 - index};t=`)
      expect(answer.fields['ratelimit-policy']).toContain('"attempts";q=3;w=60')
    }
    // Not a byte of its body has come, and none is waited for.
    const answer = await half(protocol, 1000, { token }).over
    expect([answer.status, kindOf(answer.body)]).toEqual([429, 'attempts-exceeded'])
    expect(Number(answer.fields['retry-after'])).toBeGreaterThan(0)
    expect(answer.fields['ratelimit']).toContain('"attempts";r=0;t=')
    const { access, decision } = await gateway.recordsOf(answer.fields['gateway-decision'] ?? '')
    expect(access).toMatchObject({ outcome: 'refused', problem: 'attempts-exceeded', limit: 'attempts' })
    expect(decision).toMatchObject({ effect: 'allow', ended: { how: 'refused', stage: 'admit-body', sent: false } })
    // Whoever has another name has attempts of its own, reads and bodies that nobody judges need none, and another app none more.
    expect((await send(protocol, goodBody, { token: await gateway.token({ sub: 'bob' }) })).status).toBe(200)
    expect((await send(protocol, '{}', { token, method: 'PUT', path: tags })).status).toBe(200)
    const otherApp = await gateway.token({ sub: 'ann', azp: 'payments-bot' })
    expect((await send(protocol, goodBody, { token: otherApp })).status).toBe(429)
  })

  test('the default limit is twice the writes, and is shown when it comes near', async () => {
    const gateway = await start('limits: { writes: 2/min }\n')
    const token = await gateway.token()
    const shown: boolean[] = []
    for (let sent = 0; sent < 4; sent++) {
      const answer = await send(protocol, refusedBody, { token })
      expect(answer.status).toBe(403)
      shown.push(answer.fields['ratelimit']?.includes('"attempts"') === true)
    }
    expect(shown).toEqual([false, false, true, true])
    expect((await send(protocol, refusedBody, { token })).status).toBe(429)
  })

  test('a body waits for a slot of its team, and who gets none is not read', async () => {
    const gateway = await start('limits: { concurrent: 2 }\n')
    const token = await gateway.token()
    const held = [half(protocol, 40, { token }), half(protocol, null, { token, fields: { 'idempotency-key': 'k' } })]
    for (const request of held) request.write('{"prompt"')
    const status = async (): Promise<number> => {
      const response = await fetch(`${gateway.adminUrl}/api/status`)
      return ((await response.json()) as { in_flight: number }).in_flight
    }
    await until(async () => (await status()) === 2, 'two bodies under way')
    const refused = await half(protocol, 1000, { token }).over
    expect([refused.status, kindOf(refused.body)]).toEqual([429, 'concurrency-exceeded'])
    if (protocol === 'HTTP/2') expect(refused.reset).toBe(0)
    else expect(refused.fields['connection']).toBe('close')
    for (const request of held) request.leave()
    await until(async () => (await status()) === 0, 'the slots to be free')
    expect((await send(protocol, goodBody, { token })).status).toBe(200)
    expect(gateway.upstream.seen).toHaveLength(1)
  })

  test.each([
    ['with a length', 1000],
    ['without one', null],
  ])('a body that does not come in time is refused, %s', async (_name, length) => {
    const gateway = await start('limits: { concurrent: 1 }\n', ', timeouts: { body: 200ms }')
    const token = await gateway.token()
    const slow = half(protocol, length, { token })
    const timer = setInterval(() => slow.write(' '), 40)
    const answer = await slow.over.finally(() => clearInterval(timer))
    expect([answer.status, kindOf(answer.body)]).toEqual([400, 'malformed-request'])
    expect(JSON.parse(answer.body.replace(/^[^{]*/, ''))).toMatchObject({ reason: 'request-incomplete' })
    expect((await send(protocol, goodBody, { token })).status).toBe(200)
    expect(gateway.upstream.seen).toHaveLength(1)
  })

  test('a large body may take longer while it keeps the least rate', async () => {
    const gateway = await start('', ', timeouts: { body: 100ms }')
    const token = await gateway.token()
    const piece = ' '.repeat(8 * 1024)
    const pieces = 12
    const upload = half(protocol, pieces * piece.length + goodBody.length, { token })
    for (let sent = 0; sent < pieces; sent++) {
      upload.write(piece)
      await new Promise((resolve) => setTimeout(resolve, 40))
    }
    upload.end(goodBody)
    await until(() => gateway.upstream.seen.length === 1, 'the upload at the upstream')
    upload.leave()
  })

  test.each([
    ['without a token', 401, async () => null],
    ['of an operation that is not granted', 403, (gateway: RunningGateway) => gateway.token()],
  ])('a refusal %s does not wait for its body and ends the connection', async (_name, status, tokenOf) => {
    const gateway = await start('')
    const token = await tokenOf(gateway)
    const request = openRequest(
      protocol,
      gateway.port,
      { method: 'POST', path: status === 401 ? sessions : '/v3/organizations/org-other/sessions', token },
      1_000_000,
    )
    request.write('x'.repeat(1000))
    const answer = await request.over
    expect(answer.status).toBe(status)
    if (protocol === 'HTTP/2') expect(answer.reset).toBe(0)
    else expect(answer.fields['connection']).toBe('close')
  })
})

test('what is held of bodies is bounded, and a team leaves room for others', async () => {
  const gateway = await start('', '', {
    env: { OPS_KEY: 'cog_ops-0123456789abcdef' },
    policies: {
      'teams/ops.yaml': `team: ops
members: [{ groups: [sso-ops] }]
organizations: [org-ops]
grants: [{ id: run, allow: [ManageOrgSessions] }]
`,
      'keys.yaml': `${usualPolicies['keys.yaml'] ?? ''}  - { id: ops, scope: organization, organization: org-ops, permissions: [ManageOrgSessions], secret: { env: OPS_KEY } }
`,
    },
  })
  const token = await gateway.token()
  const piece = 'x'.repeat(1024 * 1024 - 1)
  const bodies: HalfRequest[] = []
  const refused: string[] = []
  // One after another: to send them all at once would stop the event loop that the gateway of this test shares.
  while (!refused.some((text) => text.includes('"reason":"body-memory"'))) {
    const body = half('HTTP/2', 1024 * 1024, { token })
    bodies.push(body)
    body.write(piece)
    void body.over.then(({ status, body: text }) => {
      if (status === 503) refused.push(text)
    })
    await send('HTTP/1.1', goodBody, { token })
  }
  const other = await gateway.token({ groups: ['sso-ops'] })
  const path = '/v3/organizations/org-ops/sessions'
  expect(
    (await send('HTTP/1.1', JSON.stringify({ prompt: piece.slice(0, 900_000) }), { token: other, path })).status,
  ).toBe(200)
  for (const body of bodies) body.leave()
  await until(async () => (await send('HTTP/1.1', goodBody, { token })).status === 200, 'the room to be free again')
})
