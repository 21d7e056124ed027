// The one operators' listener of several workers: it lets operators in, and tells the workers who they are.

import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { mostConnections, mostOfClient } from '../../src/admin/access/connection-cap.ts'
import { createAccess } from '../../src/admin/access/access.ts'
import { createPoolAccess, poolFields } from '../../src/admin/access/pool-access.ts'
import type { Operator } from '../../src/admin/access/operator.ts'
import { signInRequired } from '../../src/admin/access/refusals.ts'
import { createAdminApp, createHealthApp, type AdminParts } from '../../src/admin/app.ts'
import type { Pool } from '../../src/workers/pool.ts'
import { rawRequest, sendRaw } from '../support/raw-request.ts'
import { createWorkersListener } from '../../src/workers/operators-listener.ts'

const secret = 'only-the-parent-knows'
const audited: unknown[] = []
const seen: string[] = []

const parts = {
  onRefused: () => {},
  access: createPoolAccess(secret),
  tls: null,
  isBlocked: ({ subject }: { subject: string }) => subject === 'blocked',
  onChange: () => {},
  readiness: () => ({ ready: true, reasons: [] }),
  metrics: { page: async () => ({ type: 'text/plain', text: '' }) },
  console: { explain: ({ path }: { readonly path: string }) => ({ path }) },
  keys: () => [],
  status: () => ({ ready: true }),
  reload: async (actor: string) => {
    seen.push(actor)
    return { result: 'unchanged', diagnostics: [] }
  },
  purge: async (_what: unknown, actor: string) => {
    seen.push(actor)
    return { dropped: 0, instances: 1, silent: 0, everywhere: true }
  },
} as unknown as AdminParts

const operator = (subject: string, roles: Operator['roles']): Operator => ({
  subject,
  email: null,
  issuer: 'https://sso.corp.example',
  roles,
  signedIn: 'token',
  caller: { subject, actor: null, priorActors: [], claims: {} },
})
const operators: Readonly<Record<string, Operator>> = {
  'Bearer Ötto': operator('Ötto', ['operator']),
  'Bearer vera': operator('vera', ['viewer']),
  'Bearer blocked': operator('blocked', ['operator']),
}

const workers = [createAdminApp(parts), createAdminApp(parts)]
const access = createAccess({
  surface: { url: null, host: '127.0.0.1' },
  open: ['/livez'],
  identify: async ({ headers }) => operators[decodeURIComponent(headers.authorization ?? '')] ?? signInRequired(),
  session: async () => ({ status: 200, headers: {}, body: 'session' }),
  onRefused: () => {},
})
const pool = {
  workers: [] as Pool['workers'],
  reopen: () => {},
  audit: (...entry: unknown[]) => void audited.push(entry),
} as unknown as Pool & { workers: Pool['workers'][number][] }
const refusals: string[] = []
const onRefused = (reason: string): void => void refusals.push(reason)
const listener = createWorkersListener({
  pool,
  access,
  tls: null,
  onRefused,
  onReload: () => void seen.push('certificate'),
})
const health = createWorkersListener({ pool, access: null, tls: null, onRefused, onReload: () => {} })
let url: string
let healthUrl: string
let workerUrl: string

beforeAll(async () => {
  for (const [index, worker] of workers.entries()) {
    const admin = await worker.listen('127.0.0.1', 0)
    Object.assign(pool.workers, { [index]: { number: index + 1, pid: 1, restarts: 0, admin, secret, unanswered: 0 } })
    workerUrl = `http://127.0.0.1:${admin.port}`
  }
  url = `http://127.0.0.1:${(await listener.listen('127.0.0.1', 0)).port}`
  healthUrl = `http://127.0.0.1:${(await health.listen('127.0.0.1', 0)).port}`
})
afterAll(async () => {
  await Promise.all([listener.close(), health.close(), ...workers.map((worker) => worker.close())])
})

const as = (name: string): Record<string, string> => ({ authorization: `Bearer ${encodeURIComponent(name)}` })

test('operators are let in by the parent, and each worker records who it was', async () => {
  const answer = await fetch(`${url}/api/reload`, { method: 'POST', headers: as('Ötto') })
  expect(answer.status).toBe(200)
  expect(seen.splice(0)).toEqual(['certificate', 'Ötto', 'Ötto'])
  // One entry, whatever the number of workers.
  expect(audited.splice(0)).toEqual([
    [
      'operator-request',
      'Ötto',
      { method: 'POST', path: '/api/reload', status: 200, email: null, roles: ['operator'], signed_in: 'token' },
    ],
  ])
  await fetch(`${url}/api/purge?organization=org-x`, { method: 'POST', headers: as('Ötto') })
  expect(seen.splice(0)).toEqual(['Ötto'])
  audited.length = 0
})

test('why a change was asked for is recorded with it, whatever its characters, and cut', async () => {
  const ask = async (reason: string): Promise<unknown> => {
    await fetch(`${url}/api/purge?organization=org-x`, {
      method: 'POST',
      headers: { ...as('Ötto'), 'gateway-reason': reason },
    })
    seen.length = 0
    const [[, , details] = []] = audited.splice(0) as [string, string, { reason?: string }][]
    return details?.reason
  }
  expect(await ask(encodeURIComponent('INC-4711: größere Störung – “now”'))).toBe('INC-4711: größere Störung – “now”')
  expect(await ask('100%')).toBe('100%')
  expect(await ask(' ')).toBeUndefined()
  expect(await ask('x'.repeat(500))).toBe('x'.repeat(200))
  expect(await ask('cog_payments-runner-0123456789abcdef')).not.toContain('0123456789abcdef')
})

test('nobody is let in without a login, with another role, from another site, or by fields of the parent', async () => {
  const post = async (headers: Record<string, string>): Promise<number> =>
    (await fetch(`${url}/api/reload`, { method: 'POST', headers })).status
  expect(await post({})).toBe(401)
  expect(await post(as('vera'))).toBe(403)
  expect(await post({ ...as('Ötto'), origin: 'https://evil.example' })).toBe(403)
  expect(await post({ [poolFields.secret]: secret, [poolFields.operator]: 'null' })).toBe(401)
  expect(await post(as('blocked'))).toBe(403)
  const forged = encodeURIComponent(JSON.stringify(operators['Bearer Ötto']))
  expect(await post({ ...as('vera'), [poolFields.operator]: forged })).toBe(403)
  expect(seen.filter((each) => each !== 'certificate')).toEqual([])
})

test('a worker takes requests of its parent alone, also on loopback', async () => {
  for (const headers of [{}, { [poolFields.secret]: 'x' }, { [poolFields.secret]: `${secret}x` }])
    for (const path of ['/api/status', '/livez', '/metrics'])
      expect((await fetch(`${workerUrl}${path}`, { headers })).status).toBe(403)
})

test('the pages of the session are answered by the parent', async () => {
  expect(await (await fetch(`${url}/api/session`)).text()).toBe('session')
})

test('the console is answered by the parent, whole, and to operators alone', async () => {
  for (const path of ['/console/', '/console/keys', '/console/main.js']) {
    const answer = await fetch(`${url}${path}`, { headers: as('vera') })
    expect([path, answer.status, answer.headers.get('content-encoding')]).toEqual([path, 200, 'gzip'])
    expect(answer.headers.get('content-security-policy')).toMatch(/^default-src 'none'/)
    expect(await answer.text()).toMatch(/<!doctype html>|import /)
    expect((await fetch(`${url}${path}`)).status).toBe(401)
  }
})

test('a listener of health has health and metrics alone', async () => {
  for (const path of ['/livez', '/readyz', '/metrics']) expect((await fetch(`${healthUrl}${path}`)).status).toBe(200)
  for (const path of ['/api/status', '/api/session', '/console/', '/'])
    expect((await fetch(`${healthUrl}${path}`)).status).toBe(404)
  const single = createHealthApp(parts)
  const { port } = await single.listen('127.0.0.1', 0)
  expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200)
  expect((await fetch(`http://127.0.0.1:${port}/api/status`)).status).toBe(404)
  const twice = 'GET /readyz HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n'
  for (const each of [port, Number(new URL(healthUrl).port), Number(new URL(url).port)]) {
    const { status, body } = await sendRaw(each, twice)
    expect([status, body]).toEqual([400, expect.stringContaining('"type":"/gateway/v1/problems/malformed-request"')])
  }
  await single.close()
})

test('a change that is asked for by an absolute address is recorded as any other', async () => {
  audited.length = 0
  seen.length = 0
  const { host, port } = new URL(url)
  const fields = [`Host: ${host}`, `Authorization: ${as('Ötto')['authorization'] ?? ''}`, 'Content-Length: 0']
  expect((await sendRaw(Number(port), rawRequest('POST', `${url}/api/purge?organization=org-x`, fields))).status).toBe(
    200,
  )
  expect(seen.splice(0)).toEqual(['Ötto'])
  expect(audited.splice(0)).toMatchObject([['operator-request', 'Ötto', { path: '/api/purge' }]])
})

test('a worker gets a request to explain whole', async () => {
  const asked = { method: 'POST', path: '/v3/self', body: { prompt: 'x'.repeat(200_000) } }
  const answer = await fetch(`${url}/api/explain`, {
    method: 'POST',
    headers: { authorization: 'Bearer vera', 'content-type': 'application/json' },
    body: JSON.stringify(asked),
  })
  expect([answer.status, await answer.json()]).toEqual([200, { path: '/v3/self' }])
})

test('does not wait for a request that does not end, and gives its place away', async () => {
  const single = createHealthApp({ ...parts, longestRequestMs: 200 })
  const { port } = await single.listen('127.0.0.1', 0)
  for (const text of ['POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx', 'GET /livez HT']) {
    const socket = connect({ port, host: '127.0.0.1' }, () => socket.write(text))
    // Whoever sends a little now and then is no better.
    const drip = setInterval(() => socket.write('x'), 20)
    socket.resume().on('error', () => {})
    await new Promise((resolve) => socket.once('close', resolve))
    clearInterval(drip)
  }
  await single.close()
})

test('a worker that hangs is asked whether it lives, and nothing that takes longer; once that is known, nothing', async () => {
  const asked: (string | undefined)[] = []
  const silent = createServer(({ url: path }) => void asked.push(path)).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { port } = silent.address() as AddressInfo
  const hanging = { number: 3, pid: 1, restarts: 0, admin: { host: '127.0.0.1', port }, secret, unanswered: 1 }
  pool.workers.push(hanging as unknown as Pool['workers'][number])
  const read = (path: string): Promise<Response> => fetch(`${url}${path}`, { headers: as('vera') })
  try {
    for (const path of ['/api/decisions', '/api/matrix', '/api/policies/changes']) await read(path)
    expect(new Set(asked)).toEqual(new Set(['/livez']))
    asked.length = 0
    Object.assign(hanging, { unanswered: 2 })
    for (const path of ['/readyz', '/metrics', '/api/status', '/api/keys', '/api/decisions', '/api/matrix'])
      await read(path)
    expect(asked).toEqual([])
    expect(await (await read('/readyz')).json()).toMatchObject({
      ready: true,
      reasons: ['worker 3: it does not answer'],
    })
  } finally {
    pool.workers.pop()
    silent.closeAllConnections()
    silent.close()
  }
})

test('tells of a defect, which the answer says is in the log', async () => {
  const defects: unknown[] = []
  const defect = new Error('a defect')
  const single = createHealthApp({
    ...parts,
    onDefect: (error) => defects.push(error),
    metrics: { page: () => Promise.reject(defect) },
  })
  const { port } = await single.listen('127.0.0.1', 0)
  expect((await fetch(`http://127.0.0.1:${port}/metrics`)).status).toBe(500)
  expect(defects).toEqual([defect])
  await single.close()
})

test('holds so many connections of one client and in all, and closes what is more', async () => {
  const { port } = new URL(healthUrl)
  const sockets: Socket[] = []
  const open = (localAddress: string): Promise<Socket> =>
    new Promise((resolve, reject) => {
      const socket = connect({ port: Number(port), host: '127.0.0.1', localAddress }, () => resolve(socket))
      socket.once('error', reject)
      sockets.push(socket)
    })
  const closed = async (localAddress: string): Promise<void> => {
    const socket = await open(localAddress)
    await new Promise((resolve) =>
      socket
        .once('close', resolve)
        .on('error', () => {})
        .resume(),
    )
  }
  try {
    await Promise.all(Array.from({ length: mostOfClient }, () => open('127.0.0.2')))
    await closed('127.0.0.2')
    expect(refusals).toEqual(['operators-too-many-of-address'])
    await Promise.all(Array.from({ length: mostConnections - mostOfClient }, () => open('127.0.0.3')))
    await closed('127.0.0.4')
    expect([refusals[0], refusals.at(-1)]).toEqual(['operators-too-many-of-address', 'operators-too-many'])
  } finally {
    for (const socket of sockets) socket.destroy()
  }
})
