// Requests that are not well-formed HTTP, and fields that speak of the connection: answered with 400, recorded once, and
// never a second request for the upstream. Cases from Http11Probe, the smuggling lists and the advisories.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openSocket, parseAnswer, sendRaw } from '../support/raw-request.ts'
import { startTestGateway, until, usualKeys, type RunningGateway } from '../support/start-gateway.ts'
import { ask, kindOf, problemOf, watch } from '../support/three-sides.ts'
import { fieldOf } from '../support/upstream.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const smuggled = 'GET /v3/organizations/org-payments/sessions/smuggled HTTP/1.1\r\nHost: x\r\n\r\n'
let running: RunningGateway
let token: string

beforeAll(async () => {
  running = await startTestGateway()
  token = await running.token()
})
afterAll(() => running.close())
beforeEach(() => {
  running.upstream.seen.length = 0
  running.upstream.takeOver(null)
  running.upstream.respond((_request, response) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"items":[]}'),
  )
})

/** Sends bytes, keeps what comes, and ends its own side once an answer is there or the other side ends. */
function exchange(bytes: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve) => {
    let text = ''
    void openSocket(running.port).then((socket) => {
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString('latin1')
        // Ends its side after an answer, so that the gateway does not wait for more.
        if (text.includes('\r\n\r\n')) socket.end()
      })
      socket.on('error', () => {})
      socket.on('close', () => resolve({ status: parseAnswer(text).status, text }))
      socket.write(Buffer.from(bytes, 'latin1'))
    })
  })
}

describe('a refusal says what is wrong with the bytes', () => {
  const line = (target: string, fields = ''): string => `GET ${target} HTTP/1.1\r\nHost: x\r\n${fields}\r\n`
  test.each([
    ['a space in the query', line(`${sessions}?tags=a b`), 'unparsable', 'percent-encoded'],
    ['a letter outside ASCII', line('/v3/\u00e9'), 'unparsable', 'percent-encoded'],
    ['an address without its slash', line('v3/self'), 'unparsable', 'begins with a slash'],
    ['a method in lower case', 'get / HTTP/1.1\r\nHost: x\r\n\r\n', 'unparsable', 'upper case'],
    ['lines without CR', 'GET /v3/self HTTP/1.1\nHost: x\n\n', 'unparsable', 'CR and LF'],
    ['a folded field', line('/v3/self', 'A: b\r\n c\r\n'), 'unparsable', 'header field'],
    ['two lengths', post('Content-Length: 1\r\nContent-Length: 1', '1'), 'unparsable', 'Content-Length'],
    ['a coding', post('Transfer-Encoding: chunked, gzip', ''), 'unparsable', 'Transfer-Encoding'],
    ['a chunk without a size', post('Transfer-Encoding: chunked', 'zz\r\n'), 'unparsable', 'chunk'],
    ['a long query', line(`/v3/self?q=${'q'.repeat(40_000)}`), 'fields-too-large', 'a long query'],
    ['TLS', '\u0016\u0003\u0001\u0002\u0000\u0001', 'tls-on-plain-port', 'http://'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'http2-without-tls', 'needs TLS'],
    ['the PROXY protocol', `PROXY TCP4 1.2.3.4 1.2.3.5 1 2\r\n${line('/v3/self')}`, 'proxy-protocol', 'balancer'],
    ['its binary form', '\r\n\r\n\u0000\r\nQUIT\n!\u0011\u0000', 'proxy-protocol', 'balancer'],
  ])('%s', async (_name, bytes, reason, words) => {
    const { status, text } = await exchange(bytes.replace('AUTH', `Authorization: Bearer ${token}\r\n`))
    expect(status).toBe(400)
    const problem = JSON.parse(parseAnswer(text).body) as { reason: string; detail: string; decision_id: string }
    expect(problem).toMatchObject({ reason, detail: expect.stringContaining(words) })
    expect((await running.recordsOf(problem.decision_id)).access).toMatchObject({ status: 400, reason })
    expect(running.upstream.seen).toEqual([])
  })

  test('in HTTP of its own after a request that was longer than it said', async () => {
    const { text } = await exchange(`${line('/gateway/v1/problems')}{}`)
    expect(text).toMatch(/200 OK/)
    await until(async () => (await running.access()).at(-1)?.reason === 'unparsable', 'the rest to be refused')
  })
})

async function statusOf(gateway: RunningGateway): Promise<{ body: { upstream: { in_flight: number } } }> {
  // The shape is what the operators' listener promises.
  return { body: (await (await fetch(`${gateway.adminUrl}/api/status`)).json()) as { upstream: { in_flight: number } } }
}

const refused: readonly (readonly [name: string, bytes: string])[] = [
  ['no Host', `GET ${sessions} HTTP/1.1\r\nAUTH\r\n`],
  ['two Host fields', `GET ${sessions} HTTP/1.1\r\nHost: a\r\nHost: b\r\nAUTH\r\n`],
  ['two equal Host fields', `GET ${sessions} HTTP/1.1\r\nHost: a\r\nhost: a\r\nAUTH\r\n`],
  ['an empty Host', `GET ${sessions} HTTP/1.1\r\nHost:\r\nAUTH\r\n`],
  ['a Host with user information', `GET ${sessions} HTTP/1.1\r\nHost: a@b\r\nAUTH\r\n`],
  ['a Host with a path', `GET ${sessions} HTTP/1.1\r\nHost: a/b\r\nAUTH\r\n`],
  ['a Host with a comma', `GET ${sessions} HTTP/1.1\r\nHost: a, b\r\nAUTH\r\n`],
  ['a Host with a query', `GET ${sessions} HTTP/1.1\r\nHost: a?b\r\nAUTH\r\n`],
  ['a Host with a bad port', `GET ${sessions} HTTP/1.1\r\nHost: a:b\r\nAUTH\r\n`],
  ['a Host with a space', `GET ${sessions} HTTP/1.1\r\nHost: a b\r\nAUTH\r\n`],
  ['both Transfer-Encoding and Content-Length', post('Transfer-Encoding: chunked\r\nContent-Length: 4', '0\r\n\r\n')],
  ['both, the other way round', post('Content-Length: 4\r\nTransfer-Encoding: chunked', '0\r\n\r\n')],
  ['two Content-Length fields', post('Content-Length: 0\r\nContent-Length: 5', smuggled)],
  ['two Content-Length fields in other case', post('Content-Length: 0\r\ncontent-length: 5', smuggled)],
  ['two values in a Content-Length', post('Content-Length: 0, 5', smuggled)],
  ['a Content-Length with a sign', post('Content-Length: +5', 'hello')],
  ['a negative Content-Length', post('Content-Length: -1', 'hello')],
  ['a hexadecimal Content-Length', post('Content-Length: 0x5', 'hello')],
  ['an empty Content-Length', post('Content-Length:', 'hello')],
  ['a Content-Length beyond numbers', post('Content-Length: 99999999999999999999', 'hello')],
  ['an empty Transfer-Encoding', post('Transfer-Encoding:', smuggled)],
  ['a Transfer-Encoding that is not chunked', post('Transfer-Encoding: gzip', smuggled)],
  ['chunked that is not last', post('Transfer-Encoding: chunked, gzip', smuggled)],
  ['a misspelt chunked', post('Transfer-Encoding: xchunked', smuggled)],
  ['chunked with a vertical tab', post('Transfer-Encoding: \u000bchunked', smuggled)],
  ['identity', post('Transfer-Encoding: identity', smuggled)],
  ['chunked twice', post('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity', smuggled)],
  ['a space before the colon', post('Transfer-Encoding : chunked', '0\r\n\r\n')],
  ['a tab before the colon', post('Content-Length\t: 5', 'hello')],
  ['a folded field', `GET ${sessions} HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\nAUTH\r\n`],
  ['a folded first field', `GET ${sessions} HTTP/1.1\r\n Host: x\r\nAUTH\r\n`],
  ['a field without a name', `GET ${sessions} HTTP/1.1\r\nHost: x\r\n: b\r\nAUTH\r\n`],
  ['a field without a colon', `GET ${sessions} HTTP/1.1\r\nHost: x\r\nabc\r\nAUTH\r\n`],
  ['a name with a space', `GET ${sessions} HTTP/1.1\r\nHost: x\r\na b: c\r\nAUTH\r\n`],
  ['a NUL in a value', `GET ${sessions} HTTP/1.1\r\nHost: x\r\na: b\u0000c\r\nAUTH\r\n`],
  ['a lone CR in a value', `GET ${sessions} HTTP/1.1\r\nHost: x\r\na: b\rTransfer-Encoding: chunked\r\nAUTH\r\n`],
  ['lone LF line ends', `GET ${sessions} HTTP/1.1\nHost: x\n\n`],
  ['HTTP/2.0 as text', `GET ${sessions} HTTP/2.0\r\nHost: x\r\nAUTH\r\n`],
  ['HTTP/3.7', `GET ${sessions} HTTP/3.7\r\nHost: x\r\nAUTH\r\n`],
  ['HTTP/0.9', `GET ${sessions} HTTP/0.9\r\nHost: x\r\nAUTH\r\n`],
  ['HTTP/1.2', `GET ${sessions} HTTP/1.2\r\nHost: x\r\nAUTH\r\n`],
  ['a small http', `GET ${sessions} http/1.1\r\nHost: x\r\nAUTH\r\n`],
  ['no version', `GET ${sessions}\r\nHost: x\r\nAUTH\r\n`],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['a TLS hello', '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003'],
  ['garbage', 'hello\r\n\r\n'],
  ['fields of 40 KiB', `GET ${sessions} HTTP/1.1\r\nHost: x\r\nX-Big: ${'x'.repeat(40_000)}\r\nAUTH\r\n`],
  ['a target of 40 KiB', `GET /${'x'.repeat(40_000)} HTTP/1.1\r\nHost: x\r\nAUTH\r\n`],
]

function post(framing: string, body: string): string {
  return `POST ${sessions} HTTP/1.1\r\nHost: x\r\nAUTH${framing}\r\n\r\n${body}`
}

describe('what is not HTTP/1.1 is answered with 400, closes, leaves one record of each, and reaches nobody', () => {
  test.each(refused)('%s', async (_name, bytes) => {
    const { answer, seen, access, decisions } = await watch(running, async () => {
      const { text } = await exchange(bytes.replace('AUTH', `Authorization: Bearer ${token}\r\n`))
      return parseAnswer(text)
    })
    expect([answer.status, kindOf(answer)]).toEqual([400, 'malformed-request'])
    expect(answer.text.match(/^HTTP\/1\.1 /gm), 'one answer').toHaveLength(1)
    expect(seen).toEqual([])
    expect([access.length, decisions.length]).toEqual([1, 1])
    expect(access[0]).toMatchObject({ status: 400, outcome: 'refused', problem: 'malformed-request' })
    expect(decisions[0]).toMatchObject({ effect: 'deny' })
  })

  test('too many fields are refused or forwarded without them, but nothing breaks', async () => {
    const many = Array.from({ length: 3000 }, (_, index) => `X-${index}: 1`)
    const { answer, seen } = await ask(running, 'GET', sessions, { fields: many })
    expect([200, 400]).toContain(answer.status)
    expect(seen[0]?.rawHeaders.join(',') ?? '').not.toContain('X-2999')
  })
})

describe('a body that breaks off or is malformed', () => {
  test.each([
    ['a chunk size that is no number', 'zz\r\nhello\r\n0\r\n\r\n'],
    ['a chunk size with a sign', '-1\r\nhello\r\n0\r\n\r\n'],
    ['a chunk size with 0x', '0x5\r\nhello\r\n0\r\n\r\n'],
    ['a chunk size beyond numbers', 'fffffffffffffffff\r\nhello\r\n0\r\n\r\n'],
    ['a chunk longer than it says', `5\r\nhello!\r\n0\r\n\r\n`],
    ['a bad chunk extension', '5;\u0000=1\r\nhello\r\n0\r\n\r\n'],
    ['a lone LF after a chunk extension', '5;a\nhello\r\n0\r\n\r\n'],
    ['a lone LF after a chunk size', `5\nhello\r\n0\r\n\r\n`],
    ['a huge chunk extension (CVE-2024-22019)', `5;${'a'.repeat(40_000)}\r\nhello\r\n0\r\n\r\n`],
    ['a bad trailer', '5\r\nhello\r\n0\r\nbad trailer\r\n\r\n'],
  ])('%s: one answer of 400, one record of each, no complete request for the upstream', async (_name, body) => {
    let complete = 0
    running.upstream.takeOver((request) => {
      request.on('error', () => {})
      request.on('end', () => (complete += 1))
      request.resume()
    })
    for (const target of [sessions, `${sessions}/devin-1/tags`]) {
      const { answer, access, decisions } = await watch(running, async () => {
        const { text } = await exchange(
          `POST ${target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nTransfer-Encoding: chunked\r\n\r\n${body}`,
        )
        return parseAnswer(text)
      })
      // A second record may come late: give it a whole flush of the writer.
      await (await running.call('/gateway/v1/me')).text()
      await running.settled()
      expect(answer.status, target).toBe(400)
      expect(answer.text.match(/^HTTP\/1\.1 /gm), 'one answer').toHaveLength(1)
      expect([access.length, decisions.length], target).toEqual([1, 1])
      expect(complete, target).toBe(0)
      const { body: status } = await statusOf(running)
      expect(status.upstream.in_flight, `${target}: the upstream is let go`).toBe(0)
    }
  })

  test('that came in one piece with its head reaches nobody at all, and nothing was decided about it', async () => {
    for (const target of [sessions, `${sessions}/devin-1/tags`]) {
      const { answer, decisions } = await watch(running, async () => {
        const { text } = await exchange(
          `POST ${target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`,
        )
        return parseAnswer(text)
      })
      expect(answer.status, target).toBe(400)
      expect(decisions[0], target).toMatchObject({ effect: 'deny', reason: 'unparsable', subject: null })
      expect(running.upstream.seen, target).toEqual([])
    }
  })

  test('a head that never ends is answered when the caller ends its side', async () => {
    const { answer, access, decisions, seen } = await watch(running, async () => {
      const socket = await openSocket(running.port)
      let text = ''
      socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
      socket.write(`GET ${sessions} HTTP/1.1\r\nHost: x\r\n`)
      socket.end()
      await new Promise((resolve) => socket.on('close', resolve))
      return parseAnswer(text)
    })
    expect(answer.status).toBe(400)
    expect([access.length, decisions.length, seen.length]).toEqual([1, 1, 0])
  })

  test('a body that is shorter than declared never reaches the upstream as a whole', async () => {
    let complete = 0
    running.upstream.takeOver((request) => {
      request.on('error', () => {})
      request.on('end', () => (complete += 1))
      request.resume()
    })
    for (const [target, length] of [
      [sessions, 100],
      [`${sessions}/devin-1/tags`, 100],
      [`${sessions}/devin-1/tags`, 100_000],
    ] as const) {
      const before = await running.settled()
      const socket = await openSocket(running.port)
      socket.on('error', () => {})
      socket.write(
        `POST ${target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Length: ${length}\r\n\r\n{"prompt":`,
      )
      socket.end()
      socket.resume()
      await until(async () => (await running.access()).length > before, 'the record')
      socket.destroy()
    }
    expect((await statusOf(running)).body.upstream.in_flight, 'the upstream is let go').toBe(0)
    const count = await running.settled()
    await (await running.call('/gateway/v1/me')).text()
    expect(await running.settled()).toBe(count + 1)
    expect((await running.access()).length).toBe(count + 1)
    expect((await running.decisions()).length).toBe(count + 1)
    expect(complete).toBe(0)
  })
})

describe('one request stays one request', () => {
  test.each([
    ['GET', `Content-Length: ${smuggled.length}`, smuggled],
    ['HEAD', `Content-Length: ${smuggled.length}`, smuggled],
    ['DELETE', `Content-Length: ${smuggled.length}`, smuggled],
    ['GET', 'Transfer-Encoding: chunked', chunked(smuggled)],
    ['HEAD', 'Transfer-Encoding: chunked', chunked(smuggled)],
    ['DELETE', 'Transfer-Encoding: chunked', chunked(smuggled)],
    ['POST', 'Transfer-Encoding: chunked', chunked(smuggled)],
  ])('%s with a body (%s) that looks like a request', async (method, framing, body) => {
    const target = method === 'POST' ? `${sessions}/devin-1/tags` : `${sessions}/devin-1`
    const { answer, seen } = await ask(running, method, target, { fields: [framing], body })
    expect(answer.text.match(/^HTTP\/1\.1 /gm)).toHaveLength(1)
    expect(seen.length).toBeLessThanOrEqual(1)
    for (const each of seen) expect(each.target).toBe(target)
    // The connections of the pool are used again: nothing may be left over in front of the next request.
    for (let index = 0; index < 3; index++) {
      expect((await running.call(`${sessions}/after-${index}`)).status).toBe(200)
      expect(running.upstream.seen.at(-1)?.target).toBe(`${sessions}/after-${index}`)
    }
    expect(running.upstream.seen.map((each) => each.target)).not.toContain(`${sessions}/smuggled`)
  })

  test('pipelined requests are two exchanges in order, each with its own decision', async () => {
    const before = await running.settled()
    const auth = `Authorization: Bearer ${token}\r\n`
    const answer = await sendRaw(
      running.port,
      `GET ${sessions}/one HTTP/1.1\r\nHost: x\r\n${auth}\r\nGET /v3/organizations/org-other/sessions HTTP/1.1\r\nHost: x\r\n${auth}Connection: close\r\n\r\n`,
    )
    expect(answer.text.match(/^HTTP\/1\.1 (\d+)/gm)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 403'])
    expect(await running.settled()).toBe(before + 2)
    expect(running.upstream.seen).toHaveLength(1)
  })

  test("a second request without a token does not inherit the first one's", async () => {
    const answer = await sendRaw(
      running.port,
      `GET ${sessions} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\nGET ${sessions} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
    )
    expect(answer.text.match(/^HTTP\/1\.1 (\d+)/gm)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 401'])
  })

  test('garbage behind a request does not get into its answer', async () => {
    running.upstream.takeOver((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '20' })
      response.write('{"items":')
      void until(() => broken, 'the garbage').then(() => response.end(' [1,2,3,4]}'))
    })
    let broken = false
    let text = ''
    const socket = await openSocket(running.port)
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
    socket.write(`GET ${sessions} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`)
    await until(() => text.includes('{"items":'), 'the first half')
    socket.write('garbage\r\n\r\n')
    // What the gateway says to it, if anything, comes before the second half: it has read the garbage when it answers this.
    await sendRaw(running.port, 'GET /gateway/v1/problems/draining HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    broken = true
    await new Promise((resolve) => {
      socket.on('close', resolve)
      void until(() => text.includes(']}'), 'the second half').then(resolve, resolve)
    })
    socket.destroy()
    const body = text.slice(text.indexOf('\r\n\r\n') + 4)
    expect('{"items": [1,2,3,4]}'.startsWith(body.slice(0, 20)), body).toBe(true)
    expect(text.match(/^HTTP\/1\.1 /gm)).toHaveLength(1)
  })
})

function chunked(body: string): string {
  return `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
}

describe('fields that speak of the connection', () => {
  test.each([
    ['Keep-Alive: timeout=5, max=1000'],
    ['Upgrade: websocket'],
    ['Upgrade: h2c'],
    ['HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA'],
    ['Expect: something-else'],
    ['Expect: 100-Continue'],
    ['TE: trailers, gzip;q=0.5'],
    ['Trailer: X-Trailer'],
    ['Proxy-Connection: keep-alive'],
    ['Proxy-Authorization: Basic eDp5'],
    ['Max-Forwards: 0'],
    ['Via: 1.1 other'],
    ['Range: bytes=0-1'],
    ['Sec-WebSocket-Key: x'],
  ])('%s changes nothing and stays here', async (line) => {
    const { answer, seen } = await ask(running, 'GET', sessions, { fields: [line] })
    expect(answer.status).toBe(200)
    expect(answer.body).toContain('{"items":[]}')
    const name = line.slice(0, line.indexOf(':')).toLowerCase()
    if (name === 'via') expect(fieldOf(seen[0], 'via')).not.toContain('other')
    else expect(fieldOf(seen[0], name)).toBeUndefined()
  })

  test('an upgrade request stays plain HTTP', async () => {
    const { answer, seen } = await watch(running, () =>
      sendRaw(
        running.port,
        `GET ${sessions} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eDEyMzQ1Njc4OTAxMjM0NQ==\r\n\r\n`,
      ),
    )
    expect(answer.status).toBe(200)
    expect(fieldOf(seen[0], 'upgrade')).toBeUndefined()
    expect(fieldOf(seen[0], 'connection')).toBe('keep-alive')
  })

  test.each([
    [['Connection: authorization, x-request-id, via, accept-encoding, host, content-length, content-type']],
    [['Connection: authorization', 'Connection: x-request-id, via', 'Connection: host']],
    [['connection: AUTHORIZATION, Via']],
    [['Proxy-Connection: authorization']],
  ])('cannot strip what the gateway adds (CVE-2026-33805): %j', async (fields) => {
    const { answer, seen } = await watch(running, () =>
      sendRaw(
        running.port,
        `POST ${sessions} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: 14\r\n${fields.join('\r\n')}\r\nConnection: close\r\n\r\n{"prompt":"x"}`,
      ),
    )
    expect(answer.status).toBe(200)
    expect(fieldOf(seen[0], 'authorization')).toBe(`Bearer ${usualKeys['PAYMENTS_RUNNER_KEY']}`)
    expect(fieldOf(seen[0], 'x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
    expect(fieldOf(seen[0], 'via')).toBeDefined()
    expect(fieldOf(seen[0], 'content-length')).toBe('14')
    expect(seen[0]?.body.toString()).toBe('{"prompt":"x"}')
  })

  test('drop what they name, whatever it is', async () => {
    const { seen } = await ask(running, 'GET', sessions, {
      fields: ['Connection: Accept-Language, x', 'Accept-Language: de'],
    })
    expect(fieldOf(seen[0], 'accept-language')).toBeUndefined()
  })

  test('fields spelled with an underscore and fields with odd names are not forwarded', async () => {
    const { seen } = await ask(running, 'GET', sessions, {
      fields: ['Content_Type: x', 'X_Request_Id: y', 'Authorization_: z', 'X-Authorization: Bearer q', 'Api-Key: k'],
    })
    const names = seen[0]?.rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase()) ?? []
    expect(names.toSorted()).toEqual(
      ['accept-encoding', 'authorization', 'connection', 'host', 'via', 'x-request-id'].toSorted(),
    )
  })

  test('a request id that is long or odd is replaced, one that is plain is kept', async () => {
    for (const id of ['x'.repeat(200), 'a b', 'a"b', '<script>', '\u00e9', '']) {
      const { answer, seen } = await ask(running, 'GET', sessions, { fields: [`X-Request-Id: ${id}`] })
      expect(answer.fields['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
      expect(fieldOf(seen[0], 'x-request-id')).toBe(answer.fields['x-request-id'])
    }
  })

  test('values beyond ASCII arrive byte for byte', async () => {
    const { seen } = await ask(running, 'GET', sessions, { fields: ['User-Agent: \u00e9\u00ff\tx'] })
    expect(fieldOf(seen[0], 'user-agent')).toBe('\u00e9\u00ff\tx')
  })
})

describe('a caller that disconnects', () => {
  test('right after CONNECT takes nothing down with it', async () => {
    for (let index = 0; index < 20; index++) {
      const socket = await openSocket(running.port)
      socket.on('error', () => {})
      socket.write('CONNECT internal.example:443 HTTP/1.1\r\nHost: internal.example:443\r\n\r\n')
      await new Promise((resolve) => setImmediate(resolve))
      socket.resetAndDestroy()
    }
    expect((await running.call(sessions)).status).toBe(200)
  })

  test('after half a head leaves the gateway as it was', async () => {
    for (let index = 0; index < 20; index++) {
      const socket = await openSocket(running.port)
      socket.on('error', () => {})
      socket.write(`GET ${sessions} HTTP/1.1\r\nHo`)
      await new Promise((resolve) => setImmediate(resolve))
      socket.resetAndDestroy()
    }
    expect((await running.call(sessions)).status).toBe(200)
  })
})

test('a refusal spells the organization as it was sent, and hides what could be read as something else', async () => {
  for (const [sent, shown] of [
    ['{org_id}', '{org_id}'],
    ['$ORG', '$ORG'],
    ['<org>', '<org>'],
    ['"x"', '?x?'],
  ] as const) {
    const { answer } = await ask(running, 'GET', `/v3/organizations/${sent}/sessions`)
    expect(problemOf(answer)).toMatchObject({ reason: 'organization-not-granted' })
    expect(problemOf(answer).detail).toContain(`may not touch organization "${shown}";`)
  }
})
