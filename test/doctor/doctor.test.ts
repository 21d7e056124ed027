// `doctor` against real servers with real faults: what it says is wrong, what to do, and that no examination holds up another.

import { execFileSync } from 'node:child_process'
import { chmod, copyFile, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { createLog } from '../../src/records/log.ts'
import { startGateway, type Gateway } from '../../src/runtime.ts'
import { createAuthority, endingIn, longAgo, someDay } from '../support/certificates.ts'
import { callCommand, runCommand } from '../support/command.ts'
import { freePort, freePorts } from '../support/free-ports.ts'
import { startIssuer, type Issuer } from '../support/issuer.ts'
import { createSite, type Site, type SiteOptions } from '../support/site.ts'
import { until, usualKeys, usualPolicies } from '../support/start-gateway.ts'
import { startUpstream, type RecordingUpstream, type Respond } from '../support/upstream.ts'
import { describeWithValkey, startStoreServer, type StoreServer } from '../support/valkey.ts'

interface Shown {
  readonly id: string
  readonly status: 'ok' | 'warning' | 'error' | 'skipped'
  readonly about: string | null
  readonly message: string
  readonly action: string | null
  readonly file: string | null
  readonly line: number | null
  readonly column: number | null
}

interface Report {
  readonly ok: boolean
  readonly config: string | null
  readonly counts: Readonly<Record<Shown['status'], number>>
  readonly findings: readonly Shown[]
}

interface Ran {
  readonly code: number | null
  readonly report: Report
  /** Messages and actions of all findings with this id. */
  texts(id: string): readonly string[]
  /** Ids of what is wrong. */
  readonly errors: readonly string[]
}

async function doctor(args: readonly string[], env: Readonly<Record<string, string>> = usualKeys): Promise<Ran> {
  const ended = await callCommand(['doctor', '--json', '--timeout', '3s', ...args], env)
  expect(ended.err).toBe('')
  for (const key of Object.values(usualKeys)) expect(ended.out.includes(key)).toBe(false)
  const report = JSON.parse(ended.out) as Report
  for (const { status, message, action } of report.findings) {
    if (status === 'error' || status === 'warning')
      expect([message, action]).toEqual([message, expect.stringMatching(/\S/)])
    if (status === 'ok') expect(action).toBe(null)
  }
  return {
    code: ended.code,
    report,
    texts: (id) =>
      report.findings.flatMap((each) =>
        each.id === id && each.status !== 'ok' ? [`${each.message} ${each.action ?? ''}`] : [],
      ),
    errors: [...new Set(report.findings.flatMap(({ id, status }) => (status === 'error' ? [id] : [])))],
  }
}

/** Answers by key value, and 401 for any other. */
const identify =
  (known: Readonly<Record<string, object | number>> = {}): Respond =>
  (request, response) => {
    const selves: Readonly<Record<string, object | number>> = {
      PAYMENTS_RUNNER_KEY: { service_user_id: 'service-user-runner', org_id: 'org-payments' },
      PAYMENTS_IMPERSONATOR_KEY: { service_user_id: 'service-user-impersonator', org_id: 'org-payments' },
      ANALYTICS_KEY: { service_user_id: 'service-user-figures', org_id: null },
      ...known,
    }
    const name =
      Object.keys(usualKeys).find((each) => request.headers.authorization === `Bearer ${usualKeys[each]}`) ?? ''
    const self = selves[name] ?? 401
    if (typeof self === 'number') return void response.writeHead(self, { 'content-type': 'application/json' }).end('{}')
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ principal_type: 'service_user', service_user_name: 'A name', ...self }))
  }

let issuer: Issuer
let upstream: RecordingUpstream
beforeAll(async () => {
  ;[issuer, upstream] = await Promise.all([startIssuer(), startUpstream()])
  upstream.identify(identify())
})
afterAll(() => Promise.all([issuer.stop(), upstream.close()]))

async function siteOf(options: SiteOptions = {}): Promise<Site> {
  const site = await createSite({ upstream: upstream.origin, issuer, ...options })
  onTestFinished(() => site.remove())
  return site
}

async function startHere(site: Site): Promise<Gateway> {
  const { config } = await loadConfig(site.configFile, usualKeys)
  const log = createLog({ level: 'silent', destination: { write: () => {} } })
  const gateway = await startGateway({ config, env: usualKeys, log, version: '0.1.0' })
  onTestFinished(() => gateway.drain().catch(() => {}))
  await until(() => gateway.readiness().ready, 'the gateway to be ready')
  return gateway
}

async function listening(server: Server): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => void sockets.add(socket.on('error', () => {})))
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => void server.close(resolve))
  })
  return (server.address() as AddressInfo).port
}

describe('a healthy installation', () => {
  let site: Site
  let gateway: Gateway
  let ports: readonly number[]
  beforeAll(async () => {
    ports = await freePorts(3)
    site = await createSite({
      upstream: upstream.origin,
      issuer,
      listen: `{ gateway: "127.0.0.1:${ports[0]}", admin: "127.0.0.1:${ports[1]}", health: "127.0.0.1:${ports[2]}" }`,
    })
    const { config } = await loadConfig(site.configFile, usualKeys)
    const log = createLog({ level: 'silent', destination: { write: () => {} } })
    gateway = await startGateway({ config, env: usualKeys, log, version: '0.1.0' })
    await until(() => gateway.readiness().ready, 'the gateway to be ready')
  })
  afterAll(async () => {
    await gateway.drain()
    await site.remove()
  })

  test('has no error, and each part says in a short line that it is well', async () => {
    const { code, report, errors } = await doctor(['--config', site.configFile])
    expect([code, report.ok, errors]).toEqual([0, true, []])
    const fine = new Set(report.findings.filter(({ status }) => status === 'ok').map(({ id }) => id))
    for (const id of [
      'configuration.file',
      'configuration.policies',
      'versions.package',
      'versions.node',
      'files.modes',
      'disk.writable',
      'issuer.connection',
      'issuer.keys',
      'upstream.answer',
      'key.identity',
      'gateway.ready',
      'gateway.version',
      'gateway.policies',
      'gateway.callers',
      'gateway.health',
      'clock.own',
    ])
      expect(fine).toContain(id)
    for (const { message } of report.findings.filter(({ status }) => status === 'ok'))
      expect(message.length).toBeLessThan(200)
  })

  test('is told in a form that programs can rely on', async () => {
    const ended = await callCommand(['doctor', '--json', '--config', site.configFile], usualKeys)
    const report = JSON.parse(ended.out) as Report & Record<string, unknown>
    expect(Object.keys(report)).toEqual([
      'ok',
      'checked_at',
      'version',
      'commit',
      'node',
      'config',
      'counts',
      'findings',
    ])
    expect(report.config).toBe(site.configFile)
    expect(Object.keys(report.counts)).toEqual(['error', 'warning', 'skipped', 'ok'])
    for (const finding of report.findings) {
      expect(Object.keys(finding)).toEqual(['id', 'status', 'about', 'message', 'action', 'file', 'line', 'column'])
      expect(finding.id).toMatch(/^[a-z]+\.[a-z-]+$/)
    }
    const text = await callCommand(['doctor', '--config', site.configFile], usualKeys)
    expect(text.out).toMatch(/\n {2}ok +payments-runner is A name \(service-user-runner\)\n/)
    expect(text.out).toMatch(/\nno error, \d+ warnings?, \d+ fine/)
  })

  test('is found by its addresses alone, whichever of its listeners they are', async () => {
    const addresses = ports.flatMap((port) => ['--url', `http://127.0.0.1:${port}`])
    const { code, report, errors } = await doctor(addresses, {})
    expect([code, errors, report.config]).toEqual([0, [], null])
    const outside = report.findings.filter(({ id }) => id.startsWith('outside.')).map(({ message }) => message)
    expect(outside).toContain(`Callers are answered at 127.0.0.1:${ports[0]}, and a call without a token is refused`)
    expect(outside).toContain(`127.0.0.1:${ports[1]} runs version 0.1.0`)
    expect(outside.filter((message) => message === 'it is ready')).toHaveLength(2)
    expect(report.findings.find(({ id }) => id === 'clock.own')?.status).toBe('ok')
  })

  test('whose operators listener others reach without a login is told as open', async () => {
    // The same loopback address, in a spelling that is none of this machine's own.
    const { code, errors, texts } = await doctor(['--url', `http://[::ffff:127.0.0.1]:${ports[1]}`], {})
    expect([code, errors]).toEqual([1, ['outside.open']])
    expect(texts('outside.open')).toEqual([
      expect.stringMatching(/operates the gateway: it asks for no login\. Set admin\.auth/),
    ])
    expect(texts('outside.plain')).toHaveLength(1)
  })

  test('says what its files have and the running gateway has not', async () => {
    const team = usualPolicies['teams/payments.yaml'] ?? ''
    await site.writePolicy('teams/payments.yaml', `${team}unknown: 1\n`)
    await gateway.reload('test')
    const isTold = async (): Promise<boolean> =>
      (await (await fetch(`http://127.0.0.1:${ports[1]}/api/now`)).text()).includes('"kind":"policies"')
    await until(isTold, 'the gateway to tell of the refused policies')
    const { code, texts } = await doctor(['--config', site.configFile])
    expect(code).toBe(1)
    expect(texts('configuration.policies')[0]).toMatch(/unknown/)
    expect(texts('gateway.trouble').join()).toMatch(/The gateway says, since .*policies/)
    await site.writePolicy('teams/payments.yaml', team)
    await gateway.reload('test')
  })

  test('with a warning is refused by --strict alone', async () => {
    const config = join(site.directory, 'strict.yaml')
    await copyFile(site.configFile, config)
    await writeFile(config, 'key_identity: off\n', { flag: 'a' })
    expect((await doctor(['--config', config])).code).toBe(0)
    const { code, texts } = await doctor(['--config', config, '--strict'])
    expect([code, texts('setup.key-identity')]).toEqual([1, [expect.stringContaining('Remove the setting')]])
    expect(texts('gateway.configuration')).toEqual([expect.stringContaining('runs another configuration')])
  })
})

test('a gateway that does not run is an error, and before the first start its ports have to be free', async () => {
  const taken = await listening(createTcpServer())
  const free = await freePort()
  const site = await siteOf({ listen: `{ gateway: "127.0.0.1:${free}", admin: "127.0.0.1:${taken}" }` })
  const running = await doctor(['--config', site.configFile, '--timeout', '300ms'])
  expect(running.errors).toEqual(expect.arrayContaining(['gateway.answers', 'gateway.callers']))
  expect(running.texts('gateway.answers').join()).toContain('stays silent')
  const before = await doctor(['--config', site.configFile, '--before-start'])
  expect([before.code, before.errors]).toEqual([1, ['gateway.port']])
  expect(before.texts('gateway.port')).toEqual([expect.stringMatching(/listen\.admin wants\. .*ss -ltnp/)])
})

describe('servers that fail', () => {
  test('are told apart, all in one run, and one that never answers holds up none', async () => {
    const silent = createTcpServer()
    const dead = await listening(silent)
    const closed = await freePort()
    const [late, liar, other] = await Promise.all([startIssuer(), startIssuer(), startIssuer({ algorithm: 'ES384' })])
    onTestFinished(async () => void (await Promise.all([late, liar, other].map((each) => each.stop()))))
    late.hang()
    liar.respond('/.well-known/openid-configuration', (_request, response) => {
      response.end(JSON.stringify({ issuer: 'http://127.0.0.1/else', jwks_uri: liar.jwksUri }))
    })
    const site = await siteOf({ upstream: `http://127.0.0.1:${dead}` })
    const written = await readFile(site.configFile, 'utf8')
    const issuers = [
      `{ issuer: "${late.issuer}", audience: a }`,
      `{ issuer: "${liar.issuer}", audience: a }`,
      `{ issuer: "${other.issuer}", audience: a }`,
      `{ issuer: "http://127.0.0.1:${closed}", audience: a }`,
      `{ issuer: "${issuer.issuer}", audience: a }`,
    ]
    await writeFile(
      site.configFile,
      `${written.replace(/issuers:[\s\S]*?policies:/, `issuers: [${issuers.join(', ')}]\npolicies:`)}
telemetry: { otlp: "http://127.0.0.1:${closed}" }
`,
    )
    const { code, report, texts } = await doctor(['--config', site.configFile, '--before-start', '--timeout', '700ms'])
    expect(code).toBe(1)
    expect(texts('upstream.answer')).toEqual([expect.stringMatching(/does not answer a request/)])
    expect(texts('key.unanswered')).toEqual([
      expect.stringMatching(/keys "payments-runner", "payments-impersonator", "analytics" could not be checked/),
    ])
    expect(texts('issuer.metadata')).toEqual([
      expect.stringMatching(/no answer within|cannot be used/),
      expect.stringMatching(/names the issuer "http:\/\/127\.0\.0\.1\/else".*Correct issuers\[1\]\.issuer/),
    ])
    expect(texts('issuer.keys')).toEqual([
      expect.stringMatching(/no key for RS256, ES256; it has keys for ES384\. .*Write in issuers\[2\]\.algorithms/),
    ])
    expect(texts('issuer.connection')).toEqual([expect.stringMatching(/nothing listens at 127\.0\.0\.1:\d+/)])
    expect(texts('collector.connection')).toEqual([expect.stringMatching(/The collector of traces: nothing listens/)])
    expect(report.findings).toContainEqual(
      expect.objectContaining({ id: 'issuer.keys', status: 'ok', about: issuer.issuer }),
    )
  })

  const authority = createAuthority('Corp CA')
  const stranger = createAuthority('Another CA')
  const here = '127.0.0.1'
  test.each([
    [
      'has ended',
      authority.issue({ name: here, validity: longAgo }),
      'error',
      /has ended at 2021-01-01.*the clock of this machine is wrong/,
    ],
    ['has not begun', authority.issue({ name: here, validity: someDay }), 'error', /begins only at 2049-01-01/],
    [
      'is for another name',
      authority.issue({ name: 'api.corp.example' }),
      'error',
      /is for api\.corp\.example, and not for 127\.0\.0\.1/,
    ],
    [
      'is of an unknown authority',
      stranger.issue({ name: here }),
      'error',
      /signed by Another CA, which is not trusted here.*upstream\.ca/,
    ],
    [
      'ends in five days',
      authority.issue({ name: here, validity: endingIn(5, Date.now()) }),
      'warning',
      /ends at .*, in [45] days\..*renew/,
    ],
    ['is no certificate at all', null, 'error', /does not speak TLS/],
  ] as const)('a certificate that %s is told from the others', async (_what, certificate, status, words) => {
    const server =
      certificate === null
        ? createHttpServer()
        : createTlsServer(certificate, (_request, response) => response.writeHead(401).end())
    const port = await listening(server)
    const site = await siteOf({ upstream: `https://${here}:${port}`, upstreamSettings: 'ca: ca.pem' })
    await writeFile(join(site.directory, 'ca.pem'), authority.ca)
    const { report } = await doctor(['--config', site.configFile, '--before-start'])
    const found = report.findings.filter(({ id }) => /^upstream\.(?:tls|certificate)$/.test(id))
    expect(found.map((each) => [each.status, `${each.message} ${each.action ?? ''}`])).toEqual([
      [status, expect.stringMatching(words)],
    ])
  })

  test.each([
    [301, { location: 'https://app.devin.example/' }, '', /leads elsewhere \(301 to https:\/\/app\.devin\.example\/\)/],
    [200, { 'content-type': 'text/html' }, '<html>', /is a web page \(200\)/],
    [404, {}, '{}', /has no \/v3\/self \(404\).*path prefix/],
    [502, {}, '', /answers with 502/],
    [200, {}, '{}', /says 200 to GET \/v3\/self without a key/],
  ])('an answer of %i is judged by what it is', async (status, headers, body, words) => {
    const server = createHttpServer((_request, response) => response.writeHead(status, headers).end(body))
    const site = await siteOf({ upstream: `http://127.0.0.1:${await listening(server)}` })
    expect((await doctor(['--config', site.configFile, '--before-start'])).texts('upstream.answer')).toEqual([
      expect.stringMatching(words),
    ])
  })

  test('whose clocks agree tell that the clock here is the wrong one', async () => {
    const hourAgo = new Date(Date.now() - 3_600_000).toUTCString()
    const server = createHttpServer((request, response) => {
      response.sendDate = false
      response.writeHead(request.url === '/jwks' ? 200 : 401, { date: hourAgo, 'content-type': 'application/json' })
      response.end('{"keys":[]}')
    })
    const origin = `http://127.0.0.1:${await listening(server)}`
    const both = await siteOf({ upstream: origin, issuer: { issuer: issuer.issuer, jwksUri: `${origin}/jwks` } })
    const { texts } = await doctor(['--config', both.configFile, '--before-start'])
    expect(texts('clock.own')).toEqual([
      expect.stringMatching(/this machine is 60 min ahead: the Devin API and the issuer .* agree on the time.*NTP/),
    ])
    const one = await siteOf({ issuer: { issuer: issuer.issuer, jwksUri: `${origin}/jwks` } })
    const found = await doctor(['--config', one.configFile, '--before-start'])
    expect(found.texts('clock.peer')).toEqual([
      expect.stringMatching(/clock of the issuer .* is 60 min behind this machine's\. Tokens are refused/),
    ])
  })
})

test('keys are told who they are not, with their place in the inventory', async () => {
  upstream.identify(
    identify({
      PAYMENTS_RUNNER_KEY: 401,
      PAYMENTS_IMPERSONATOR_KEY: { service_user_id: 'service-user-x', org_id: 'org-other' },
    }),
  )
  onTestFinished(() => upstream.identify(identify()))
  const site = await siteOf()
  const { ANALYTICS_KEY: _absent, ...env } = usualKeys
  const { report, texts } = await doctor(['--config', site.configFile, '--before-start'], env)
  expect(texts('key.rejected')).toEqual([
    expect.stringMatching(/"payments-runner" is rejected by Devin \(401\).*Put a new one/),
  ])
  expect(texts('key.quarantined')).toEqual([
    expect.stringMatching(/"payments-impersonator" is a key of the organization org-other/),
  ])
  expect(texts('key.absent')).toEqual([
    expect.stringMatching(/ANALYTICS_KEY is not set.*environment and the user of the service/),
  ])
  expect(report.findings.find(({ id }) => id === 'key.rejected')).toMatchObject({
    about: 'payments-runner',
    file: join(site.directory, 'policies/keys.yaml'),
    line: 2,
  })
})

test('a key that only the gateway can read is judged by what the gateway says', async () => {
  const ports = await freePorts(2)
  const site = await siteOf({ listen: `{ gateway: "127.0.0.1:${ports[0]}", admin: "127.0.0.1:${ports[1]}" }` })
  await startHere(site)
  const { code, report } = await doctor(['--config', site.configFile], {})
  expect(code).toBe(0)
  expect(report.findings).toContainEqual(
    expect.objectContaining({
      id: 'key.identity',
      status: 'ok',
      about: 'analytics',
      message: expect.stringMatching(/running gateway uses it, as A name/),
    }),
  )
})

describeWithValkey('the shared store', () => {
  let store: StoreServer
  beforeAll(async () => {
    store = await startStoreServer()
  })
  afterAll(() => store.close())

  async function examined(address = store.address, ...args: readonly string[]): Promise<Ran> {
    const site = await siteOf({ config: `store: { nodes: "${address}", timeout: 5s }` })
    return await doctor(['--config', site.configFile, '--before-start', ...args])
  }

  test('that forgets, is full, or is a replica is told so', async () => {
    await store.command('CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
    expect((await examined()).errors).toEqual([])
    await store.command('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru')
    const evicting = await examined()
    expect(evicting.texts('store.eviction')).toEqual([
      expect.stringMatching(/maxmemory-policy allkeys-lru.*forgets limits.*noeviction/),
    ])
    await store.command('CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
    await store.command('CONFIG', 'SET', 'maxmemory', '1')
    expect((await examined()).texts('store.full')).toEqual([expect.stringMatching(/is full: .*OOM.*maxmemory/)])
    await store.command('CONFIG', 'SET', 'maxmemory', '0')
    await store.command('REPLICAOF', '127.0.0.1', '1')
    const replica = await examined()
    await store.command('REPLICAOF', 'NO', 'ONE')
    expect(replica.texts('store.scripts')).toEqual([expect.stringMatching(/is a replica and takes no writes/)])
  })

  test('that keeps nothing is a warning where policies have budgets', async () => {
    const site = await siteOf({
      config: `store: { nodes: "${store.address}", timeout: 5s }`,
      policies: { 'limits.yaml': 'limits:\n  acus: 500/month\n' },
    })
    const { texts } = await doctor(['--config', site.configFile, '--before-start'])
    expect(texts('store.persistence')).toEqual([
      expect.stringMatching(/have budgets, and the store .* keeps nothing over a restart.*appendonly yes/),
    ])
  })

  test('whose user lacks rights says which, and a wrong password is a login that fails', async () => {
    await store.command('ACL', 'SETUSER', 'poor', 'on', '>word', '~devin-gateway:*', '+@connection', '+time')
    const poor = await examined(store.address.replace('//', '//poor:word@'))
    expect(poor.errors).toEqual(['store.scripts', 'store.messages'])
    expect(poor.texts('store.info')).toEqual([expect.stringContaining('+info')])
    const wrong = await examined(store.address.replace('//', '//poor:wrong@'))
    expect(wrong.texts('store.login')).toEqual([
      expect.stringMatching(/does not accept the login.*WRONGPASS.*store\.password/),
    ])
    expect(JSON.stringify([poor.report, wrong.report])).not.toMatch(/poor:|word@|wrong@/)
  })

  test('that sentinels know by another name is told by that', async () => {
    const sentinel = await startStoreServer({ sentinel: true })
    onTestFinished(() => sentinel.close())
    const site = await siteOf({ config: `store: { nodes: ["${sentinel.address}"], sentinel: main }` })
    const { texts } = await doctor(['--config', site.configFile, '--before-start', '--timeout', '500ms'])
    expect(texts('store.login')).toEqual([
      expect.stringMatching(/do not know the store by the name in store\.sentinel/),
    ])
  })

  test('that hangs holds up nothing', async () => {
    store.freeze()
    const { texts, errors } = await examined(store.address, '--timeout', '500ms').finally(() => store.thaw())
    expect(errors).toEqual(['store.login'])
    expect(texts('store.login').join()).toMatch(/takes connections and cannot be used/)
  })
})

test('instances that share no store and answer together are told so', async () => {
  const ports = await freePorts(4)
  const sites = await Promise.all(
    [0, 2].map((at) =>
      siteOf({ listen: `{ gateway: "127.0.0.1:${ports[at]}", admin: "127.0.0.1:${ports[at + 1]}" }` }),
    ),
  )
  await sites[1]?.writePolicy('limits.yaml', 'limits:\n  concurrent: 5\n')
  await startHere(sites[0] as Site)
  await startHere(sites[1] as Site)
  const { code, texts } = await doctor(
    ['--url', `http://127.0.0.1:${ports[1]}`, '--url', `http://127.0.0.1:${ports[3]}`],
    {},
  )
  expect(texts('outside.revisions')).toEqual([expect.stringMatching(/different policies in force/)])
  expect(code).toBe(1)
  expect(texts('outside.shared')).toEqual([expect.stringMatching(/2 instances answer and share no store/)])
})

test.each([
  [503, {}, /is not this gateway \(503 .*balancer/],
  [308, { location: 'https://gateway.corp.example/' }, /leads elsewhere \(308 to https:\/\/gateway\.corp\.example\/\)/],
])('what answers an address with %i and is no gateway is not taken for one', async (status, headers, words) => {
  const server = createHttpServer((_request, response) => response.writeHead(status, headers).end())
  const { code, texts } = await doctor(['--url', `http://127.0.0.1:${await listening(server)}`], {})
  expect([code, texts('outside.answers')]).toEqual([1, [expect.stringMatching(words)]])
})

test('a token of operators goes to no server that is not trusted, not even when it was a moment before', async () => {
  const [trusted, stranger] = [createAuthority('Corp CA'), createAuthority('Another CA')]
  const good = trusted.issue({ name: '127.0.0.1' })
  const asked: string[] = []
  let isReplaced = true
  const server = createTlsServer(good, (request, response) => {
    asked.push(request.headers.authorization ?? 'none')
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"ready":true,"reasons":[]}')
    if (isReplaced && asked.length === 2) server.setSecureContext(stranger.issue({ name: '127.0.0.1' }))
  })
  const directory = (await siteOf()).directory
  const [ca, token] = [join(directory, 'ca.pem'), join(directory, 'token')]
  await Promise.all([writeFile(ca, trusted.ca), writeFile(token, 'an-operators-token')])
  const url = `https://127.0.0.1:${await listening(server)}`
  const args = ['--url', url, '--ca', ca, '--operator-token', token]
  const { texts } = await doctor(args, {})
  expect(asked.length).toBeGreaterThanOrEqual(2)
  expect(new Set(asked)).toEqual(new Set(['none']))
  expect(texts('outside.certificate')).toEqual([])
  server.setSecureContext(good)
  isReplaced = false
  await doctor(args, {})
  expect(asked).toContain('Bearer an-operators-token')
})

describe('the machine', () => {
  test('files that others may read or change are named with their mode and the way out', async () => {
    const site = await siteOf({
      policies: {
        'keys.yaml': (usualPolicies['keys.yaml'] ?? '').replace(
          '{ env: PAYMENTS_RUNNER_KEY }',
          '{ file: ../runner.key }',
        ),
      },
    })
    const key = join(site.directory, 'runner.key')
    await writeFile(key, usualKeys['PAYMENTS_RUNNER_KEY'] ?? '')
    const access = join(site.directory, 'access.ndjson')
    await writeFile(access, '')
    await Promise.all([
      chmod(key, 0o644),
      chmod(site.configFile, 0o666),
      chmod(join(site.directory, 'policies'), 0o777),
      chmod(access, 0o644),
    ])
    const { code, texts, errors } = await doctor(['--config', site.configFile, '--before-start'])
    expect(code).toBe(1)
    expect(errors).toEqual(expect.arrayContaining(['files.secret', 'files.changeable', 'files.folder']))
    expect(texts('files.secret')).toEqual([
      expect.stringMatching(/key "payments-runner" is open to every user .*\(mode 644\)\. chmod o-rwx .*runner\.key/),
    ])
    expect(texts('files.changeable')).toEqual([expect.stringContaining(`chmod o-w ${site.configFile}`)])
    expect(texts('files.folder')).toEqual([expect.stringMatching(/directory of the policies .*mode 777/)])
    expect(texts('files.records')).toEqual([expect.stringMatching(/may read the file of records\.access/)])
    // Files of the policies are looked at one by one, whatever the folder says.
    const policies = join(site.directory, 'policies')
    const [team] = (await readdir(policies, { recursive: true })).filter((name) => name.includes('payments.yaml'))
    await Promise.all([chmod(policies, 0o755), chmod(join(policies, team ?? ''), 0o646), chmod(site.configFile, 0o600)])
    const one = (await doctor(['--config', site.configFile, '--before-start'])).texts('files.changeable')
    expect(one).toEqual([expect.stringContaining('1 policy file may be changed by every user of this machine')])
    expect(one.join()).toContain(`chmod o-w ${join(policies, team ?? '')}`)
    // The configuration's own warning says nothing that is not said here.
    expect(texts('configuration.policies').join()).not.toContain('may read')
  })

  test('a port that two listeners want is no port of another program, and a stray link is no matter of rights', async () => {
    const site = await siteOf()
    const port = await freePort()
    const written = await readFile(site.configFile, 'utf8')
    const listen = /listen:.*/.exec(written)?.[0] ?? ''
    await writeFile(
      site.configFile,
      written.replace(listen, `listen: { gateway: "127.0.0.1:${port}", admin: "127.0.0.1:${port}" }`),
    )
    const ports = await doctor(['--config', site.configFile, '--before-start'])
    expect(ports.texts('configuration.file').join()).toContain(String(port))
    expect(ports.texts('gateway.port')).toEqual([])
    await symlink('/nowhere', join(site.directory, 'policies', 'old.yaml'))
    const { texts } = await doctor(['--config', site.configFile, '--before-start'])
    expect(texts('configuration.policies').join()).toContain('leads to nothing')
    expect(texts('configuration.policies').join()).not.toContain('as the user of the gateway')
  })

  test('a folder that takes no files is named with what should go there', async () => {
    const site = await siteOf({ audit: '/proc/audit.ndjson' })
    const { texts, errors } = await doctor(['--config', site.configFile, '--before-start'])
    expect(errors).toContain('disk.writable')
    expect(texts('disk.writable').join()).toMatch(/Nothing can be written to \/proc, where records\.audit/)
  })

  test('a device in the place of a record file needs no folder', async () => {
    const site = await siteOf()
    const written = await readFile(site.configFile, 'utf8')
    await writeFile(site.configFile, written.replace('access: access.ndjson', 'access: /dev/null'))
    const { report } = await doctor(['--config', site.configFile, '--before-start'])
    expect(report.findings.filter(({ about }) => about?.startsWith('/dev') === true)).toMatchObject([
      { id: 'disk.file', status: 'ok', about: '/dev/null' },
    ])
  })

  test('a full disk is told as full', async (context) => {
    const site = await siteOf({ audit: 'small/audit.ndjson' })
    const small = join(site.directory, 'small')
    await mkdir(small)
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'none', small], { stdio: 'ignore' })
    } catch {
      context.skip()
    }
    onTestFinished(() => void execFileSync('umount', ['-l', small]))
    const { texts } = await doctor(['--config', site.configFile, '--before-start'])
    expect(texts('disk.full')).toEqual([expect.stringMatching(/no room left in .*small, where records\.audit/)])
    expect(texts('disk.space').join()).toMatch(/is full: 16 KiB/)
    expect(texts('disk.lasting')).toEqual([expect.stringMatching(/is in memory: .*Put it on a volume/)])
  })

  test('variables that weaken the process are told, and a proxy where something is not reached', async () => {
    const closed = await freePort()
    const site = await siteOf({ upstream: `http://127.0.0.1:${closed}` })
    const env = {
      ...usualKeys,
      NODE_TLS_REJECT_UNAUTHORIZED: '0',
      NODE_OPTIONS: '--inspect=0.0.0.0',
      NODE_EXTRA_CA_CERTS: join(site.directory, 'none.pem'),
      HTTPS_PROXY: 'http://user:geheim@proxy:3128',
    }
    const { report, errors, texts } = await doctor(['--config', site.configFile, '--before-start'], env)
    expect(errors).toEqual(expect.arrayContaining(['setup.debugger', 'setup.extra-authorities']))
    expect(texts('setup.tls-verification')).toHaveLength(1)
    expect(texts('setup.proxy')).toEqual([expect.stringContaining('it uses no proxy')])
    expect(JSON.stringify(report)).not.toContain('geheim')
  })
})

test('settings that are valid and usually a mistake are told with their place', async () => {
  const site = await siteOf({
    listen: '{ gateway: "0.0.0.0:0", admin: "127.0.0.1:0", max_connections: 100 }',
    audit: 'stdout',
  })
  await writeFile(
    site.configFile,
    (await readFile(site.configFile, 'utf8')).replace(
      'audience: devin-gateway',
      'audience: devin-gateway\n    max_lifetime: 30d\n    clock_tolerance: 10m',
    ),
  )
  const { code, report, texts } = await doctor(['--config', site.configFile, '--before-start'])
  expect(code).toBe(0)
  for (const id of ['plain-listener', 'connections', 'token-lifetime', 'clock-tolerance', 'audit'])
    expect(texts(`setup.${id}`)).toHaveLength(1)
  expect(report.findings.find(({ id }) => id === 'setup.token-lifetime')).toMatchObject({
    file: site.configFile,
    line: 6,
  })
})

describe('a broken configuration', () => {
  test('is told with file and line, and what is sound in it is examined nevertheless', async () => {
    const site = await siteOf({ config: 'cache: { max_size: 5 parsecs }\ntelemetry: { otlp: "ftp://nowhere" }' })
    const { code, report, texts, errors } = await doctor(['--config', site.configFile, '--before-start'])
    expect([code, errors]).toEqual([1, ['configuration.file']])
    expect(
      report.findings.filter(({ id }) => id === 'configuration.file').map(({ file, line }) => [file, line]),
    ).toEqual([
      [site.configFile, 10],
      [site.configFile, 11],
    ])
    const fine = report.findings.flatMap(({ id, status }) => (status === 'ok' ? [id] : []))
    expect(fine).toEqual(expect.arrayContaining(['issuer.keys', 'upstream.answer', 'key.identity', 'disk.writable']))
    expect(texts('setup.section')).toEqual([expect.stringContaining('`telemetry`')])
  })

  test.each([
    ['whose YAML ends in the middle', 'listen: {', /./],
    ['that is no mapping', '- a\n- b', /./],
    ['that is missing', null, /there is no such file/],
  ])('%s leaves the rest to be examined', async (_what, text, words) => {
    const site = await siteOf()
    await (text === null ? rm(site.configFile) : writeFile(site.configFile, text))
    const { code, report, texts } = await doctor(['--config', site.configFile])
    expect(code).toBe(1)
    expect(texts('configuration.file').join()).toMatch(words)
    expect(report.findings.map(({ id }) => id)).toContain('versions.node')
  })

  test('that names missing files is told what a start would refuse, and the rest is examined', async () => {
    const closed = await freePort()
    const site = await siteOf({
      listen: '{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", tls: { cert: none.pem, key: none.key } }',
      config: `store: { nodes: "valkey://127.0.0.1:${closed}", secret: { file: none.secret } }`,
    })
    const { texts, errors } = await doctor(['--config', site.configFile, '--before-start'])
    expect(
      texts('configuration.file').filter((text) => /none\.(?:pem|key|secret): there is no such file/.test(text)),
    ).toHaveLength(3)
    expect(errors).toEqual(['configuration.file', 'store.connection'])
  })

  test('does not hide who the issuers are where the upstream is the broken one', async () => {
    const site = await siteOf({ upstream: 'http://not-loopback.example' })
    const { report, texts } = await doctor(['--config', site.configFile, '--before-start'])
    expect(texts('setup.section')).toEqual([expect.stringContaining('`upstream`')])
    expect(report.findings.filter(({ id, status }) => id === 'issuer.keys' && status === 'ok')).toHaveLength(1)
    expect(report.findings.some(({ id }) => id.startsWith('upstream.'))).toBe(false)
  })
})

test('what never ends is given up, and does not keep the process from ending', async () => {
  const site = await siteOf()
  const pipe = join(site.directory, 'pipe.yaml')
  execFileSync('mkfifo', [pipe])
  const ended = await runCommand(['doctor', '--config', pipe, '--timeout', '200ms'], { timeoutMs: 20_000 })
  expect([ended.code, ended.err]).toEqual([1, ''])
  expect(ended.out).toMatch(
    /error +The examination of \S+pipe\.yaml was not done within 0\.2 s\.\n +-> Find out what holds it up/,
  )
  expect(ended.out).toMatch(/ok +Node\.js/)
})

test.each([
  [['--url', 'gateway.corp.example'], '--url takes an address like'],
  [['--url', 'https://a:b@gateway.corp.example'], 'without a name or password'],
  [['--timeout', 'soon'], '--timeout'],
  [['--timeout', '1h'], '--timeout takes 100ms to 5m'],
])('%j is wrong usage', async (args, words) => {
  const ended = await callCommand(['doctor', ...args], {})
  expect([ended.code, ended.err]).toEqual([2, expect.stringContaining(words)])
})
