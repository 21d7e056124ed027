// One gateway of several worker processes on one real store: one listener, one set of records, one audit chain, one
// listener for operators; what callers and operators see while workers serve, reload, crash and stop.

import type { DecisionsView } from '../../src/admin/console/decision-view.ts'
import type { KeyReportView } from '../../src/admin/console/key-report-view.ts'
import type { NowView } from '../../src/admin/console/now-view.ts'
import { expectDocumented } from '../support/admin-api.ts'
import { generateKeyPairSync } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { request as send, type IncomingHttpHeaders } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { callCommand, runCommand, startCommand, type RunningCommand } from '../support/command.ts'
import type { ShadowAnswer } from '../../src/admin/views.ts'
import { startIssuer, type Issuer } from '../support/issuer.ts'
import { createSite, type Site } from '../support/site.ts'
import { paymentsGroups, until, usualKeys, usualPolicies } from '../support/start-gateway.ts'
import { startUpstream, type RecordingUpstream } from '../support/upstream.ts'
import { describeWithValkey, startStoreServer, type StoreServer } from '../support/valkey.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const playbooks = '/v3/organizations/org-payments/playbooks'

interface Worker {
  readonly worker: number
  readonly pid: number
  readonly restarts: number
  readonly policies?: { readonly revision: string }
  readonly cache?: { readonly group: { readonly standing: string } }
}

interface Answer {
  readonly status: number
  readonly text: string
  readonly headers: IncomingHttpHeaders
}

const auditKey = String(generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }))
let store: StoreServer
let upstream: RecordingUpstream
let issuer: Issuer
let site: Site
let gateway: RunningCommand
let port = 0
let adminPort = 0
let value = 0

/** A call on a connection of its own, so that the workers take turns. */
async function call(path: string, groups: readonly string[] = paymentsGroups, method = 'GET'): Promise<Answer> {
  const token = await issuer.sign({ sub: 'ann', groups: [...groups] })
  return await ask(port, path, method, { authorization: `Bearer ${token}` })
}

function ask(at: number, path: string, method = 'GET', headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asking = send({ host: '127.0.0.1', port: at, path, method, headers, agent: false }, (response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => (text += chunk.toString()))
      response.once('end', () => resolve({ status: response.statusCode ?? 0, text, headers: response.headers }))
      response.once('error', reject)
    })
    asking.once('error', reject)
    asking.end()
  })
}

async function workers(): Promise<readonly Worker[]> {
  const { text } = await ask(adminPort, '/api/status')
  return (JSON.parse(text) as { workers?: readonly Worker[] }).workers ?? []
}

const lines = async (name: string): Promise<readonly string[]> =>
  (await readFile(join(site.directory, name), 'utf8')).split('\n').slice(0, -1)

async function audited(event: string): Promise<readonly number[]> {
  const entries = (await lines('audit.ndjson')).map(
    (line) => JSON.parse(line) as { event: string; details: { worker: number } },
  )
  return entries.filter((entry) => entry.event === event).map(({ details }) => details.worker)
}

/** How many requests each worker has answered, by its metrics. */
async function answered(): Promise<readonly number[]> {
  const { text } = await ask(adminPort, '/metrics')
  return [1, 2].map((worker) =>
    [...text.matchAll(new RegExp(`^gateway_requests_total\\{worker="${worker}",.*\\} (\\d+)$`, 'gm'))]
      .map(([, count]) => Number(count))
      .reduce((sum, count) => sum + count, 0),
  )
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

async function start(): Promise<void> {
  gateway = startCommand(['start', '--workers', '2', '--config', site.configFile], {
    env: { ...usualKeys, AUDIT_KEY: auditKey },
  })
  const line = (): string | undefined =>
    gateway.err.split('\n').find((each) => each.includes('"event":"workers-started"'))
  await until(() => {
    if (gateway.child.exitCode !== null) throw new Error(`the gateway did not start: ${gateway.err}`)
    return line() !== undefined
  }, 'the workers to listen')
  // The line that the parent logs when all workers listen.
  const started = JSON.parse(line() ?? '') as { gateway: { port: number }; admin: { port: number } }
  port = started.gateway.port
  adminPort = started.admin.port
}

/** A shadow set in which the payments team may do this alone. */
const shadowTeam = (allow: string): string =>
  `team: payments\nmembers: [{ groups: [sso-payments-eng] }]\norganizations: [org-payments]\ngrants: [{ id: few, allow: [${allow}] }]\n`

/** What both workers say of the shadow set. */
async function shadow(): Promise<ShadowAnswer> {
  return JSON.parse((await ask(adminPort, '/api/shadow')).text) as ShadowAnswer
}

describeWithValkey('a gateway of two workers', () => {
  beforeAll(async () => {
    store = await startStoreServer()
    upstream = await startUpstream()
    issuer = await startIssuer()
    site = await createSite({
      upstream: upstream.origin,
      issuer,
      policies: {
        'teams/payments.yaml': (usualPolicies['teams/payments.yaml'] ?? '')
          .replace('cache: { at_most: 0s }\n', '')
          .replace('org.attachments.*', 'org.playbooks.*'),
        'teams/few.yaml':
          'team: few\nmembers: [{ groups: [few] }]\norganizations: [org-payments]\ngrants: [{ id: sessions, allow: [ViewOrgSessions] }]\ncache: { at_most: 0s }\nlimits: { requests: 10/h }\n',
        'keys.yaml': (usualPolicies['keys.yaml'] ?? '').replaceAll(
          'UseDevinSessions',
          'UseDevinSessions, ManageOrgPlaybooks',
        ),
        '../next/teams/payments.yaml': shadowTeam('org.sessions.list'),
        '../next/keys.yaml': usualPolicies['keys.yaml'] ?? '',
      },
      config: `checkpoints: { key: { env: AUDIT_KEY }, origin: test/workers, to: [{ file: checkpoints.ndjson }, { http: "http://127.0.0.1:9/away" }] }\nstore: { nodes: "${store.address}", timeout: 250ms }\nshadow_policies: next`,
    })
    upstream.respond((request, response) => {
      if (request.method === 'PUT') value += 1
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ value }))
    })
    await start()
    await until(
      async () => (await workers()).every(({ cache }) => cache?.group.standing === 'together'),
      'the workers to be together',
    )
  })
  afterAll(async () => {
    await gateway.kill()
    await upstream.close()
    await issuer.stop()
    await site.remove()
    await store.close()
  })

  test('distributes connections, and each request leaves one line in the one access log', async () => {
    const before = await answered()
    for (let count = 0; count < 12; count += 1) expect((await call(`${sessions}/devin-1`)).status).toBe(200)
    await until(async () => (await lines('access.ndjson')).length === 12, 'every request to be recorded')
    const after = await answered()
    const each = after.map((count, index) => count - (before[index] ?? 0))
    expect(each.reduce((sum, count) => sum + count, 0)).toBe(12)
    expect(Math.min(...each)).toBeGreaterThan(0)
    expect(
      new Set((await lines('access.ndjson')).map((line) => (JSON.parse(line) as { decision_id: string }).decision_id))
        .size,
    ).toBe(12)
  })

  test('counts a limit once for all of them', async () => {
    const answers = await Promise.all(Array.from({ length: 16 }, () => call(`${sessions}/devin-1`, ['few'])))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(10)
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(6)
  })

  test('shows no answer that is older than a write, whichever worker took it', async () => {
    const path = `${playbooks}/playbook-1`
    for (let round = 0; round < 3; round += 1) {
      for (let count = 0; count < 4; count += 1) await call(path)
      const { text } = await call(path, paymentsGroups, 'PUT')
      const read = await Promise.all(Array.from({ length: 6 }, () => call(path)))
      expect(read.map((answer) => answer.text)).toEqual(Array.from({ length: 6 }, () => text))
    }
  })

  test('shows operators every worker, every key once, and refuses names and other sites as a worker does', async () => {
    const found = await workers()
    expect(found.map(({ worker, restarts }) => [worker, restarts])).toEqual([
      [1, 0],
      [2, 0],
    ])
    expect(new Set(found.map(({ pid }) => pid)).size).toBe(2)
    const keys = JSON.parse((await ask(adminPort, '/api/keys')).text) as readonly { id: string }[]
    expect(keys.map(({ id }) => id)).toEqual(['payments-runner', 'payments-impersonator', 'analytics'])
    // Each worker decides by itself what keys can do.
    await until(async () => {
      const { state, keys: of } = JSON.parse((await ask(adminPort, '/api/keys/report')).text) as KeyReportView
      return state === 'known' && of.length === keys.length
    }, 'the report on keys')
    const ready = await ask(adminPort, '/readyz')
    expect([ready.status, JSON.parse(ready.text)]).toMatchObject([200, { ready: true, reasons: [] }])
    expect((await ask(adminPort, '/api/status', 'GET', { host: 'gateway.example' })).status).toBe(403)
    expect((await ask(adminPort, '/api/reload', 'POST', { origin: 'https://elsewhere.example' })).status).toBe(403)
    expect((await ask(adminPort, '/nowhere')).status).toBe(404)
  })

  test('answers the console for all of them, as the API says', async () => {
    const read = async <T>(path: string): Promise<T> =>
      await expectDocumented<T>(await fetch(`http://127.0.0.1:${adminPort}${path}`))
    const before = await answered()
    await until(async () => {
      await call('/v3/self')
      return (await answered()).every((count, index) => count > (before[index] ?? 0))
    }, 'both workers to have answered')
    const { decisions } = await read<DecisionsView>('/api/decisions?limit=200')
    expect(new Set(decisions.map(({ decision_id: id }) => id)).size).toBe(decisions.length)
    expect(decisions.length).toBeGreaterThan(1)
    for (const { decision_id: id } of decisions.slice(0, 4)) await read(`/api/decisions/${id}`)
    const now = await read<NowView>('/api/now')
    expect(now.instance.workers).toBe(2)
    for (const path of ['series', 'teams', 'teams/payments', 'cache', 'audit', 'policies', 'matrix?limit=1'])
      await read(`/api/${path}`)
    expect((await fetch(`http://127.0.0.1:${adminPort}/api/decisions/none`)).status).toBe(404)
    expect((await fetch(`http://127.0.0.1:${adminPort}/api/decisions?nonsense=1`)).status).toBe(400)
  })

  test('blocks a caller at all of them, whichever is told', async () => {
    const blocks = async (method: string, body: object): Promise<{ status: number; text: string }> => {
      const response = await fetch(`http://127.0.0.1:${adminPort}/api/blocks`, {
        method,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
      return { status: response.status, text: await response.text() }
    }
    const target = { kind: 'subject', value: 'ann' }
    const statuses = async (): Promise<ReadonlySet<number>> =>
      new Set((await Promise.all(Array.from({ length: 20 }, () => call(sessions)))).map(({ status }) => status))
    const made = await blocks('POST', { ...target, reason: 'INC-4711' })
    expect([made.status, JSON.parse(made.text)]).toMatchObject([
      200,
      { instances: 2, unconfirmed: 0, everywhere: true },
    ])
    expect(await statuses()).toEqual(new Set([403]))
    expect(JSON.parse((await ask(adminPort, '/api/blocks')).text)).toMatchObject([target])
    expect((await blocks('POST', { ...target, kind: 'sbject', reason: 'x' })).status).toBe(400)
    expect((await blocks('DELETE', { ...target, value: 'anne' })).status).toBe(404)
    expect((await blocks('DELETE', target)).status).toBe(200)
    expect(await statuses()).toEqual(new Set([200]))
    expect(await audited('blocked')).toHaveLength(1)
  })

  test('has its parent sign the head of the one audit log, and every worker tells how that goes', async () => {
    const { status, text } = await ask(adminPort, '/api/audit/checkpoint', 'POST')
    expect(status).toBe(200)
    const { checkpoint, places } = JSON.parse(text) as { checkpoint: { sequence: number }; places: object[] }
    expect(places).toMatchObject([{ delivered: true }, { delivered: false }])
    expect(await lines('checkpoints.ndjson')).toContain(JSON.stringify(checkpoint))
    expect((await lines('audit.ndjson')).length).toBeGreaterThanOrEqual(checkpoint.sequence)
    await until(async () => {
      const ready = await ask(adminPort, '/readyz')
      return (
        ready.status === 200 &&
        [1, 2].every((each) => ready.text.includes(`worker ${each}: audit checkpoints do not reach http`))
      )
    }, 'the note of both workers')
    const metrics = await ask(adminPort, '/metrics')
    expect(metrics.text).toMatch(
      /^gateway_audit_checkpoints_waiting\{worker="1",place="http:\/\/127.0.0.1:9\/away"\} [1-9]/m,
    )
  })

  test('replaces policies in all of them, or says what each came to', async () => {
    const team = (usualPolicies['teams/analytics.yaml'] ?? '').replace('sso-analytics', 'sso-analysts')
    await site.writePolicy('teams/analytics.yaml', team)
    const replaced = await ask(adminPort, '/api/reload', 'POST')
    const revisions = new Set((await workers()).map(({ policies }) => policies?.revision))
    expect([replaced.status, JSON.parse(replaced.text)]).toMatchObject([200, { diagnostics: [], workers: [{}, {}] }])
    expect(revisions.size).toBe(1)
    expect((await audited('policies-replaced')).toSorted((a, b) => a - b)).toEqual([1, 2])

    await site.writePolicy('teams/analytics.yaml', 'team: [')
    const refused = await ask(adminPort, '/api/reload', 'POST')
    expect([refused.status, JSON.parse(refused.text)]).toMatchObject([
      409,
      {
        result: 'refused',
        workers: [
          { worker: 1, result: 'refused' },
          { worker: 2, result: 'refused' },
        ],
      },
    ])
    expect(new Set((await workers()).map(({ policies }) => policies?.revision))).toEqual(revisions)
    await site.writePolicy('teams/analytics.yaml', team)
    expect((await ask(adminPort, '/api/reload', 'POST')).status).toBe(200)
  })

  test('says of a changed configuration that it waits for a restart', async () => {
    const before = await readFile(site.configFile, 'utf8')
    await writeFile(site.configFile, `${before}# changed\n`)
    const note = `${site.configFile} has changed since the start: restart to use it`
    const reloaded = await ask(adminPort, '/api/reload', 'POST')
    expect([reloaded.status, JSON.parse(reloaded.text)]).toMatchObject([
      200,
      { result: 'unchanged', diagnostics: [note] },
    ])
    const { notes } = JSON.parse((await ask(adminPort, '/readyz')).text) as { notes: string[] }
    expect(notes).toEqual(expect.arrayContaining([`worker 1: ${note}`, `worker 2: ${note}`]))
    await writeFile(site.configFile, before)
    expect(JSON.parse((await ask(adminPort, '/api/reload', 'POST')).text)).toMatchObject({ diagnostics: [] })
  })

  test('adds up what its workers decide under the shadow set, and reloads that set alone in all of them', async () => {
    const before = await shadow()
    const group = ({ disagreements }: ShadowAnswer) =>
      disagreements.find(({ change, operation }) => change === 'lost' && operation === 'org.sessions.get')
    const mine = before.decided
    const lostBefore = group(before)?.count ?? 0
    const ids = Array.from({ length: 12 }, (_, index) => `devin-${index}`)
    for (const id of ids) expect((await call(`${sessions}/${id}`)).status).toBe(200)
    for (let count = 0; count < 4; count += 1) expect((await call(sessions)).status).toBe(200)
    await until(async () => (await shadow()).decided >= mine + 16, 'all to be decided')
    const after = await shadow()
    expect([after.decided, after.same + after.different]).toEqual([mine + 16, mine + 16])
    const lost = group(after)
    expect(lost).toMatchObject({ team: 'payments', count: lostBefore + 12 })
    // The latest of both workers, no more than one would show.
    expect(lost?.examples).toHaveLength(3)
    const times = (lost?.examples ?? []).map(({ at }) => at)
    expect(times).toEqual(times.toSorted().toReversed())
    for (const { path, subject } of lost?.examples ?? [])
      expect([path, subject]).toEqual([expect.stringMatching(/devin-\d+$/), 'ann'])
    const { text } = await ask(adminPort, '/metrics')
    const counted = [1, 2].map((worker) =>
      Number(
        new RegExp(`^gateway_shadow_decisions_total\\{worker="${worker}",result="different"\\} (\\d+)$`, 'm').exec(
          text,
        )?.[1],
      ),
    )
    expect(Math.min(...counted)).toBeGreaterThan(0)
    expect(counted.reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(after.different)

    const inForce = new Set((await workers()).map(({ policies }) => policies?.revision))
    await site.writePolicy('../next/teams/payments.yaml', shadowTeam('org.sessions.*'))
    const reloaded = await ask(adminPort, '/api/reload', 'POST')
    expect([reloaded.status, JSON.parse(reloaded.text)]).toMatchObject([
      200,
      { result: 'unchanged', workers: [{ shadow: { result: 'replaced' } }, { shadow: { result: 'replaced' } }] },
    ])
    expect(new Set((await workers()).map(({ policies }) => policies?.revision))).toEqual(inForce)
    const anew = await shadow()
    expect(anew).toMatchObject({ decided: 0, disagreements: [] })
    expect(anew.revision).not.toBe(after.revision)
    expect(anew).not.toHaveProperty('workers_with_other_sets')
    await call(`${sessions}/devin-1`)
    await until(async () => (await shadow()).decided === 1, 'it to be decided')
    expect(await shadow()).toMatchObject({ same: 1, different: 0 })

    // A broken one is refused in all of them, and nothing else is.
    await site.writePolicy('../next/teams/payments.yaml', 'team: [')
    const refused = await ask(adminPort, '/api/reload', 'POST')
    expect([refused.status, JSON.parse(refused.text)]).toMatchObject([
      200,
      { result: 'unchanged', workers: [{ shadow: { result: 'refused' } }, { shadow: { result: 'refused' } }] },
    ])
    expect((await shadow()).revision).toBe(anew.revision)
    await site.writePolicy('../next/teams/payments.yaml', shadowTeam('org.sessions.*'))
    expect((await ask(adminPort, '/api/reload', 'POST')).status).toBe(200)
  })

  test('goes on when a worker is killed, and starts another in its place', async () => {
    const [first] = await workers()
    process.kill(first?.pid ?? 0, 'SIGKILL')
    // Not by `/readyz`, which may be a moment ahead: Node.js loses a connection that it hands to a process just ended.
    await until(() => gateway.err.includes('"event":"worker-ended"'), 'the end to be noticed')
    for (let count = 0; count < 6; count += 1) expect((await call(`${sessions}/devin-1`)).status).toBe(200)
    await until(async () => (await workers())[0]?.policies !== undefined, 'another worker')
    const found = await workers()
    expect(found.map(({ worker, restarts }) => [worker, restarts])).toEqual([
      [1, 1],
      [2, 0],
    ])
    expect(found[0]?.pid).not.toBe(first?.pid)
    expect(await audited('started')).toEqual([1, 2, 1])
  })

  test('keeps answers briefly for half a minute after one was killed: the parent knows that it is not cut off', async () => {
    const missing = (await store.command('ZRANGE', 'devin-gateway:{limits}:missing', '0', '-1', 'WITHSCORES')).split(
      '\r\n',
    )
    const now = (await store.command('TIME')).split('\r\n')
    // One entry, which is forgotten ten minutes after its time.
    expect(missing[0]).toBe('*2')
    expect(Number(missing[4]) + 600_000).toBeLessThanOrEqual(Number(now[2]) * 1000 + 31_000)
  })

  test('answers operators while all workers hang, and does not wait for their end', async () => {
    const found = await workers()
    for (const { pid } of found) process.kill(pid, 'SIGSTOP')
    const silent = [1, 2].map((number) => `worker ${number}: it does not answer`)
    const [status, metrics, ready, live, ...others] = await Promise.all([
      ask(adminPort, '/api/status'),
      ask(adminPort, '/metrics'),
      ask(adminPort, '/readyz'),
      ask(adminPort, '/livez'),
      ask(adminPort, '/api/keys'),
      ask(adminPort, '/api/budgets'),
      ask(adminPort, '/api/shadow'),
      ask(adminPort, '/api/reload', 'POST'),
      ask(adminPort, '/api/purge?organization=org-payments', 'POST'),
    ])
    expect(gateway.err.split('"event":"worker-hangs"')).toHaveLength(1)
    for (const { pid } of found) process.kill(pid, 'SIGCONT')
    expect([status.status, JSON.parse(status.text)]).toEqual([
      200,
      { workers: found.map(({ worker, pid, restarts }) => ({ worker, pid, restarts, error: 'it does not answer' })) },
    ])
    expect(metrics.status).toBe(200)
    expect(metrics.headers['content-type']).toContain('version=0.0.4')
    expect(metrics.text).toContain('gateway_worker_answers{worker="1"} 0\ngateway_worker_answers{worker="2"} 0\n')
    expect([ready.status, JSON.parse(ready.text)]).toEqual([503, { ready: false, reasons: silent }])
    expect(live.status).toBe(200)
    for (const { status: code, text } of others)
      expect([code, JSON.parse(text)]).toEqual([503, { error: silent.join('; ') }])
    await until(async () => (await ask(adminPort, '/readyz')).status === 200, 'both to go on')
    expect((await workers()).map(({ pid }) => pid)).toEqual(found.map(({ pid }) => pid))
  })

  test('shows a hanging worker at once, keeps serving, and replaces it', async () => {
    const [, second] = await workers()
    if (second === undefined) throw new Error('no worker')
    process.kill(second.pid, 'SIGSTOP')
    // All at once: it is replaced after a few seconds.
    const [status, ready, shown, keys, reloaded, purged] = await Promise.all([
      ask(adminPort, '/api/status'),
      ask(adminPort, '/readyz'),
      ask(adminPort, '/metrics'),
      ask(adminPort, '/api/keys'),
      ask(adminPort, '/api/reload', 'POST'),
      ask(adminPort, '/api/purge?organization=org-payments', 'POST'),
    ])
    expect((JSON.parse(status.text) as { workers: unknown }).workers).toMatchObject([
      { worker: 1, policies: {} },
      { worker: 2, pid: second.pid, error: 'it does not answer' },
    ])
    expect(JSON.parse(ready.text)).toMatchObject({ ready: true, reasons: ['worker 2: it does not answer'] })
    const metrics = shown.text
    expect(metrics).toContain('gateway_worker_answers{worker="1"} 1\ngateway_worker_answers{worker="2"} 0\n')
    expect(metrics).toContain('gateway_store_away{worker="1"}')
    expect(metrics).not.toContain('gateway_store_away{worker="2"}')
    expect(keys.status).toBe(200)
    expect([reloaded.status, JSON.parse(reloaded.text)]).toMatchObject([
      409,
      { result: 'divided', workers: [{ result: 'unchanged' }, { error: 'it does not answer' }] },
    ])
    expect(purged.status).toBe(200)
    await until(() => gateway.err.includes('"event":"worker-hangs"'), 'the hanging one to be noticed')
    await until(async () => (await workers())[1]?.policies !== undefined, 'another worker')
    const found = await workers()
    expect(found[1]?.pid).not.toBe(second.pid)
    expect(isAlive(second.pid)).toBe(false)
    expect(await ask(adminPort, '/readyz')).toMatchObject({ status: 200 })
  })

  test('drains: what is under way is answered, the process ends with 0 and the chain is whole', async () => {
    const slow = new Promise<void>((resolve) => {
      upstream.respond((_request, response) => {
        resolve()
        setTimeout(() => response.writeHead(200, { 'content-type': 'application/json' }).end('{}'), 500)
      })
    })
    const answer = call(`${sessions}/devin-2`)
    await slow
    const found = await workers()
    gateway.signal('SIGTERM')
    expect((await answer).status).toBe(200)
    expect((await gateway.ended).code).toBe(0)
    expect((await audited('stopped')).toSorted((a, b) => a - b)).toEqual([1, 2])
    expect(found.filter(({ pid }) => isAlive(pid))).toEqual([])
    const verified = await callCommand(['audit', 'verify', join(site.directory, 'audit.ndjson')])
    expect(verified.code).toBe(0)
  })

  test('leaves no worker behind when it is killed itself', async () => {
    await start()
    const found = await workers()
    expect(found.every(({ pid }) => isAlive(pid))).toBe(true)
    gateway.signal('SIGKILL')
    await until(() => found.every(({ pid }) => !isAlive(pid)), 'the workers to end')
  })
})

describe('--workers', () => {
  test('needs a store, and says so', async () => {
    const alone = await createSite()
    const { code, err } = await runCommand(['start', '--workers', '2', '--config', alone.configFile], {
      env: usualKeys,
    })
    expect([code, err]).toEqual([
      1,
      `devin-gateway start: --workers 2 needs a shared store: without one each worker would count limits and keep answers for itself. Set store in ${alone.configFile}, or leave --workers out.\n`,
    ])
    await alone.remove()
  })

  test.each(['0', '65', 'two', '-1', '1.5'])('takes no %s', async (written) => {
    // What wrongly goes on finds no configuration.
    const { code, err } = await callCommand(['start', `--workers=${written}`, '--config', '/nowhere/gateway.yaml'])
    expect([code, err.split('\n')[0]]).toEqual([
      2,
      `devin-gateway start: --workers takes a number from 1 to 64, or auto, not "${written}"`,
    ])
  })
})
