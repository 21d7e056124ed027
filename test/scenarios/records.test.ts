// One access record and one decision record for every exchange, however it ends, and nothing secret in either.

import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AccessEntry, DecisionEntry } from '../../src/records/entries.ts'
import { openSocket } from '../support/raw-request.ts'
import { startTestGateway, until, usualKeys, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const plantedInBody = 'planted-in-the-body-7351'
const plantedInQuery = 'planted-in-the-query-7351'

/** Set by a test: the clock fails inside these files, as a defect of ours would. */
let failsIn: string | null = null
const plantedInDefect = 'cog_planted-in-a-defect-7351'
function clock(): number {
  if (failsIn !== null && new Error('where').stack?.includes(failsIn) === true)
    throw new Error(`the clock is broken: ${plantedInDefect}`)
  return Date.now()
}

let running: RunningGateway
beforeAll(async () => {
  running = await startTestGateway({
    now: clock,
    upstream: '{ origin: "ORIGIN", timeouts: { connect: 300ms, headers: 400ms, body_idle: 400ms } }',
    policies: {
      'teams/payments.yaml': `${usualPolicies['teams/payments.yaml'] ?? ''}limits: { requests: 100000/min }\n`,
    },
    config: 'bodies: { max_size: 1MiB, max_judged_size: 64KiB }',
  })
})
afterAll(() => running.close())

interface Records {
  readonly access: readonly AccessEntry[]
  readonly decisions: readonly DecisionEntry[]
}

/** Does something, waits for this many records, and until no exchange is under way; gives the records, one too many included. */
async function recordsOf(count: number, act: () => Promise<unknown>): Promise<Records> {
  const before = await running.settled()
  await act()
  const read = async (): Promise<Records> => ({
    access: (await running.access()).slice(before),
    decisions: (await running.decisions()).slice(before),
  })
  await until(async () => {
    const { access, decisions } = await read()
    return access.length >= count && decisions.length >= count
  }, `${count} records`)
  await running.settled()
  return await read()
}

/** Sends bytes, waits for a text in what comes back (or for the end), then does something to the connection. */
async function speak(bytes: string, wanted: string | null, then: 'reset' | 'end' | 'wait' = 'wait'): Promise<string> {
  const socket = await openSocket(running.port)
  let text = ''
  let closed = false
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  socket.on('error', () => {})
  socket.on('close', () => (closed = true))
  socket.write(bytes)
  if (wanted !== null) await until(() => text.includes(wanted) || closed, wanted)
  if (then === 'reset') socket.resetAndDestroy()
  if (then === 'end') socket.end()
  await until(() => closed, 'the end of the connection')
  return text
}

async function head(method: string, target: string, ...fields: readonly string[]): Promise<string> {
  return `${[`${method} ${target} HTTP/1.1`, 'Host: x', `Authorization: Bearer ${await running.token()}`, ...fields].join('\r\n')}\r\n\r\n`
}

async function isUnderWay(): Promise<boolean> {
  const status = (await (await fetch(`${running.adminUrl}/api/status`)).json()) as { in_flight: number }
  return status.in_flight === 1
}

const usual = (): void =>
  running.upstream.respond((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
  })

interface Ending {
  readonly act: () => Promise<unknown>
  readonly access: object
  readonly decision: object
}

const endings: Readonly<Record<string, Ending>> = {
  'an answer of the upstream': {
    act: () => running.call(`${sessions}?q=${plantedInQuery}`),
    access: {
      outcome: 'forwarded',
      status: 200,
      upstream_status: 200,
      operation: 'org.sessions.list',
      key: 'payments-runner',
      path: null,
    },
    decision: { effect: 'allow', reason: 'granted' },
  },
  'an answer to HEAD': {
    act: () => running.call(sessions, { method: 'HEAD' }),
    access: { outcome: 'forwarded', status: 200, method: 'HEAD', bytes_out: 0 },
    decision: { effect: 'allow', operation: 'org.sessions.list' },
  },
  'a refusal by the policy': {
    act: () => running.call('/v3/organizations/org-other/sessions'),
    access: { outcome: 'refused', status: 403, problem: 'organization-not-granted', upstream_status: null },
    decision: { effect: 'deny', reason: 'organization-not-granted' },
  },
  'a refusal of the token': {
    act: () => running.call(sessions, { token: null }),
    access: { outcome: 'refused', status: 401, problem: 'token-missing', subject: null, operation: null },
    decision: { effect: 'deny', reason: 'token-missing' },
  },
  'a path of no operation': {
    act: () => running.call(`/v3/nothing/here?q=${plantedInQuery}`),
    access: { outcome: 'refused', status: 403, problem: 'unknown-operation', path: '/v3/nothing/here' },
    decision: { effect: 'deny', reason: 'unknown-operation' },
  },
  'a page of our own': {
    act: () => running.call('/gateway/v1/me'),
    access: { outcome: 'answered', status: 200, operation: 'gateway.me', reason: 'own-page' },
    decision: { effect: 'allow', reason: 'own-page' },
  },
  'a page for everybody': {
    act: () => running.call('/gateway/v1/problems/not-granted', { token: null }),
    access: { outcome: 'answered', status: 200, operation: 'gateway.problems', subject: null },
    decision: { effect: 'allow', reason: 'own-page' },
  },
  'a question that a page of our own refuses': {
    act: () => running.call('/gateway/v1/explain'),
    access: { outcome: 'refused', status: 400, problem: 'malformed-request' },
    decision: { effect: 'deny', reason: 'parameter-missing' },
  },
  'a body that cannot be judged': {
    act: () =>
      running.call(sessions, {
        method: 'POST',
        body: `{"prompt":"${plantedInBody}","prompt":"2"}`,
        headers: { 'content-type': 'application/json' },
      }),
    access: { outcome: 'refused', status: 400, problem: 'body-unreadable' },
    decision: {},
  },
  'a body that is too large': {
    act: () => running.call(sessions, { method: 'POST', body: 'x'.repeat(100_000) }),
    access: { outcome: 'refused', status: 413, problem: 'body-too-large' },
    decision: {},
  },
  'a redirect of the upstream': {
    act: async () => {
      running.upstream.respond((_request, response) =>
        response.writeHead(307, { location: 'https://x.example/?sig=1' }).end(),
      )
      return await running.call(sessions)
    },
    access: { outcome: 'forwarded', status: 307 },
    decision: { effect: 'allow' },
  },
  'an upstream that fails': {
    act: async () => {
      running.upstream.respond((request) => request.socket.destroy())
      return await running.call(sessions)
    },
    access: { outcome: 'failed', status: 502, problem: 'upstream-unreachable', upstream_status: null },
    decision: { effect: 'allow', reason: 'granted' },
  },
  'an upstream that is silent': {
    act: async () => {
      running.upstream.respond(() => {})
      return await running.call(sessions)
    },
    access: { outcome: 'failed', status: 504, problem: 'upstream-timeout' },
    decision: { effect: 'allow' },
  },
  'an upstream that breaks off': {
    act: async () => {
      running.upstream.respond((request, response) => {
        response.writeHead(200, { 'content-length': '100' }).write('half')
        setTimeout(() => request.socket.destroy(), 20)
      })
      await running
        .call(sessions)
        .then((answer) => answer.text())
        .catch(() => {})
    },
    access: { outcome: 'failed', status: 200, upstream_status: 200 },
    decision: { effect: 'allow' },
  },
  'an upstream that rejects the key': {
    act: async () => {
      running.upstream.respond((_request, response) => response.writeHead(401).end('{}'))
      return await running.call(sessions)
    },
    access: { outcome: 'failed', status: 502, problem: 'upstream-credential-rejected', upstream_status: 401 },
    decision: { effect: 'allow' },
  },
  'a caller that leaves before the head': {
    act: async () => {
      const before = running.upstream.seen.length
      running.upstream.respond(() => {})
      const socket = await openSocket(running.port)
      socket.on('error', () => {})
      socket.write(await head('GET', sessions))
      await until(() => running.upstream.seen.length > before, 'the upstream')
      socket.resetAndDestroy()
    },
    access: { outcome: 'aborted', status: null, problem: null },
    decision: { effect: 'allow', reason: 'granted' },
  },
  'a caller that leaves after the head': {
    act: async () => {
      running.upstream.respond((_request, response) =>
        response.writeHead(200, { 'content-length': '100' }).write('half'),
      )
      await speak(await head('GET', sessions), 'half', 'reset')
    },
    access: { outcome: 'aborted', status: 200, upstream_status: 200, bytes_out: 4 },
    decision: { effect: 'allow' },
  },
  'a caller that leaves in a body that is judged': {
    act: async () => {
      const socket = await openSocket(running.port)
      socket.on('error', () => {})
      socket.write(`${await head('POST', sessions, 'Content-Length: 100')}{"prompt":"${plantedInBody}`)
      await until(isUnderWay, 'the request to be under way')
      socket.resetAndDestroy()
    },
    access: { outcome: 'aborted', status: null, upstream_status: null },
    decision: {},
  },
  'a caller that leaves in a body that streams': {
    act: async () => {
      const socket = await openSocket(running.port)
      socket.on('error', () => {})
      let hasBegun = false
      running.upstream.takeOver(() => (hasBegun = true))
      socket.write(`${await head('PUT', `${sessions}/devin-1/tags`, 'Content-Length: 500000')}${'x'.repeat(70_000)}`)
      await until(() => hasBegun, 'the request to arrive at the upstream')
      running.upstream.takeOver(null)
      socket.resetAndDestroy()
    },
    access: { outcome: 'aborted', status: null },
    decision: { effect: 'allow' },
  },
  'a caller that leaves before anything is known of it': {
    act: async () => {
      const socket = await openSocket(running.port)
      socket.on('error', () => {})
      socket.write(await head('GET', sessions))
      socket.resetAndDestroy()
    },
    access: { outcome: 'aborted' },
    decision: {},
  },
  'bytes that are no HTTP': {
    act: () => speak('rubbish\r\n\r\n', 'HTTP/1.1 400'),
    access: { outcome: 'refused', status: 400, problem: 'malformed-request', method: null, path: null },
    decision: { effect: 'deny', reason: 'unparsable' },
  },
  'bytes that are TLS, which the port does not speak': {
    act: () => speak('\u0016\u0003\u0001 hello\r\n\r\n', 'HTTP/1.1 400'),
    access: { outcome: 'refused', status: 400, problem: 'malformed-request', method: null, path: null },
    decision: { effect: 'deny', reason: 'tls-on-plain-port' },
  },
  'a head that stops in the middle': {
    act: () => speak(`GET ${sessions}?q=${plantedInQuery} HTTP/1.1\r\nHost: x\r\nAuthor`, null, 'end'),
    access: { outcome: 'refused', status: 400, problem: 'malformed-request' },
    decision: { effect: 'deny' },
  },
  'fields that are too large': {
    act: () => speak(`GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`, 'HTTP/1.1 400'),
    access: { outcome: 'refused', status: 400, reason: 'fields-too-large' },
    decision: { effect: 'deny' },
  },
  'a body whose chunks are broken': {
    act: async () => speak(`${await head('POST', sessions, 'Transfer-Encoding: chunked')}zz\r\n`, 'HTTP/1.1 400'),
    access: { outcome: 'refused', status: 400, problem: 'malformed-request' },
    decision: { effect: 'deny' },
  },
  CONNECT: {
    act: async () => speak((await head('GET', 'x')).replace('GET x ', 'CONNECT x.example:443 '), 'HTTP/1.1 403'),
    access: { outcome: 'refused', status: 403, method: 'CONNECT', problem: 'unknown-operation', subject: 'ann' },
    decision: { effect: 'deny', reason: 'unknown-operation' },
  },
  'CONNECT without a token': {
    act: () => speak('CONNECT x.example:443 HTTP/1.1\r\nHost: x.example:443\r\n\r\n', 'HTTP/1.1 401'),
    access: { outcome: 'refused', status: 401, method: 'CONNECT', problem: 'token-missing' },
    decision: { effect: 'deny', reason: 'token-missing' },
  },
}

describe('one record of each is left', () => {
  test.each(Object.entries(endings))('by %s', async (_name, { act, access, decision }) => {
    usual()
    const found = await recordsOf(1, act)
    expect(found.access).toHaveLength(1)
    expect(found.decisions).toHaveLength(1)
    expect(found.access[0]).toMatchObject(access)
    expect(found.decisions[0]).toMatchObject(decision)
    expect(found.decisions[0]?.decision_id).toBe(found.access[0]?.decision_id)
    expect(found.decisions[0]?.request_id).toBe(found.access[0]?.request_id)
  })

  test('by each request of a pipeline, and by the rubbish behind it', async () => {
    usual()
    const one = await head('GET', sessions)
    const found = await recordsOf(4, () => speak(`${one}${one}${one}rubbish\r\n\r\n`, 'HTTP/1.1 400'))
    expect(found.access.map((entry) => String(entry.status)).toSorted()).toEqual(['200', '200', '200', '400'])
    expect(found.decisions).toHaveLength(4)
  })

  test('and none by a connection on which nothing was said', async () => {
    usual()
    const found = await recordsOf(1, async () => {
      for (const how of ['end', 'reset'] as const) await speak('', null, how)
      await running.call(sessions)
    })
    expect(found.access).toHaveLength(1)
    expect(found.decisions).toHaveLength(1)
  })
})

describe('a defect of our own', () => {
  const create = { method: 'POST', body: '{"prompt":"x"}', headers: { 'content-type': 'application/json' } }
  test.each([
    ['before the request is sent', 'gateway/stages/answer/forward.ts', () => running.call(sessions)],
    ['after its body was judged', 'gateway/stages/answer/forward.ts', () => running.call(sessions, create)],
    ['while its token is verified', 'identity/token-verifier.ts', () => running.call('/gateway/v1/me')],
  ])('%s is one 500, one record of each, one line in the log, and harms no other request', async (_name, file, act) => {
    usual()
    running.logLines.length = 0
    const before = running.upstream.seen.length
    failsIn = file
    let text = ''
    const both = await recordsOf(2, async () => {
      const answer = await act().finally(() => (failsIn = null))
      text = await answer.text()
      expect(answer.status).toBe(500)
      expect((await running.call(sessions)).status).toBe(200)
    })
    // The body is checked member by member below.
    const id = (JSON.parse(text) as { decision_id: string }).decision_id
    const found = {
      access: both.access.filter((entry) => entry.decision_id === id),
      decisions: both.decisions.filter((entry) => entry.decision_id === id),
    }
    expect([both.access.length, both.decisions.length]).toEqual([2, 2])
    expect(JSON.parse(text)).toEqual({
      type: '/gateway/v1/problems/internal',
      title: 'The gateway failed',
      status: 500,
      detail: 'The gateway failed on this request. Tell its operator the decision id.',
      instance: `urn:uuid:${id}`,
      reason: 'internal',
      decision_id: id,
    })
    expect(found.access).toMatchObject([{ outcome: 'failed', status: 500, problem: 'internal' }])
    expect(found.decisions).toHaveLength(1)
    expect(running.upstream.seen.length).toBe(before + 1)
    const defects = running.logLines.filter((line) => line.includes('"event":"defect"'))
    expect(defects).toHaveLength(1)
    expect(defects[0]).toContain(id)
    expect(defects[0]).not.toContain(plantedInDefect)
  })
})

describe('500 requests at once', () => {
  test('of every kind, many of them abandoned, leave 500 records of each', async () => {
    usual()
    running.upstream.respond((request, response) => {
      const after = Number(/after=(\d+)/.exec(request.url ?? '')?.[1] ?? 0)
      setTimeout(() => response.writeHead(200, { 'content-type': 'application/json' }).end('{}'), after)
    })
    const token = await running.token()
    let left = 0
    const leaveEarly = async (): Promise<void> => {
      left += 1
      const mark = `after=2000&left=${left}.`
      const socket = await openSocket(running.port)
      socket.on('error', () => {})
      socket.write(await head('GET', `${sessions}?${mark}`))
      // What a reset overtakes was never a request.
      await until(() => running.upstream.seen.some(({ target }) => target.endsWith(mark)), 'the upstream')
      socket.resetAndDestroy()
    }
    const kinds: readonly (() => Promise<unknown>)[] = [
      () => running.call(sessions, { token }),
      () => running.call(`${sessions}?after=20`, { token }),
      () => running.call('/v3/organizations/org-other/sessions', { token }),
      () => running.call(sessions, { token: null }),
      () => running.call('/gateway/v1/me', { token }),
      () => running.call(sessions, { token, method: 'POST', body: '{"prompt":"x"}' }),
      () => running.call(sessions, { token, method: 'POST', body: '{"prompt":' }),
      () => running.call('/nowhere', { token }),
      () => speak('rubbish\r\n\r\n', 'HTTP/1.1 400'),
      leaveEarly,
    ]
    const found = await recordsOf(500, () =>
      Promise.all(Array.from({ length: 500 }, async (_, index) => kinds[index % kinds.length]?.())),
    )
    expect(found.access).toHaveLength(500)
    expect(found.decisions).toHaveLength(500)
    const ids = (entries: readonly { decision_id: string }[]) => entries.map((entry) => entry.decision_id).toSorted()
    expect(new Set(ids(found.access)).size).toBe(500)
    expect(ids(found.decisions)).toEqual(ids(found.access))
    const count = (name: keyof AccessEntry, value: unknown) =>
      found.access.filter((entry) => entry[name] === value).length
    expect(count('status', 403)).toBe(100)
    expect(count('status', 401)).toBe(50)
    expect(count('status', 400)).toBe(100)
    expect(count('outcome', 'answered')).toBe(50)
    expect(count('outcome', 'aborted')).toBe(50)
    expect(count('outcome', 'forwarded')).toBe(150)
    expect(count('outcome', 'failed')).toBe(0)
    const status = (await (await fetch(`${running.adminUrl}/api/status`)).json()) as {
      in_flight: number
      upstream: { in_flight: number }
    }
    expect([status.in_flight, status.upstream.in_flight]).toEqual([0, 0])
  })
})

describe('the fields of a record', () => {
  test('are these and no others, and hold no secret', async () => {
    usual()
    const token = await running.token({ sub: 'ann', jti: 'planted-in-a-claim-7351', ssn: 'planted-in-a-claim-7351' })
    const secret = 'planted-in-a-field-7351'
    const found = await recordsOf(1, () =>
      running.call(`${sessions}?q=${plantedInQuery}`, {
        token,
        headers: {
          cookie: secret,
          'x-api-key': secret,
          'user-agent': secret,
          'x-request-id': 'plain-7',
          traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
        },
      }),
    )
    expect(Object.keys(found.access[0] ?? {}).toSorted()).toEqual(
      [
        'time',
        'request_id',
        'decision_id',
        'method',
        'operation',
        'path',
        'organization',
        'team',
        'app',
        'subject',
        'key',
        'key_version',
        'status',
        'outcome',
        'problem',
        'reason',
        'limit',
        'cache',
        'upstream_status',
        'upstream_request_id',
        'bytes_in',
        'bytes_out',
        'duration_ms',
        'upstream_ms',
        'waited_ms',
        'trace_id',
        'policy_revision',
      ].toSorted(),
    )
    expect(Object.keys(found.decisions[0] ?? {}).toSorted()).toEqual(
      [
        'time',
        'actor',
        'email_verified',
        'owner',
        'warn',
        'decision_id',
        'request',
        'request_id',
        'ended',
        'effect',
        'reason',
        'detail',
        'subject',
        'issuer',
        'email',
        'app',
        'groups',
        'claims',
        'teams',
        'team',
        'grant',
        'guardrails',
        'operation',
        'organizations',
        'extra_permissions',
        'key',
        'nearest',
        'shadow',
        'policy_revision',
      ].toSorted(),
    )
    expect(found.access[0]).toMatchObject({
      request_id: 'plain-7',
      trace_id: '0af7651916cd43dd8448eb211c80319c',
      subject: 'ann',
      team: 'payments',
      key: 'payments-runner',
      key_version: 1,
      bytes_out: 2,
    })
    expect(Date.parse(found.access[0]?.time ?? '')).not.toBeNaN()
  })

  test('of a request that is repeated says the same each time, but for its ids and times', async () => {
    const token = await running.token()
    for (const [path, status] of [
      [`${sessions}?first=3`, 200],
      ['/v3/organizations/org-other/sessions', 403],
    ] as const) {
      const found = await recordsOf(4, async () => {
        for (let time = 0; time < 4; time++) expect((await running.call(path, { token })).status).toBe(status)
      })
      const contents = found.decisions.map(({ time, decision_id: id, request_id: request, ...content }) => {
        expect([typeof time, id]).toEqual(['string', request])
        return content
      })
      expect(contents).toEqual(Array(4).fill(contents[0]))
      expect(found.decisions.map((entry) => entry.decision_id)).toEqual(found.access.map((entry) => entry.decision_id))
      expect(new Set(found.decisions.map((entry) => entry.decision_id)).size).toBe(4)
    }
  })

  test('nowhere in all that was written is a token, a key, a body, a query or a field of a caller', async () => {
    const everything = await running.everything()
    const secrets = [
      plantedInBody,
      plantedInQuery,
      plantedInDefect,
      'planted-in-a-claim-7351',
      'planted-in-a-field-7351',
      ...Object.values(usualKeys),
    ]
    for (const secret of secrets) expect(everything.includes(secret), secret.slice(0, 20)).toBe(false)
    expect(everything).not.toMatch(/eyJ[A-Za-z0-9_-]{10}/)
  })

  test('no claim of a token brings a key or a character that is not seen into a record, a log or a page', async () => {
    const planted = 'planted-in-an-identity-7351'
    const hostile = (at: number): string =>
      [`cog_${planted}-${at}`, `\u202e\u2066a\u061c\u0085\u200f`, `\u001b[31m\nforged`, `cog_\u200b${planted}`][
        at % 4
      ] ?? ''
    for (let at = 0; at < 4; at++) {
      const claims = {
        sub: `ann ${hostile(at)}`,
        email: `${hostile(at + 1)}@corp.example`,
        azp: hostile(at + 2),
        groups: ['sso-payments-eng', hostile(at), hostile(at + 1)],
      }
      expect((await running.call(sessions, { claims })).status).toBe(200)
      expect((await running.call(`/v3/nowhere/cog%5F${planted}/%E2%80%AE`, { claims })).status).toBe(403)
      // A token whose issuer is nobody's, and one that is over.
      for (const refused of [{ aud: hostile(at) }, { exp: 1 }])
        expect((await running.call(sessions, { claims: { ...claims, ...refused } })).status).toBe(401)
    }
    await running.settled()
    const everything = await running.everything()
    expect(everything).not.toContain(planted)
    expect(everything).not.toMatch(/[\u0080-\u009f\u061c\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]/)
    const said = [...(await running.access()), ...(await running.decisions())]
    expect(said.some((entry) => entry.subject?.includes('\\u001b[31m\\u000aforged') === true)).toBe(true)
    for (const entry of said)
      JSON.parse(JSON.stringify(entry), (_name, text: unknown) => {
        if (typeof text === 'string') expect(text).not.toMatch(/\p{Cc}/u)
        return text
      })
  })

  test('every line is one JSON object', async () => {
    await running.settled()
    for (const name of ['access', 'decisions', 'audit']) {
      const text = await readFile(`${running.directory}/${name}.ndjson`, 'utf8')
      expect(text.endsWith('\n')).toBe(true)
      for (const line of text.trim().split('\n')) expect(typeof JSON.parse(line)).toBe('object')
    }
  })
})
