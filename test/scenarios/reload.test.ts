// What changes while the gateway runs: policies, secrets and certificate are replaced whole or not at all, requests under
// way keep what they began with, and log, status and audit say what happened.

import { mkdir, mkdtemp, open, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { auditLines } from '../../src/records/audit/audit-tail.ts'
import { verifyChain } from '../support/chain.ts'
import type { AuditEntry } from '../../src/records/entries.ts'
import { createAuthority } from '../support/certificates.ts'
import { startCommand, startGatewayProcess } from '../support/command.ts'
import { startIssuer } from '../support/issuer.ts'
import { openSocket, parseAnswer } from '../support/raw-request.ts'
import { createSite } from '../support/site.ts'
import {
  quickPace,
  startTestGateway,
  until,
  usualKeys,
  usualPolicies,
  type RunningGateway,
  type StartOptions,
} from '../support/start-gateway.ts'
import { fieldOf, startUpstream } from '../support/upstream.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const payments = usualPolicies['teams/payments.yaml'] ?? ''
const keysFile = usualPolicies['keys.yaml'] ?? ''
/** A good file that grants the team nothing any more. */
const nothingGranted = 'team: payments\nmembers: [{ groups: [sso-payments-eng] }]\norganizations: [org-payments]\n'

let running: RunningGateway
let auditFile: string | null = null
let own: string
beforeEach(async () => {
  own = await mkdtemp(join(tmpdir(), 'gateway-reload-'))
})
afterEach(async () => {
  const file = auditFile
  // A log that could never be written says so at the end.
  await running.gateway.drain().catch((error: unknown) => {
    if (file !== null) throw error
  })
  if (file !== null) {
    // Whatever a test did, the chain holds.
    const verdict = await verifyChain(auditLines(file))
    expect(verdict).toMatchObject({ ok: true })
  }
  await running.close()
  await rm(own, { recursive: true, force: true })
})

async function start(options: StartOptions = {}): Promise<RunningGateway> {
  running = await startTestGateway(options)
  auditFile = options.records === undefined ? join(running.directory, 'audit.ndjson') : null
  return running
}

interface Status {
  readonly policies: {
    readonly revision: string
    readonly last_refusal: { readonly at: string; readonly diagnostics: readonly string[] } | null
  }
}

async function status(): Promise<Status['policies']> {
  return ((await (await fetch(`${running.adminUrl}/api/status`)).json()) as Status).policies
}

interface Reloaded {
  readonly status: number
  readonly result: string
  readonly diagnostics: readonly string[]
}

async function reload(): Promise<Reloaded> {
  const answer = await fetch(`${running.adminUrl}/api/reload`, { method: 'POST' })
  return { status: answer.status, ...((await answer.json()) as { result: string; diagnostics: string[] }) }
}

async function audit(): Promise<AuditEntry[]> {
  const text = await running.auditText()
  // What stands behind the last line feed is still being written.
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as AuditEntry)
}

async function events(): Promise<string[]> {
  return (await audit()).map((entry) => entry.event)
}

/** Written in place, over the file that is there. */
const put = (name: string, text: string): Promise<void> => writeFile(join(running.directory, 'policies', name), text)

describe('a changed policy file', () => {
  test('is found by itself; new decisions name the new revision, a request under way keeps its own', async () => {
    await start({ filePace: quickPace })
    const before = (await status()).revision
    const held: ServerResponse[] = []
    running.upstream.takeOver((_request, response) => held.push(response))
    const underWay = running.call(sessions)
    await until(() => held.length === 1, 'the request to be under way')
    await put('teams/payments.yaml', nothingGranted)
    await until(async () => (await status()).revision !== before, 'the change to be found')
    const after = (await status()).revision
    const denied = await running.call(sessions)
    expect(denied.status).toBe(403)
    held[0]?.writeHead(200).end('{}')
    expect((await underWay).status).toBe(200)
    await running.recorded(2)
    const decisions = await running.decisions()
    expect(decisions.map(({ effect, policy_revision }) => `${effect} ${policy_revision}`).toSorted()).toEqual([
      `allow ${before}`,
      `deny ${after}`,
    ])
    expect((await audit()).find((entry) => entry.event === 'policies-replaced')).toMatchObject({
      actor: 'file watch',
      details: { from: before, to: after, teams: 2, keys: 3, tests_passed: 0 },
    })
    expect(await (await fetch(`${running.adminUrl}/metrics`)).text()).toContain(after)
  })

  test('counts for what a caller has asked again and again, too', async () => {
    await start({ filePace: quickPace })
    const token = await running.token()
    const ask = async (): Promise<number> => (await running.call(sessions, { token })).status
    for (const [policy, expected] of [
      [null, 200],
      [nothingGranted, 403],
      [payments, 200],
    ] as const) {
      if (policy !== null) {
        const { revision } = await status()
        await put('teams/payments.yaml', policy)
        await until(async () => (await status()).revision !== revision, 'the change to be found')
      }
      expect([await ask(), await ask(), await ask()]).toEqual([expected, expected, expected])
    }
  })

  /** A create whose body has not come yet: admitted under the policies of now, judged under them later. */
  async function halfWritten(): Promise<{ finish(): Promise<ReturnType<typeof parseAnswer>> }> {
    const body = '{"prompt":"x"}'
    const socket = await openSocket(running.port)
    let text = ''
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
    socket.on('error', () => {})
    const closed = new Promise((resolve) => socket.on('close', resolve))
    socket.write(
      `POST ${sessions} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${await running.token()}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n`,
    )
    await until(() => text.includes('100 Continue'), 'the request to be admitted')
    return {
      async finish() {
        socket.write(body)
        await closed
        return parseAnswer(text.slice(text.indexOf('\r\n\r\n') + 4))
      },
    }
  }

  test('does not reach a request whose body is still coming', async () => {
    await start()
    const before = (await status()).revision
    const request = await halfWritten()
    await put('teams/payments.yaml', nothingGranted)
    expect(await reload()).toMatchObject({ status: 200, result: 'replaced' })
    expect((await request.finish()).status).toBe(200)
    expect((await running.recorded(1)).decision).toMatchObject({ effect: 'allow', policy_revision: before })
  })

  test.each([
    [
      'drops the key of a request under way',
      (keys: string) => keys.replace('id: payments-runner', 'id: payments-runner-2'),
    ],
    [
      'gives the name of that key to the key of another organization',
      (keys: string) =>
        keys
          .replace('organization: org-payments', 'organization: org-research')
          .replace('PAYMENTS_RUNNER_KEY', 'RESEARCH_KEY'),
    ],
    [
      'gives the name of that key to one of the enterprise',
      (keys: string) =>
        keys
          .replace('scope: organization\n    organization: org-payments', 'scope: enterprise')
          .replace('PAYMENTS_RUNNER_KEY', 'RESEARCH_KEY'),
    ],
  ])('that %s has the request sent again, and never lends it another key', async (_name, change) => {
    const other = 'cog_research-runner-0123456789abcdef'
    await start({ env: { RESEARCH_KEY: other } })
    const request = await halfWritten()
    await put('keys.yaml', change(keysFile))
    expect(await reload()).toMatchObject({ result: 'replaced' })
    const { status: code, fields, body } = await request.finish()
    expect(running.upstream.seen).toEqual([])
    expect([code, JSON.parse(body)]).toMatchObject([
      503,
      {
        type: '/gateway/v1/problems/key-unavailable',
        reason: 'key-replaced',
        detail: expect.stringContaining('Send it again'),
      },
    ])
    expect(fields['retry-after']).toMatch(/^\d+$/)
    expect((await running.call(sessions)).status).toBe(200)
  })

  test('while it is being written is not read, and is read once when it is whole', async () => {
    await start()
    const before = (await status()).revision
    const whole = `${payments}# ${'a comment '.repeat(200)}\nlimits: { requests: 600/min }\n`
    const file = await open(join(running.directory, 'policies/teams/payments.yaml'), 'w')
    // Cut between lines, so that what is there is good YAML most of the time.
    const pieces = whole.match(/.*\n/g) ?? []
    for (let round = 0; round < 2; round++) {
      await file.truncate(0)
      let at = 0
      for (const piece of pieces) {
        at += (await file.write(piece, at)).bytesWritten
        expect((await running.call(sessions)).status).toBe(200)
        await new Promise((resolve) => setTimeout(resolve, 30))
      }
    }
    await file.close()
    await until(async () => (await status()).revision !== before, 'the whole file')
    expect((await events()).filter((event) => event.startsWith('policies'))).toEqual(['policies-replaced'])
    expect((await status()).last_refusal).toBeNull()
    expect(await reload()).toMatchObject({ result: 'unchanged' })
  })

  test('that comes while the gateway still starts is found, too, and a SIGHUP then ends nothing', async () => {
    await start()
    // It waits for a store that is away.
    const site = await createSite({ config: 'store: valkey://127.0.0.1:9' })
    const child = startCommand(['start', '--config', site.configFile], { env: usualKeys })
    try {
      const auditText = (): Promise<string> => readFile(join(site.directory, 'audit.ndjson'), 'utf8').catch(() => '')
      await until(async () => (await auditText()).includes('"started"'), 'the policies to be read')
      child.signal('SIGHUP')
      await site.writePolicy('teams/payments.yaml', nothingGranted)
      await until(async () => (await auditText()).includes('"policies-replaced"'), 'the change')
    } finally {
      await child.kill()
      await site.remove()
    }
  })

  test('that says the same in the same words is no change', async () => {
    await start()
    const before = await status()
    await put('teams/payments.yaml', payments)
    expect(await reload()).toEqual({ status: 200, result: 'unchanged', diagnostics: [] })
    expect(await status()).toEqual(before)
    expect(await events()).toEqual(['started'])
    // Who sends SIGHUP has only the log to read.
    expect(running.logLines.join('\n')).toContain('"event":"policies-unchanged"')
  })
})

describe('a set that is not good', () => {
  const bad: readonly (readonly [string, string, string, RegExp])[] = [
    ['of malformed YAML', 'teams/payments.yaml', 'team: [payments\n', /teams\/payments\.yaml:\d+:\d+: /],
    [
      'with an unknown key',
      'teams/payments.yaml',
      payments.replace('grants:', 'grant:'),
      /teams\/payments\.yaml:\d+:1: .*"grant".*"grants"/,
    ],
    [
      'with an unknown operation',
      'teams/payments.yaml',
      payments.replace('org.attachments.*', 'org.sesions.list'),
      /teams\/payments\.yaml:\d+:\d+: .*org\.sesions\.list/,
    ],
    ['that is empty', 'teams/payments.yaml', '', /teams\/payments\.yaml:/],
    [
      'that ends in the middle of a word',
      'teams/payments.yaml',
      payments.slice(0, payments.indexOf('sso-payments') + 3) + '\u0000',
      /teams\/payments\.yaml:\d+:\d+: /,
    ],
    [
      'with a key value in it',
      'keys.yaml',
      `${keysFile}# cog_somebody-pasted-this-0123456789\n`,
      /keys\.yaml:\d+:\d+: a key value/,
    ],
    [
      'with a secret nobody has',
      'keys.yaml',
      keysFile.replace('ANALYTICS_KEY', 'NOT_SET'),
      /keys\.yaml:\d+:\d+: key "analytics": the environment variable NOT_SET is not set: it should hold the key/,
    ],
    [
      'with a test that fails',
      'payments.test.yaml',
      `- as: { groups: [sso-payments-eng] }\n  cases:\n    - { do: GET ${sessions}, expect: deny }\n`,
      /payments\.test\.yaml:3:7: test failed: GET .*: expected deny, got allow/,
    ],
    [
      'of a kind nobody knows',
      'notes.yaml',
      'hello: world\n',
      /notes\.yaml: cannot tell what kind of policy file this is/,
    ],
  ]
  test.each(bad)(
    '%s is refused on demand: answer, log, status, audit and metric say why, and nothing changes',
    async (_name, file, text, why) => {
      await start()
      const before = await status()
      await put(file, text)
      const answer = await reload()
      expect(answer).toMatchObject({ status: 409, result: 'refused' })
      expect(answer.diagnostics.join('\n')).toMatch(why)
      const { revision, last_refusal: refusal } = await status()
      expect(revision).toBe(before.revision)
      expect(refusal?.diagnostics).toEqual(answer.diagnostics)
      expect(Date.parse(refusal?.at ?? '')).not.toBeNaN()
      const logged = running.logLines.map((line) => JSON.parse(line) as Record<string, unknown>)
      expect(logged.find((line) => line['event'] === 'policies-refused')).toMatchObject({
        level: 'error',
        actor: "operators' listener",
        revision: before.revision,
      })
      expect(running.logLines.join('')).not.toContain('cog_somebody')
      expect((await audit()).at(-1)).toMatchObject({
        event: 'policies-refused',
        actor: "operators' listener",
        details: { kept: before.revision, diagnostics: answer.diagnostics },
      })
      expect(await (await fetch(`${running.adminUrl}/metrics`)).text()).toMatch(/reload\w*\{result="refused"\} 1\b/)
      expect(running.gateway.readiness().ready).toBe(true)
      expect((await running.call(sessions)).status).toBe(200)
      expect((await running.recorded(1)).decision.policy_revision).toBe(before.revision)
    },
  )

  test('is refused when it is found as well, once, and the repair is taken', async () => {
    await start({ filePace: quickPace })
    const before = (await status()).revision
    await put('teams/payments.yaml', 'team: payments\nmembers: []\n')
    await until(async () => (await status()).last_refusal !== null, 'the refusal')
    expect((await status()).revision).toBe(before)
    await put('teams/payments.yaml', payments)
    await until(async () => (await status()).last_refusal === null, 'the repair')
    expect((await events()).filter((event) => event === 'policies-refused')).toHaveLength(1)
    expect((await status()).revision).toBe(before)
  })

  test('because the whole folder is gone keeps the last good one', async () => {
    await start()
    const before = (await status()).revision
    await rename(join(running.directory, 'policies'), join(running.directory, 'elsewhere'))
    expect(await reload()).toMatchObject({ status: 409, result: 'refused' })
    expect((await running.call(sessions)).status).toBe(200)
    await rename(join(running.directory, 'elsewhere'), join(running.directory, 'policies'))
    expect(await reload()).toMatchObject({ result: 'unchanged' })
    expect(await status()).toMatchObject({ revision: before, last_refusal: null })
  })

  test('because the file of a new key is not there yet is taken when that file appears', async () => {
    await start({ filePace: quickPace })
    const before = (await status()).revision
    const file = join(own, 'new-key')
    await put('keys.yaml', keysFile.replace('{ env: ANALYTICS_KEY }', `{ file: ${file} }`))
    await until(async () => (await status()).last_refusal !== null, 'the refusal')
    await writeFile(file, 'cog_analytics-new-0123456789\n')
    await until(async () => (await status()).revision !== before, 'the file to be found')
    expect((await status()).last_refusal).toBeNull()
  })
})

describe('a set that lacks bounds which are in force', () => {
  const guardrails = `guardrails:
  - id: cost-cap
    on: [org.sessions.create]
    body:
      max_acu_limit: { default: 5, at_most: 10 }
      bypass_approval: { forbid: true }
  - id: no-secrets
    on: [org.sessions.create]
    body: { session_secrets: { forbid: true } }
`
  const limited = `${payments}limits: { requests: 1000/min, writes: 500/min }\n`
  const withBounds = {
    filePace: quickPace,
    policies: { 'guardrails.yaml': guardrails, 'teams/payments.yaml': limited },
  }
  const file = (name: string): string => join(running.directory, 'policies', name)

  async function costOver(): Promise<number> {
    const init = {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"prompt":"x","max_acu_limit":99}',
    }
    return (await running.call(sessions, init)).status
  }

  async function expectHeld(before: string, vanished: RegExp): Promise<void> {
    await until(async () => (await events()).includes('policies-held'), 'the set to be found')
    const { revision, last_refusal: why } = await status()
    expect(revision).toBe(before)
    expect(why?.diagnostics.join('\n')).toMatch(vanished)
    expect(why?.diagnostics.at(-1)).toMatch(/SIGHUP, or POST \/api\/reload/)
    const logged = running.logLines.map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(logged.find((line) => line['event'] === 'policies-held')).toMatchObject({
      level: 'error',
      actor: 'file watch',
    })
    const metrics = await (await fetch(`${running.adminUrl}/metrics`)).text()
    expect(metrics).toContain('gateway_policy_reloads_total{result="held"} 1\n')
    expect(metrics).toContain('gateway_policy_refused 1\n')
    const readiness = running.gateway.readiness()
    expect(readiness.ready).toBe(true)
    expect(readiness.notes?.join()).toMatch(/wait for a reload on demand/)
  }

  test.each<[string, () => Promise<unknown>, RegExp]>([
    [
      'its file is missing',
      () => rm(file('guardrails.yaml')),
      /guardrail "cost-cap" is gone\n.*guardrail "no-secrets" is gone/,
    ],
    [
      'its file is cut between two guardrails',
      () => put('guardrails.yaml', guardrails.slice(0, guardrails.indexOf('  - id: no'))),
      /: guardrail "no-secrets" is gone/,
    ],
    [
      'its file is cut inside one',
      () => put('guardrails.yaml', guardrails.slice(0, guardrails.indexOf('      bypass'))),
      /body\.bypass_approval\.forbid of guardrail "cost-cap" is gone/,
    ],
    [
      'its file lies elsewhere for a while',
      () => rename(file('guardrails.yaml'), join(own, 'x')),
      /guardrail "cost-cap" is gone/,
    ],
    ['the ignore file names it', () => put('.gatewayignore', 'guardrails.yaml\n'), /guardrail "cost-cap" is gone/],
    [
      "a team's limits are cut off",
      () => put('teams/payments.yaml', payments),
      /the limits of team "payments" is gone/,
    ],
  ])('is held back, reported everywhere, and taken on demand: %s', async (_name, lose, vanished) => {
    await start(withBounds)
    const before = (await status()).revision
    expect(await costOver()).toBe(403)
    await lose()
    await expectHeld(before, vanished)
    expect(await costOver()).toBe(403)
    expect(await reload()).toMatchObject({ status: 200, result: 'replaced', diagnostics: [] })
    expect((await status()).last_refusal).toBeNull()
    const { event, details } = (await audit()).at(-1) ?? {}
    expect([event, String(details?.['bounds_removed'])]).toEqual(['policies-replaced', expect.stringMatching(/"/)])
    expect(running.gateway.readiness()).toEqual({ ready: true, reasons: [] })
    expect(await (await fetch(`${running.adminUrl}/metrics`)).text()).toContain('gateway_policy_refused 0\n')
  })

  test('is forgotten when they are back', async () => {
    await start(withBounds)
    const before = (await status()).revision
    await rm(file('guardrails.yaml'))
    await expectHeld(before, /cost-cap/)
    await put('guardrails.yaml', guardrails)
    await until(async () => (await status()).last_refusal === null, 'the file to be found')
    expect((await status()).revision).toBe(before)
    expect((await events()).filter((event) => event === 'policies-replaced')).toEqual([])
  })

  test('waits for SIGHUP in a process of its own', async () => {
    await start()
    const site = await createSite({ policies: { 'guardrails.yaml': guardrails } })
    const child = startCommand(['start', '--config', site.configFile], { env: usualKeys })
    try {
      const auditText = (): Promise<string> => readFile(join(site.directory, 'audit.ndjson'), 'utf8').catch(() => '')
      await until(async () => (await auditText()).includes('"started"'), 'the policies to be read')
      await rm(join(site.directory, 'policies/guardrails.yaml'))
      await until(async () => (await auditText()).includes('"policies-held"'), 'the set to be held')
      child.signal('SIGHUP')
      await until(async () => (await auditText()).includes('"bounds_removed"'), 'the set to be taken')
    } finally {
      await child.kill()
      await site.remove()
    }
  })

  test('is taken by itself where what they bound is gone: a team with its limits, a grant with its condition', async () => {
    await start(withBounds)
    const before = (await status()).revision
    await put('teams/payments.yaml', limited.replace(/ {2}- id: act-for-others[^]*?(?= {2}- id)/, ''))
    await until(async () => (await status()).revision !== before, 'the grant to be gone')
    await rm(file('teams/payments.yaml'))
    await until(async () => (await running.call(sessions)).status === 403, 'the team to be gone')
    expect(await events()).not.toContain('policies-held')
  })
})

describe('a secret file', () => {
  const first = 'cog_first-value-0123456789abcdef'
  const second = 'cog_second-value-0123456789abcdef'
  let file: string

  async function startWithFile(options: StartOptions = {}): Promise<void> {
    file = join(own, 'runner-key')
    await writeFile(file, `${first}\n`)
    await start({
      ...options,
      policies: { 'keys.yaml': keysFile.replace('{ env: PAYMENTS_RUNNER_KEY }', `{ file: ${file} }`) },
    })
    expect((await running.call(sessions)).status).toBe(200)
    expect(sent()).toBe(`Bearer ${first}`)
  }
  const sent = (): string | undefined => fieldOf(running.upstream.seen.at(-1), 'authorization')

  async function expectNoValueWritten(): Promise<void> {
    const everything = await running.everything()
    for (const value of [first, second]) expect(everything.includes(value)).toBe(false)
  }

  test.each([
    ['written over', async () => writeFile(file, `${second}\n`)],
    [
      'renamed into place',
      async () => {
        await writeFile(`${file}.new`, second)
        await rename(`${file}.new`, file)
      },
    ],
  ])('%s is found: the next call uses the new value, and the old one is still masked', async (_name, replace) => {
    await startWithFile({ filePace: quickPace })
    await replace()
    await until(async () => {
      await running.call(sessions)
      return sent() === `Bearer ${second}`
    }, 'the new value')
    running.upstream.respond((_request, response) =>
      response.writeHead(200).end(`{"old":"${first}","new":"${second}"}`),
    )
    const text = await (await running.call(sessions)).text()
    for (const value of [first, second]) expect(text.includes(value)).toBe(false)
    expect((await audit()).filter((entry) => entry.event === 'key-version')).toMatchObject([
      { details: { key: 'payments-runner', version: 2 } },
    ])
    const keys = (await (await fetch(`${running.adminUrl}/api/keys`)).json()) as { id: string; version: number }[]
    expect(keys.find((key) => key.id === 'payments-runner')).toMatchObject({ version: 2 })
    await running.call(sessions)
    await until(async () => (await running.access()).at(-1)?.key_version === 2, 'the record of the new version')
    await expectNoValueWritten()
  })

  test('that changes under a request leaves it its own value, and a late 401 of that one says nothing of the new', async () => {
    await startWithFile()
    const held: ServerResponse[] = []
    running.upstream.takeOver((_request, response) => held.push(response))
    const underWay = running.call(sessions)
    await until(() => held.length === 1, 'the request to be under way')
    await writeFile(file, second)
    expect(await reload()).toMatchObject({ result: 'replaced' })
    held[0]?.writeHead(401).end('{}')
    expect((await underWay).status).toBe(502)
    running.upstream.takeOver(null)
    expect((await running.call(sessions)).status).toBe(200)
    expect(sent()).toBe(`Bearer ${second}`)
    const keys = (await (await fetch(`${running.adminUrl}/api/keys`)).json()) as { id: string; state: string }[]
    expect(keys.find((key) => key.id === 'payments-runner')).toMatchObject({ state: 'ready' })
    expect(await events()).not.toContain('key-rejected')
  })

  test.each([
    ['empty', '', /is empty: it should hold the key/],
    ['half written', 'cog_', /does not hold a service-user key/],
    ['no key', 'hunter2-not-a-key', /does not hold a service-user key/],
    ['two lines', `${second}\n${second}\n`, /does not hold a service-user key/],
  ])('that becomes %s is refused, and the value before stays in use', async (_name, text, why) => {
    await startWithFile()
    await writeFile(file, text)
    const answer = await reload()
    expect(answer).toMatchObject({ status: 409, result: 'refused' })
    expect(answer.diagnostics.join()).toMatch(why)
    expect(answer.diagnostics.join()).toContain('key "payments-runner"')
    expect(JSON.stringify(answer)).not.toContain('hunter2')
    expect((await running.call(sessions)).status).toBe(200)
    expect(sent()).toBe(`Bearer ${first}`)
    await expectNoValueWritten()
  })

  test('that is gone is refused, and found again when it is back', async () => {
    await startWithFile({ filePace: quickPace })
    await rm(file)
    await until(async () => (await status()).last_refusal !== null, 'the refusal')
    expect((await status()).last_refusal?.diagnostics.join()).toMatch(/cannot be read: there is no such file/)
    expect((await running.call(sessions)).status).toBe(200)
    await writeFile(file, second)
    await until(async () => (await status()).last_refusal === null, 'the file to be found')
    await running.call(sessions)
    expect(sent()).toBe(`Bearer ${second}`)
  })
})

describe('mounted as Kubernetes does, behind a link that is swapped', () => {
  /** One more generation of a volume: files in a folder of its own, `..data` turned to it in one step. */
  async function mount(folder: string, generation: number, files: Readonly<Record<string, string>>): Promise<void> {
    const data = join(folder, `..2026_11_24_${generation}`)
    await mkdir(data, { recursive: true })
    for (const [name, text] of Object.entries(files)) {
      await writeFile(join(data, name), text)
      if (generation === 1) await symlink(join('..data', name), join(folder, name))
    }
    await symlink(`..2026_11_24_${generation}`, join(folder, '..data_tmp'))
    await rename(join(folder, '..data_tmp'), join(folder, '..data'))
  }

  test('policies are found new at every swap, and their files are read once each', async () => {
    await start({ filePace: quickPace })
    const folder = join(running.directory, 'policies')
    const mounted = join(running.directory, 'mounted')
    await mkdir(mounted)
    const files = (team: string) => ({
      'payments.yaml': team,
      'analytics.yaml': usualPolicies['teams/analytics.yaml'] ?? '',
      'keys.yaml': keysFile,
    })
    await mount(mounted, 1, files(payments))
    await rename(folder, join(running.directory, 'before'))
    await rename(mounted, folder)
    expect(await reload()).toMatchObject({ result: 'replaced', diagnostics: [] })
    for (let generation = 2; generation < 4; generation++) {
      const before = (await status()).revision
      await mount(folder, generation, files(generation % 2 === 0 ? nothingGranted : payments))
      await until(async () => (await status()).revision !== before, 'the swap to be found')
      expect((await running.call(sessions)).status).toBe(generation % 2 === 0 ? 403 : 200)
    }
    expect((await events()).filter((event) => event.startsWith('policies'))).toEqual([
      'policies-replaced',
      'policies-replaced',
      'policies-replaced',
    ])
  })

  test('secrets are found new at a swap', async () => {
    const folder = join(own, 'secrets')
    await mkdir(folder)
    await mount(folder, 1, { runner: 'cog_mounted-one-0123456789' })
    await start({
      filePace: quickPace,
      policies: {
        'keys.yaml': keysFile.replace('{ env: PAYMENTS_RUNNER_KEY }', `{ file: ${join(folder, 'runner')} }`),
      },
    })
    await mount(folder, 2, { runner: 'cog_mounted-two-0123456789' })
    await until(async () => {
      await running.call(sessions)
      return fieldOf(running.upstream.seen.at(-1), 'authorization') === 'Bearer cog_mounted-two-0123456789'
    }, 'the new value')
    await until(async () => (await events()).includes('key-version'), 'the audit entry')
  })
})

describe('reloads under load', () => {
  test('refuse nobody, and every decision is of one of the sets', async () => {
    await start()
    const revisions = new Set([(await status()).revision])
    const load = { going: true }
    const statuses = new Map<number, number>()
    const clients = Promise.all(
      Array.from({ length: 4 }, async () => {
        while (load.going) {
          const answer = await running.call(sessions)
          await answer.arrayBuffer()
          statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
          // Where the machine is slow, the load must not hold up the reloads that end it.
          await new Promise((resolve) => setTimeout(resolve, 20))
        }
      }),
    )
    for (let index = 0; index < 3; index++) {
      await put('teams/payments.yaml', `${payments}# ${index}\n`)
      const answers = await Promise.all([reload(), reload(), reload()])
      expect(answers.map((answer) => answer.status)).toEqual([200, 200, 200])
      // The watch may have been first.
      expect(answers.filter((answer) => answer.result === 'replaced').length).toBeLessThan(2)
      revisions.add((await status()).revision)
    }
    load.going = false
    await clients
    expect([...statuses.keys()]).toEqual([200])
    expect(revisions.size).toBe(4)
    await until(async () => (await running.decisions()).length === statuses.get(200), 'the records')
    for (const { policy_revision } of await running.decisions()) expect(revisions.has(policy_revision ?? '')).toBe(true)
  })
})

describe("the certificate of the callers' listener", () => {
  const authority = createAuthority('a test authority')
  const [one, two] = [authority.issue({ name: 'localhost' }), authority.issue({ name: 'localhost' })]

  function served(): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connectTls(
        { host: '127.0.0.1', port: running.port, servername: 'localhost', ca: authority.ca },
        () => {
          resolve(socket.getPeerX509Certificate()?.toString() ?? '')
          socket.destroy()
        },
      )
      socket.on('error', reject)
    })
  }

  test.each([
    ['is half written', async (base: string) => writeFile(`${base}.crt`, two.cert.slice(0, 200))],
    ['is empty', async (base: string) => writeFile(`${base}.crt`, '')],
    ['is gone', async (base: string) => rm(`${base}.crt`)],
    ['does not fit its key yet', async (base: string) => writeFile(`${base}.crt`, two.cert)],
    ['has a key that is half written', async (base: string) => writeFile(`${base}.key`, two.key.slice(0, 100))],
  ])('that %s when it is read again stays as it was, and the next good pair is taken', async (_name, spoil) => {
    const base = join(own, 'listener')
    await writeFile(`${base}.crt`, one.cert)
    await writeFile(`${base}.key`, one.key)
    await start({
      listen: `{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", tls: { cert: "${base}.crt", key: "${base}.key" } }`,
    })
    expect(await served()).toBe(one.cert)
    await spoil(base)
    const refused = await reload()
    expect(refused).toMatchObject({ status: 409, result: 'unchanged', certificate: 'kept' })
    expect(refused.diagnostics).toEqual([
      expect.stringMatching(new RegExp(`^listen\\.tls\\.(?:cert|key): ${base}\\.(?:crt|key): .+`)),
    ])
    expect(JSON.stringify(refused)).not.toContain('PRIVATE')
    expect(await served()).toBe(one.cert)
    expect(await served()).toBe(one.cert)
    const warning = running.logLines.find((line) => line.includes('"event":"certificate"')) ?? ''
    expect(warning).toContain('the certificate could not be read again; the one before stays in use')
    expect(warning).not.toContain('PRIVATE')
    await writeFile(`${base}.crt`, two.cert)
    await writeFile(`${base}.key`, two.key)
    expect(await reload()).toEqual({ status: 200, result: 'unchanged', certificate: 'read', diagnostics: [] })
    expect(await served()).toBe(two.cert)
  })
})

describe('an audit log that cannot be written', () => {
  test('keeps the gateway from being ready and refuses every change', async () => {
    await start({ records: { audit: '/dev/full' } })
    const before = (await status()).revision
    const ready = await fetch(`${running.adminUrl}/readyz`)
    expect([ready.status, await ready.json()]).toMatchObject([
      503,
      {
        ready: false,
        reasons: expect.arrayContaining(['the audit log cannot be written; changes are refused until it can']),
      },
    ])
    await put('teams/payments.yaml', nothingGranted)
    expect(await reload()).toEqual({
      status: 409,
      result: 'deferred',
      diagnostics: ['the audit log cannot be written, and a change that is not recorded is not made'],
    })
    expect((await status()).revision).toBe(before)
    await until(() => running.gateway.readiness().reasons.length === 1, 'the issuer')
    // Callers are served: nothing about them goes unrecorded.
    expect((await running.call(sessions)).status).toBe(200)
    const health = (await (await fetch(`${running.adminUrl}/api/status`)).json()) as { records: object[] }
    expect(health.records).toContainEqual({ stream: 'audit', healthy: false, lost: 0, error: 'ENOSPC' })
    expect(running.logLines.join('')).toContain('ENOSPC')
  })

  test('is noted, with the reason and what to do', async () => {
    await start({ records: { audit: '/dev/full' }, logFault: 'EPIPE' })
    const { notes } = running.gateway.readiness()
    expect(notes).toEqual([
      'the audit log cannot be written: ENOSPC: the disk is full; make room or repair the target of records.audit, and writing goes on',
      'the log of the process cannot be written: EPIPE; make room or repair where its standard error goes, and writing goes on',
    ])
  })

  test('is written in order once it can be, and changes are taken again', async () => {
    const file = join(own, 'audit.ndjson')
    await mkdir(file)
    await start({ records: { audit: file } })
    await put('teams/payments.yaml', nothingGranted)
    expect(await reload()).toMatchObject({ status: 409, result: 'deferred' })
    await rm(file, { recursive: true })
    await until(() => running.gateway.readiness().ready, 'the audit log')
    // The watcher of the files may have been quicker.
    expect(['replaced', 'unchanged']).toContain((await reload()).result)
    const lines = (await readFile(file, 'utf8')).trim().split('\n')
    expect(lines.map((line) => (JSON.parse(line) as AuditEntry).event)).toEqual([
      'started',
      'policies-refused',
      'policies-replaced',
    ])
    expect(await verifyChain(lines)).toMatchObject({ ok: true, entries: 3 })
  })
})

describe('SIGHUP', () => {
  test('reloads policies, reopens the records after a rotation, and the chain of the audit log holds', async () => {
    await start()
    const upstream = await startUpstream()
    const issuer = await startIssuer()
    const site = await createSite({ upstream: upstream.origin, issuer })
    const child = await startGatewayProcess(site.configFile, { env: usualKeys })
    try {
      const call = async (): Promise<number> => {
        const token = await issuer.sign({ groups: ['sso-payments-eng'] })
        return (
          await fetch(`http://127.0.0.1:${child.port}${sessions}`, { headers: { authorization: `Bearer ${token}` } })
        ).status
      }
      const auditText = (): Promise<string> => readFile(join(site.directory, 'audit.ndjson'), 'utf8')
      expect(await call()).toBe(200)
      await site.writePolicy('teams/payments.yaml', nothingGranted)
      child.signal('SIGHUP')
      await until(async () => (await auditText()).includes('policies-replaced'), 'the reload')
      expect(JSON.parse((await auditText()).trim().split('\n').at(-1) ?? '')).toMatchObject({ actor: 'SIGHUP' })
      // The change waits until its entry is on the disk.
      await until(async () => (await call()) === 403, 'the policies to be in force')
      await site.writePolicy('teams/payments.yaml', 'team: [')
      child.signal('SIGHUP')
      await until(async () => (await auditText()).includes('policies-refused'), 'the refusal')
      expect(await call()).toBe(403)
      for (const name of ['access', 'decisions'])
        await rename(join(site.directory, `${name}.ndjson`), join(site.directory, `${name}.1`))
      child.signal('SIGHUP')
      await until(
        async () =>
          (await call()) === 403 &&
          (await readFile(join(site.directory, 'access.ndjson'), 'utf8').catch(() => '')) !== '',
        'the new file',
      )
      child.signal('SIGTERM')
      expect(await child.ended).toMatchObject({ code: 0, signal: null })
      expect(await verifyChain(auditLines(join(site.directory, 'audit.ndjson')))).toMatchObject({ ok: true })
      const count = async (name: string) =>
        (await Promise.all(['1', 'ndjson'].map((end) => readFile(join(site.directory, `${name}.${end}`), 'utf8'))))
          .join('')
          .trim()
          .split('\n').length
      expect(await count('access')).toBe(await count('decisions'))
    } finally {
      await child.kill()
      await upstream.close()
      await issuer.stop()
      await site.remove()
    }
  })
})

test('a set that breaks an invariant is refused as one whose tests fail, and the file of invariants may not just vanish', async () => {
  const invariants = 'invariants:\n  - { id: no-secrets, never: { do: [org.secrets.list] } }\n'
  await start({ policies: { 'invariants.yaml': invariants } })
  await running.writePolicy(
    'teams/payments.yaml',
    payments.replace('grants:', 'grants:\n  - { id: more, allow: [org.secrets.*] }'),
  )
  const { result, diagnostics } = await reload()
  expect(result).toBe('refused')
  expect(diagnostics.join('\n')).toMatch(
    /invariants\.yaml:2:\d+: invariant "no-secrets" is broken: .*GET \/v3\/organizations\//,
  )
  await running.writePolicy('teams/payments.yaml', payments)
  await rm(join(running.directory, 'policies', 'invariants.yaml'))
  await until(
    async () =>
      (await status()).last_refusal?.diagnostics.join('\n').includes('invariant "no-secrets" is gone') === true,
    'the set without invariants to be held',
  )
})

describe('a changed file that is read at the start only', () => {
  const restart = (file: string): string => `${file} has changed since the start: restart to use it`

  test('is named by the reload, in the log, in the notes of readiness and in the status, until it is as before', async () => {
    await start({
      config: 'catalogue: { stability: [stable, beta], files: [extension.yaml] }',
      files: { 'extension.yaml': 'operations: []\n' },
    })
    const configFile = join(running.directory, 'gateway.yaml')
    const extension = join(running.directory, 'extension.yaml')
    const before = await readFile(configFile, 'utf8')
    const shown = async (): Promise<unknown[]> => {
      const { notes = [] } = (await (await fetch(`${running.adminUrl}/readyz`)).json()) as { notes?: string[] }
      const { configuration } = (await (await fetch(`${running.adminUrl}/api/status`)).json()) as {
        configuration: unknown
      }
      return [notes, configuration]
    }
    expect(await reload()).toEqual({ status: 200, result: 'unchanged', diagnostics: [] })
    expect(await shown()).toEqual([[], { file: configFile, notes: [] }])

    await writeFile(configFile, `${before}log: { level: debug }\n`)
    expect(await reload()).toEqual({ status: 200, result: 'unchanged', diagnostics: [restart(configFile)] })
    expect(await shown()).toEqual([[restart(configFile)], { file: configFile, notes: [restart(configFile)] }])
    expect(running.logLines.map((line) => JSON.parse(line) as { event: string; msg: string })).toContainEqual(
      expect.objectContaining({ event: 'config-changed', msg: restart(configFile) }),
    )

    await put('teams/payments.yaml', nothingGranted)
    await rm(extension)
    expect(await reload()).toMatchObject({ diagnostics: [restart(configFile), restart(extension)] })
    await writeFile(configFile, before)
    await writeFile(extension, 'operations: []\n')
    expect(await reload()).toMatchObject({ diagnostics: [] })
    expect(await shown()).toEqual([[], { file: configFile, notes: [] }])
  })
})

describe('records that cannot be written', () => {
  test.each(['access', 'decisions'] as const)(
    '%s: the instance is ready, and notes it until they can',
    async (stream) => {
      const file = join(own, `${stream}.ndjson`)
      await mkdir(file)
      await start({ records: { [stream]: file } })
      await until(() => running.gateway.readiness().ready, 'the issuer')
      const ready = async (): Promise<{ notes?: readonly string[] }> => {
        const answer = await fetch(`${running.adminUrl}/readyz`)
        expect(answer.status).toBe(200)
        return (await answer.json()) as { notes?: readonly string[] }
      }
      expect((await ready()).notes).toEqual([
        `the records of ${stream} cannot be written, and what does not fit into memory is lost (0 so far): EISDIR: it is a directory; make room or repair the target of records.${stream}, and writing goes on`,
      ])
      await rm(file, { recursive: true })
      await until(async () => (await ready()).notes === undefined, 'the note to go')
    },
  )
})
