// An uncaught error: logged once, in one masked line; requests under way end and are recorded; the process ends with
// 1, so that it is replaced. The defects are put in by a module that Node loads beside the product.

import { readdir, readFile, writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { auditLines } from '../../src/records/audit/audit-tail.ts'
import { verifyChain } from '../support/chain.ts'
import type { AccessEntry, DecisionEntry } from '../../src/records/entries.ts'
import { startCommand, startGatewayProcess, type StartedGateway } from '../support/command.ts'
import { startIssuer, type Issuer } from '../support/issuer.ts'
import { expectNowhere } from '../support/planted.ts'
import { openSocket, parseAnswer } from '../support/raw-request.ts'
import { createSite, type Site } from '../support/site.ts'
import { until, usualKeys } from '../support/start-gateway.ts'
import { startUpstream, type RecordingUpstream } from '../support/upstream.ts'
import { describeWithValkey, startStoreServer } from '../support/valkey.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const secret = 'cog_a-key-in-the-message-of-a-defect-0123456789'

let upstream: RecordingUpstream
let issuer: Issuer
let site: Site
let gateway: StartedGateway
beforeEach(async () => {
  upstream = await startUpstream()
  issuer = await startIssuer()
})
afterEach(async () => {
  await gateway.kill()
  await Promise.all([upstream.close(), issuer.stop(), site.remove()])
})

/** Starts a gateway in whose process SIGUSR2 runs the statements. */
async function start(defect: string, shutdown = '{ delay: 0s, deadline: 10s }', nodeOptions = ''): Promise<void> {
  site = await createSite({ upstream: upstream.origin, issuer, shutdown })
  const file = join(site.directory, 'defect.mjs')
  await writeFile(
    file,
    `import { EventEmitter } from 'node:events'\nimport { PassThrough } from 'node:stream'\nconst secret = '${secret}'\nlet times = 0\nprocess.on('SIGUSR2', () => { times += 1; ${defect} })\nexport { EventEmitter, PassThrough, secret }\n`,
  )
  gateway = await startGatewayProcess(site.configFile, {
    env: { ...usualKeys, NODE_OPTIONS: `--import=${file} ${nodeOptions}` },
  })
}

async function entries<T>(name: string): Promise<T[]> {
  const text = await readFile(join(site.directory, `${name}.ndjson`), 'utf8')
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as T)
}

const ending = ({ outcome, problem }: AccessEntry): string => `${outcome} ${problem}`

async function call(): Promise<{ readonly text: string; readonly closed: boolean }> {
  const token = await issuer.sign({ sub: 'ann', groups: ['sso-payments-eng'] })
  const socket = await openSocket(gateway.port)
  const seen = { text: '', closed: false }
  socket.on('data', (chunk: Buffer) => (seen.text += chunk.toString('latin1')))
  socket.on('error', () => {})
  socket.on('close', () => (seen.closed = true))
  socket.write(`GET ${sessions} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`)
  return seen
}

function hold(): ServerResponse[] {
  const held: ServerResponse[] = []
  upstream.takeOver((request, response) => {
    request.resume()
    held.push(response)
  })
  return held
}

const crashLines = (): Record<string, unknown>[] =>
  gateway.err
    .split('\n')
    .filter((line) => line.includes('"event":"crash"'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)

/** In order: the first begins the drain, and the others come while a request is under way. */
describe.each([
  [
    'exceptions',
    'uncaughtException',
    [
      'throw new TypeError(secret)',
      'throw secret',
      'setTimeout(() => { throw new Error("x", { cause: new AggregateError([new Error(secret)], secret) }) })',
      "new EventEmitter().emit('error', new Error(secret))",
      'new PassThrough().destroy(new Error(secret))',
    ],
  ],
  ['rejections', 'unhandledRejection', ['void Promise.reject()', 'void Promise.reject(new Error(secret))']],
])('%s that nobody caught', (_name, origin, defects) => {
  test('are logged in one masked line each; requests under way end; the process ends with 1', async () => {
    await start(`[${defects.map((defect) => `() => { ${defect} }`).join(', ')}][times - 1]()`)
    const held = hold()
    const underWay = await call()
    await until(() => held.length === 1, 'a request under way')
    for (const count of defects.keys()) {
      gateway.signal('SIGUSR2')
      await until(() => crashLines().length > count, 'the line')
      await until(
        async () => await fetch(`http://127.0.0.1:${gateway.adminPort}/readyz`).then((answer) => answer.status === 503),
        'readiness to fail',
      )
    }
    held[0]?.writeHead(200, { 'content-length': '8' }).end('underway')
    await until(() => underWay.closed, 'the answer')
    expect(parseAnswer(underWay.text)).toMatchObject({ status: 200, body: 'underway', fields: { connection: 'close' } })
    expect(await gateway.ended).toMatchObject({ code: 1, signal: null })
    expect(crashLines()).toEqual(defects.map(() => expect.objectContaining({ level: 'error', origin })))
    // Every line is one object: no trace of Node's own beside them.
    for (const line of gateway.err.trim().split('\n')) expect(typeof JSON.parse(line)).toBe('object')
    expect(gateway.err + gateway.out).not.toContain(secret)
    expect((await entries<AccessEntry>('access')).map(({ outcome }) => outcome)).toEqual(['forwarded'])
    expect(await entries<DecisionEntry>('decisions')).toHaveLength(1)
    expect(await verifyChain(auditLines(join(site.directory, 'audit.ndjson')))).toMatchObject({ ok: true })
  })
})

test('reports that Node writes hold no key, neither of the environment nor of the error', async () => {
  await start(
    'process.report.directory = import.meta.dirname; process.report.writeReport(); throw new Error(secret, { cause: secret })',
    '{ delay: 0s, deadline: 10s }',
    '--report-uncaught-exception --report-on-fatalerror',
  )
  gateway.signal('SIGUSR2')
  expect(await gateway.ended).toMatchObject({ code: 1 })
  const names = (await readdir(site.directory)).filter((name) => name.startsWith('report.'))
  expect(names.length).toBeGreaterThan(0)
  const reports = await Promise.all(names.map((name) => readFile(join(site.directory, name), 'utf8')))
  expect(reports[0]).toContain('"javascriptHeap"')
  expectNowhere([gateway.err, gateway.out, ...reports].join('\n'), [secret, ...Object.values(usualKeys)])
})

test('a command that is no server says of a defect what it is, and not what it holds', async () => {
  site = await createSite({ upstream: upstream.origin })
  const file = join(site.directory, 'defect.mjs')
  await writeFile(file, `process.on('SIGUSR2', () => { throw new TypeError('${secret}', { cause: '${secret}' }) })\n`)
  let isAsked = false
  upstream.identify(() => (isAsked = true))
  const command = startCommand(['check', '--online', '--config', site.configFile], {
    env: { ...usualKeys, NODE_OPTIONS: `--import=${file}` },
  })
  gateway = Object.assign(command, { port: 0, adminPort: 0 })
  await until(() => isAsked, 'a question to Devin')
  command.signal('SIGUSR2')
  const { code, err } = await command.ended
  expect([code, err]).toEqual([1, expect.stringMatching(/^devin-gateway: a defect that nobody caught.*TypeError.*\n$/)])
  expect(err).not.toContain(secret)
})

test('what hangs is cut at the deadline and recorded, and defects that come again do not fill the log', async () => {
  await start('setInterval(() => { throw new Error(secret) }, 1)', '{ delay: 0s, deadline: 500ms }')
  const held = hold()
  const hanging = await call()
  await until(() => held.length === 1, 'a request that hangs')
  gateway.signal('SIGUSR2')
  expect(await gateway.ended).toMatchObject({ code: 1, signal: null })
  await until(() => hanging.closed, 'the connection to be cut')
  expect((await entries<AccessEntry>('access')).map(ending)).toEqual(['failed draining'])
  expect(crashLines()).toHaveLength(10)
})

test('a stop signal while it drains changes nothing, and a second one cuts', async () => {
  await start('throw new Error(secret)', '{ delay: 0s, deadline: 10m }')
  const held = hold()
  await call()
  await until(() => held.length === 1, 'a request that hangs')
  gateway.signal('SIGUSR2')
  await until(() => crashLines().length === 1, 'the line')
  gateway.signal('SIGTERM')
  expect((await fetch(`http://127.0.0.1:${gateway.adminPort}/livez`)).status).toBe(200)
  gateway.signal('SIGTERM')
  expect(await gateway.ended).toMatchObject({ code: 1, signal: null })
  expect((await entries<AccessEntry>('access')).map(ending)).toEqual(['failed draining'])
})

describeWithValkey('a gateway of two workers', () => {
  test('replaces a worker that had a defect, and cuts and records what is under way at a second signal', async () => {
    const store = await startStoreServer()
    site = await createSite({ upstream: upstream.origin, issuer, config: `store: "${store.address}"` })
    const file = join(site.directory, 'defect.mjs')
    await writeFile(file, `process.on('SIGUSR2', () => { throw new Error('${secret}') })\n`)
    const running = startCommand(['start', '--workers', '2', '--config', site.configFile], {
      env: { ...usualKeys, NODE_OPTIONS: `--import=${file}` },
    })
    try {
      const said = (event: string): Record<string, unknown> | null => {
        const line = running.err.split('\n').find((each) => each.includes(`"event":"${event}"`))
        return line === undefined ? null : (JSON.parse(line) as Record<string, unknown>)
      }
      await until(() => said('workers-started') !== null, 'the workers')
      const { gateway: at, admin } = said('workers-started') as { gateway: { port: number }; admin: { port: number } }
      gateway = Object.assign(running, { port: at.port, adminPort: admin.port })
      const workers = async (): Promise<readonly { worker: number; pid: number; restarts: number }[]> => {
        const answer = await fetch(`http://127.0.0.1:${admin.port}/api/status`)
        return ((await answer.json()) as { workers: { worker: number; pid: number; restarts: number }[] }).workers
      }
      process.kill((await workers())[0]?.pid ?? 0, 'SIGUSR2')
      await until(
        async () => (await workers()).some(({ restarts, pid }) => restarts === 1 && pid > 0),
        'another worker',
      )
      expect(said('crash')).toMatchObject({ level: 'error', worker: 1, origin: 'uncaughtException' })
      expect(said('worker-ended')).toMatchObject({ worker: 1, code: 1, signal: null })
      const held = hold()
      await Promise.all([call(), call(), call()])
      await until(() => held.length === 3, 'three requests under way')
      running.signal('SIGTERM')
      await until(async () => (await fetch(`http://127.0.0.1:${admin.port}/readyz`)).status === 503, 'the drain')
      running.signal('SIGTERM')
      expect(await running.ended).toMatchObject({ code: 1, signal: null })
      expect((await entries<AccessEntry>('access')).map(ending)).toEqual(Array(3).fill('failed draining'))
      expect(running.err).not.toContain(secret)
    } finally {
      await running.kill()
      await store.close()
    }
  })
})
