// TLS on both sides: an upstream whose certificate is not good gets nothing, not even a request without a key; and the
// callers' listener speaks HTTP/1.1 and HTTP/2 with the same decisions. CVE-2026-107318 is the bug class.

import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { connect, constants, type ClientHttp2Session, type IncomingHttpHeaders } from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { makeSelfSigned } from '../identity/self-signed.ts'
import { createAuthority, longAgo, type ServerCertificate } from '../support/certificates.ts'
import { parseAnswer } from '../support/raw-request.ts'
import { stageChannel } from '../../src/gateway/stages/stage.ts'
import { startTestGateway, until, usualKeys, type RunningGateway } from '../support/start-gateway.ts'
import { fieldOf, startUpstream, type RecordingUpstream } from '../support/upstream.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const authority = createAuthority('a test authority')
const stranger = createAuthority('an authority nobody knows')

describe('the certificate of the upstream', () => {
  let upstream: RecordingUpstream | null = null
  let running: RunningGateway | null = null
  afterEach(async () => {
    await running?.close()
    await upstream?.close()
  })

  async function start(certificate: ServerCertificate, host: string, ca: string | null): Promise<RunningGateway> {
    upstream = await startUpstream(certificate)
    const caFile = join(tmpdir(), `gateway-test-ca-${process.pid}.pem`)
    if (ca !== null) await writeFile(caFile, ca)
    running = await startTestGateway({
      upstream: `{ origin: "https://${host}:${upstream.port}"${ca === null ? '' : `, ca: "${caFile}"`} }`,
    })
    return running
  }

  test.each([
    ['self-signed', makeSelfSigned('localhost'), 'localhost', null],
    ['self-signed, with an authority configured', makeSelfSigned('localhost'), 'localhost', authority.ca],
    ['of an authority nobody knows', stranger.issue({ name: 'localhost' }), 'localhost', authority.ca],
    ['of an authority that is not configured', authority.issue({ name: 'localhost' }), 'localhost', null],
    ['expired', authority.issue({ name: 'localhost', validity: longAgo }), 'localhost', authority.ca],
    ['of another name', authority.issue({ name: 'other.example' }), 'localhost', authority.ca],
    ['of a longer name', authority.issue({ name: 'localhost.evil.example' }), 'localhost', authority.ca],
    ['of a name where an address is asked for', authority.issue({ name: 'localhost' }), '127.0.0.1', authority.ca],
    ['of another address', authority.issue({ name: '127.0.0.2' }), '127.0.0.1', authority.ca],
  ])('%s: 502, and nothing was received', async (_name, certificate, host, ca) => {
    const gateway = await start(certificate, host, ca)
    const answer = await gateway.call(sessions)
    expect(answer.status).toBe(502)
    expect(answer.headers.get('proxy-status')).toBe('devin-gateway; error=tls_certificate_error')
    const text = await answer.text()
    expect(JSON.parse(text)).toMatchObject({ type: '/gateway/v1/problems/upstream-tls-failed', status: 502 })
    expect(text).not.toMatch(/localhost|127\.0\.0|SELF_SIGNED|CERT_/)
    expect(upstream?.seen).toEqual([])
    const { access, decision } = await gateway.recorded(1)
    expect(access).toMatchObject({ outcome: 'failed', problem: 'upstream-tls-failed', upstream_status: null })
    expect(decision).toMatchObject({ effect: 'allow' })
    expect(gateway.logLines.join('')).not.toContain(usualKeys['PAYMENTS_RUNNER_KEY'])
  })

  test.each([
    ['a name', authority.issue({ name: 'localhost' }), 'localhost'],
    ['an address', authority.issue({ name: '127.0.0.1' }), '127.0.0.1'],
  ])('of the configured authority for %s is accepted', async (_name, certificate, host) => {
    const gateway = await start(certificate, host, authority.ca)
    expect((await gateway.call(sessions)).status).toBe(200)
    expect(fieldOf(upstream?.seen[0], 'authorization')).toBe(`Bearer ${usualKeys['PAYMENTS_RUNNER_KEY']}`)
  })

  test('an upstream that speaks plain HTTP where TLS is expected gets nothing', async () => {
    upstream = await startUpstream()
    running = await startTestGateway({ upstream: `{ origin: "https://localhost:${upstream.port}" }` })
    const answer = await running.call(sessions)
    expect([answer.status, ((await answer.json()) as { type: string }).type]).toEqual([
      502,
      '/gateway/v1/problems/upstream-tls-failed',
    ])
    expect(upstream.seen).toEqual([])
  })

  test('NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment changes nothing', async () => {
    upstream = await startUpstream(makeSelfSigned('localhost'))
    const script = `
      import { startTestGateway } from './test/support/start-gateway.ts'
      const running = await startTestGateway({ upstream: '{ origin: "https://localhost:${upstream.port}" }' })
      const answer = await running.call('${sessions}')
      console.log(answer.status, (await answer.json()).type)
      await running.close()
    `
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      env: { ...process.env, NODE_TLS_REJECT_UNAUTHORIZED: '0', NODE_NO_WARNINGS: '1' },
    })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
    await new Promise((resolve) => child.on('close', resolve))
    expect(output.trim()).toBe('502 /gateway/v1/problems/upstream-tls-failed')
    expect(upstream.seen).toEqual([])
  })
})

interface H2Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders & Record<string, unknown>
  readonly body: string
}

describe("the callers' listener with a certificate", () => {
  const { cert, key } = authority.issue({ name: 'localhost' })
  let running: RunningGateway
  let session: ClientHttp2Session
  let token: string

  beforeAll(async () => {
    const base = join(tmpdir(), `gateway-test-listener-${process.pid}`)
    await writeFile(`${base}.crt`, cert)
    await writeFile(`${base}.key`, key)
    running = await startTestGateway({
      listen: `{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", tls: { cert: "${base}.crt", key: "${base}.key" } }`,
      config: 'bodies: { max_size: 200KiB, max_judged_size: 10KiB }',
    })
    token = await running.token()
  })
  afterAll(() => running.close())
  beforeEach(() => {
    running.upstream.seen.length = 0
    running.upstream.takeOver(null)
    running.upstream.respond((_request, response) =>
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"items":[]}'),
    )
    session = connect(`https://localhost:${running.port}`, { ca: authority.ca })
    session.on('error', () => {})
  })
  afterEach(() => session.destroy())

  function h2(headers: Record<string, string>, body: Buffer | null = null): Promise<H2Answer> {
    return new Promise((resolve, reject) => {
      const stream = session.request({ authorization: `Bearer ${token}`, ...headers }, { endStream: body === null })
      let status = 0
      let fields: H2Answer['headers'] = {}
      const chunks: Buffer[] = []
      stream.on('response', (answer) => {
        status = Number(answer[constants.HTTP2_HEADER_STATUS])
        fields = answer
      })
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('error', reject)
      stream.on('close', () => {
        // A stream that was cancelled closes without an error.
        if (stream.aborted || stream.rstCode !== constants.NGHTTP2_NO_ERROR)
          reject(new Error(`reset ${stream.rstCode}`))
        else resolve({ status, headers: fields, body: Buffer.concat(chunks).toString() })
      })
      if (body !== null) stream.end(body)
    })
  }

  test.each([
    ['the same Host beside the authority', { ':authority': 'Gateway.example:1', host: 'gateway.example:1' }, 200],
    ['a Host alone', { host: 'gateway.example' }, 200],
    ['a Host of another port', { ':authority': 'gateway.example:1', host: 'gateway.example:2' }, 400],
  ])('takes by HTTP/2 %s: %o', async (_name, headers, status) => {
    const answer = await h2({ ':path': sessions, ...headers })
    expect([answer.status, running.upstream.seen.length]).toEqual([status, status === 200 ? 1 : 0])
    if (status === 400) expect(answer.body).toContain('its Host field names another host than its authority')
  })

  test('serves HTTP/1.1', async () => {
    const text = await new Promise<string>((resolve, reject) => {
      const socket = connectTls(
        { port: running.port, host: 'localhost', ca: authority.ca, ALPNProtocols: ['http/1.1'] },
        () =>
          socket.write(
            `GET ${sessions} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${token}\r\n\r\n`,
          ),
      )
      let all = ''
      socket.on('data', (chunk: Buffer) => (all += chunk.toString('latin1')))
      socket.on('error', reject)
      socket.on('close', () => resolve(all))
    })
    expect(parseAnswer(text).status).toBe(200)
    expect(running.upstream.seen[0]?.target).toBe(sessions)
  })

  test('serves HTTP/2: the same decision, the same key, the same records, no fields of the connection', async () => {
    running.upstream.respond((_request, response) =>
      response
        .writeHead(200, [
          'content-type',
          'application/json',
          'link',
          '<a>; rel=next',
          'link',
          '<b>; rel=prev',
          'keep-alive',
          'timeout=5',
          'x-gone',
          '1',
        ])
        .end('{"items":[]}'),
    )
    const answer = await h2({ ':path': `${sessions}?a=%2F`, 'x-request-id': 'over-h2', te: 'trailers', cookie: 'a=b' })
    expect([answer.status, answer.body]).toEqual([200, '{"items":[]}'])
    for (const name of ['connection', 'keep-alive', 'transfer-encoding', 'proxy-connection', 'upgrade', 'x-gone'])
      expect(answer.headers[name]).toBeUndefined()
    expect(answer.headers['x-request-id']).toBe('over-h2')
    expect(String(answer.headers['link'])).toContain('<a>; rel=next')
    expect(String(answer.headers['link'])).toContain('<b>; rel=prev')
    const [seen] = running.upstream.seen
    expect(seen?.target).toBe(`${sessions}?a=%2F`)
    expect(fieldOf(seen, 'authorization')).toBe(`Bearer ${usualKeys['PAYMENTS_RUNNER_KEY']}`)
    expect(fieldOf(seen, 'cookie')).toBeUndefined()
    expect(fieldOf(seen, 'te')).toBeUndefined()
    expect(seen?.rawHeaders.some((name) => name.startsWith(':'))).toBe(false)
    expect((await running.recordsOf('over-h2')).access).toMatchObject({
      operation: 'org.sessions.list',
      outcome: 'forwarded',
      status: 200,
    })
  })

  test('takes 100 streams of a session at once, and others as those end', async () => {
    const held: ServerResponse[] = []
    running.upstream.takeOver((_request, response) => void held.push(response))
    const answers = Promise.all(Array.from({ length: 130 }, () => h2({ ':path': sessions })))
    await until(() => held.length === 100, 'the first hundred')
    expect(session.remoteSettings.maxConcurrentStreams).toBe(100)
    running.upstream.takeOver((_request, response) => void response.end('{}'))
    for (const response of held) response.end('{}')
    expect(new Set((await answers).map(({ status }) => status))).toEqual(new Set([200]))
  })

  test('HEAD over HTTP/2 has no body', async () => {
    const answer = await h2({ ':method': 'HEAD', ':path': sessions })
    expect([answer.status, answer.body]).toEqual([200, ''])
    const refused = await h2({ ':method': 'HEAD', ':path': '/v4/self' })
    expect([refused.status, refused.body]).toEqual([403, ''])
  })

  test('a JSON body over HTTP/2 is judged and arrives byte for byte', async () => {
    const body = '{ "prompt": "x" }'
    expect((await h2({ ':method': 'POST', ':path': sessions }, Buffer.from(body))).status).toBe(200)
    expect(running.upstream.seen[0]?.body.toString()).toBe(body)
    const refused = await h2({ ':method': 'POST', ':path': sessions }, Buffer.from('{"create_as_user_id":"bob"}'))
    expect(refused.status).toBe(403)
    expect(running.upstream.seen).toHaveLength(1)
  })

  test.each([
    ['another organization', { ':path': '/v3/organizations/org-other/sessions' }, 403, 'organization-not-granted'],
    ['a dot segment', { ':path': '/v3/organizations/../self' }, 400, 'ambiguous-path'],
    ['a fragment', { ':path': '/v3/self#x' }, 400, 'ambiguous-path'],
    ['an asterisk', { ':path': '*', ':method': 'OPTIONS' }, 400, 'ambiguous-path'],
    ['no token', { ':path': sessions, authorization: '' }, 401, 'token-missing'],
    [
      'a Host beside another authority',
      { ':path': sessions, ':authority': 'gateway.example', host: 'evil.example' },
      400,
      'malformed-request',
    ],
  ])('refuses %s over HTTP/2 as over HTTP/1.1', async (_name, headers, status, kind) => {
    const answer = await h2(headers)
    expect(answer.status, answer.body).toBe(status)
    expect(JSON.parse(answer.body)).toMatchObject({ type: `/gateway/v1/problems/${kind}`, status })
    expect(answer.headers['connection']).toBeUndefined()
    expect(running.upstream.seen).toEqual([])
  })

  test('a body that is too large is refused over HTTP/2 without breaking the session', async () => {
    const answer = await h2(
      { ':method': 'POST', ':path': sessions, 'content-length': '20000' },
      Buffer.alloc(20_000, 0x20),
    ).catch((error: unknown) => ({ status: String(error), headers: {}, body: '' }))
    expect(answer.status).toBe(413)
    expect((await h2({ ':path': sessions })).status).toBe(200)
  })

  test('a caller that leaves over HTTP/2 takes the upstream request with it and is recorded as gone', async () => {
    let closed = false
    running.upstream.takeOver((request) => request.on('close', () => (closed = true)))
    const stream = session.request({
      ':path': sessions,
      authorization: `Bearer ${token}`,
      'x-request-id': 'leaves-over-h2',
    })
    stream.on('error', () => {})
    await until(() => running.upstream.seen.length === 1, 'the upstream to see it')
    stream.close(constants.NGHTTP2_CANCEL)
    await until(() => closed, 'the upstream to be let go')
    expect((await running.recordsOf('leaves-over-h2')).access).toMatchObject({ outcome: 'aborted', status: null })
  })

  test.each([
    ['streamed', `${sessions}/devin-1/tags`, {}],
    ['streamed and declared', `${sessions}/devin-1/tags`, { 'content-length': '100000' }],
    ['small, streamed and declared', `${sessions}/devin-1/tags`, { 'content-length': '100' }],
    ['judged', sessions, {}],
    ['judged and declared', sessions, { 'content-length': '100' }],
  ])('an upload that breaks off over HTTP/2 never counts as a whole: %s', async (name, target, fields) => {
    let complete = 0
    running.upstream.takeOver((request) => {
      request.on('error', () => {})
      request.on('end', () => (complete += 1))
      request.resume()
    })
    const before = await running.settled()
    let begun = 0
    const count = (message: unknown): void => {
      if (Reflect.get(Object(message), 'stage') === 'authorize') begun += 1
    }
    stageChannel.subscribe(count)
    for (let round = 0; round < 5; round++) {
      // Closing a stream ends it first, and without a declared length its end makes it whole: the connection has to go.
      const own = connect(`https://localhost:${running.port}`, { ca: authority.ca })
      own.on('error', () => {})
      const stream = own.request(
        { ':method': 'POST', ':path': target, authorization: `Bearer ${token}`, ...fields },
        { endStream: false },
      )
      stream.on('error', () => {})
      stream.write('{"prompt":"x"}')
      if (name.startsWith('streamed'))
        await until(() => running.upstream.seen.length === round + 1, 'the upload to begin')
      else await until(() => begun === round + 1, 'the request to arrive')
      own.socket.destroy()
      await until(async () => (await running.access()).length > before + round, 'the record')
    }
    stageChannel.unsubscribe(count)
    expect(complete).toBe(0)
    const left = (await running.access()).slice(before)
    expect(left.map((entry) => entry.outcome)).toEqual(Array(5).fill('aborted'))
  })

  test('what the gateway cuts over HTTP/2 as it ends is recorded so, and not as a caller that has left', async () => {
    running.upstream.takeOver(() => {})
    const stream = session.request({
      ':path': sessions,
      authorization: `Bearer ${token}`,
      'x-request-id': 'cut-over-h2',
    })
    stream.on('error', () => {})
    await until(() => running.upstream.seen.length === 1, 'the upstream to see it')
    await running.gateway.cut()
    const { access, decision } = await running.recordsOf('cut-over-h2')
    expect(access).toMatchObject({ outcome: 'failed', problem: 'draining', reason: 'draining', status: null })
    expect(decision).toMatchObject({ effect: 'allow', ended: { how: 'failed', sent: true } })
  })

  test('an answer that breaks off half way breaks off over HTTP/2, too', async () => {
    running.upstream.respond((_request, response) => {
      response.writeHead(200, { 'content-length': '1000' })
      response.write('half')
      setTimeout(() => response.destroy(), 20)
    })
    await expect(h2({ ':path': sessions })).rejects.toThrow()
  })

  test('Expect: 100-continue over HTTP/2 is answered', async () => {
    const answer = await h2(
      { ':method': 'POST', ':path': sessions, expect: '100-continue' },
      Buffer.from('{"prompt":"x"}'),
    )
    expect(answer.status).toBe(200)
  })

  test('shutting down lets a request under way over HTTP/2 finish, with an idle session beside it', async () => {
    const own = await startTestGateway({
      listen: `{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", tls: { cert: "${join(tmpdir(), `gateway-test-listener-${process.pid}.crt`)}", key: "${join(tmpdir(), `gateway-test-listener-${process.pid}.key`)}" } }`,
    })
    const [idle, busy] = [0, 1].map(() => connect(`https://localhost:${own.port}`, { ca: authority.ca }))
    idle?.on('error', () => {})
    busy?.on('error', () => {})
    let finish = (): void => {}
    own.upstream.takeOver((_request, response) => {
      finish = () => response.writeHead(200).end('{}')
    })
    const stream = busy?.request({ ':path': sessions, authorization: `Bearer ${await own.token()}` })
    const status = new Promise((resolve, reject) => {
      stream?.on('response', (answer) => resolve(answer[constants.HTTP2_HEADER_STATUS]))
      stream?.on('error', reject)
    })
    await until(() => own.upstream.seen.length === 1, 'the request to be under way')
    const idleClosed = new Promise((resolve) => idle?.once('close', resolve))
    const drained = own.gateway.drain()
    await idleClosed
    finish()
    expect(await status).toBe(200)
    await drained
    idle?.destroy()
    busy?.destroy()
    await own.close()
  })
})
