// The real gateway on free ports, with policies and keys of a test's own, in front of a recording upstream and behind a
// real issuer. Every sink is collected, so that a test can look at what was recorded and search it for planted secrets.

import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { loadConfig } from '../../src/config/load.ts'
import type { AccessEntry, DecisionEntry } from '../../src/records/entries.ts'
import { createLog } from '../../src/records/log.ts'
import { startGateway, type Gateway } from '../../src/runtime.ts'
import { usualPace, type FilePace } from '../../src/runtime/file-watcher.ts'
import { replayAll } from './replayed-decisions.ts'
import { startIssuer, type Issuer, type SignOptions } from './issuer.ts'
import { startUpstream, type RecordingUpstream, type Respond } from './upstream.ts'

export const usualKeys: Readonly<Record<string, string>> = {
  PAYMENTS_RUNNER_KEY: 'cog_payments-runner-0123456789abcdef',
  PAYMENTS_IMPERSONATOR_KEY: 'cog_payments-impersonator-0123456789abcdef',
  ANALYTICS_KEY: 'cog_analytics-0123456789abcdef',
}

/** Policies that most tests share; a test replaces or adds files. Nothing is cached, so that every call reaches the upstream. */
export const usualPolicies: Readonly<Record<string, string>> = {
  'teams/payments.yaml': `team: payments
members:
  - groups: [sso-payments-eng]
  - app: [payments-bot]
organizations: [org-payments]
grants:
  - id: run-sessions
    allow: [ViewOrgSessions, ManageOrgSessions, org.attachments.*]
  - id: index-repositories
    allow: [beta.org.repositories.*]
  - id: act-for-others
    allow: [ImpersonateOrgSessions]
    when: { groups: [payments-leads] }
  - id: shadow-secrets
    allow: [ManageOrgSecrets]
    mode: shadow
cache: { at_most: 0s }
`,
  'teams/analytics.yaml': `team: analytics
members:
  - groups: [sso-analytics]
organizations: all
grants:
  - id: read-consumption
    allow: [ent.consumption.*, ent.sessions.list, ent.members.*]
cache: { at_most: 0s }
`,
  'keys.yaml': `keys:
  - id: payments-runner
    scope: organization
    organization: org-payments
    permissions: [ViewOrgSessions, ManageOrgSessions, UseDevinSessions, Read, IndexOrgRepositories]
    secret: { env: PAYMENTS_RUNNER_KEY }
  - id: payments-impersonator
    scope: organization
    organization: org-payments
    permissions: [ViewOrgSessions, ManageOrgSessions, UseDevinSessions, ImpersonateOrgSessions, Read, IndexOrgRepositories]
    secret: { env: PAYMENTS_IMPERSONATOR_KEY }
  - id: analytics
    scope: enterprise
    permissions: [ViewAccountMetrics, ViewAccountConsumption, ManageBilling, ViewAccountSessions, ManageAccountMembership]
    secret: { env: ANALYTICS_KEY }
`,
}

export interface StartOptions {
  readonly policies?: Readonly<Record<string, string | null>>
  readonly env?: Readonly<Record<string, string>>
  /** Lines that are added at the end of the configuration. */
  readonly config?: string
  /** Further files beside the configuration. */
  readonly files?: Readonly<Record<string, string>>
  /** Replaces the whole `upstream` line of the configuration. One of the test's own is not asked who the keys are. */
  readonly upstream?: string
  /** Answers who the keys are, from the start; default: 404, which says nothing. */
  readonly identify?: Respond
  readonly issuer?: Issuer
  readonly issuerConfig?: string
  /** Instead of a file: a target for one of the records. */
  readonly records?: { readonly access?: string; readonly decisions?: string; readonly audit?: string }
  readonly listen?: string
  /** A clock of the test's own. */
  readonly now?: () => number
  /** A monotonic clock of the test's own. */
  readonly monotonic?: () => number
  /** Readings of the event loop's delay of the test's own; default: none. */
  readonly eventLoopDelay?: () => number
  /** How often the files of policies are looked at; where a test waits for a change to be found, `quickPace`. */
  readonly filePace?: FilePace
  /** Why the log of the process cannot be written; default: it can. */
  readonly logFault?: string
  /** Whether to wait until it is ready; by default yes, unless the records go elsewhere. */
  readonly awaitReady?: boolean
}

export const quickPace: FilePace = { look: 100, still: 200, stillOnDemand: 10 }

export interface RunningGateway {
  readonly gateway: Gateway
  readonly url: string
  readonly port: number
  readonly adminUrl: string
  readonly upstream: RecordingUpstream
  readonly issuer: Issuer
  readonly directory: string
  readonly logLines: string[]
  /** A token of the payments team, or of whom the claims say. */
  token(claims?: Readonly<Record<string, unknown>>, options?: SignOptions): Promise<string>
  /** A call with a token of the payments team; `token: null` sends none. */
  call(
    path: string,
    init?: RequestInit & { token?: string | null; claims?: Readonly<Record<string, unknown>> },
  ): Promise<Response>
  writePolicy(name: string, text: string): Promise<void>
  access(): Promise<AccessEntry[]>
  decisions(): Promise<DecisionEntry[]>
  /** Waits until this many exchanges since the start have been recorded, and returns both records of the last one. */
  recorded(count: number): Promise<{ access: AccessEntry; decision: DecisionEntry }>
  /** Waits for both records of the exchange with this request id or decision id. */
  recordsOf(id: string | null): Promise<{ access: AccessEntry; decision: DecisionEntry }>
  /**
   * Waits until no exchange is under way and all are recorded, and returns how many there have been since the start; no less
   * than `atLeast`.
   */
  settled(atLeast?: number): Promise<number>
  auditText(): Promise<string>
  /** Everything that was written anywhere: records, log, metrics, status. */
  everything(): Promise<string>
  close(): Promise<void>
}

/** Whatever operators may read without naming anything. The matrix speaks of policies alone, and takes a while. */
const plainReads = [
  '/metrics',
  '/readyz',
  ...[
    'status',
    'keys',
    'keys/report',
    'now',
    'series',
    'decisions',
    'teams',
    'policies',
    'cache',
    'audit',
    'budgets',
    'blocks',
    'shadow',
    'rotations',
  ].map((name) => `/api/${name}`),
]

export const paymentsGroups = ['sso-payments-eng']

export async function startTestGateway(options: StartOptions = {}): Promise<RunningGateway> {
  const directory = await mkdtemp(join(tmpdir(), 'gateway-test-'))
  const upstream = await startUpstream()
  if (options.identify !== undefined) upstream.identify(options.identify)
  const issuer = options.issuer ?? (await startIssuer())
  for (const [name, text] of Object.entries({ ...usualPolicies, ...options.policies }))
    if (text !== null) await put(directory, name, text)
  const { access = 'access.ndjson', decisions = 'decisions.ndjson', audit = 'audit.ndjson' } = options.records ?? {}
  for (const [name, text] of Object.entries(options.files ?? {})) await writeFile(join(directory, name), text)
  const configFile = join(directory, 'gateway.yaml')
  await writeFile(
    configFile,
    `listen: ${options.listen ?? '{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0" }'}
upstream: ${options.upstream?.replaceAll('ORIGIN', upstream.origin) ?? `{ origin: "${upstream.origin}" }`}
issuers:
  - issuer: ${issuer.issuer}
    audience: devin-gateway
    jwks_uri: ${issuer.jwksUri}
${options.issuerConfig ?? ''}
policies: policies
records: { access: ${access}, decisions: ${decisions}, audit: ${audit} }
shutdown: { delay: 0s, deadline: 5s }
${options.upstream?.includes('ORIGIN') === false ? 'key_identity: off' : ''}
${options.config ?? ''}
`,
  )
  const logLines: string[] = []
  const env = { ...usualKeys, ...options.env }
  const { config } = await loadConfig(configFile, env)
  const written = createLog({ level: 'debug', destination: { write: (line) => void logLines.push(line) } })
  const log = { ...written, fault: () => options.logFault ?? null }
  const gateway = await startGateway({
    config,
    env,
    log,
    version: 'test',
    ...(options.now === undefined ? {} : { now: options.now }),
    ...(options.monotonic === undefined ? {} : { monotonic: options.monotonic }),
    // Tests wait for most of the records.
    pace: { files: options.filePace ?? { ...usualPace, stillOnDemand: 10 }, records: { flushMs: 5 } },
    // A machine that is slow must not have requests refused, nor readiness say so.
    eventLoopDelay: options.eventLoopDelay ?? (() => 0),
  })
  if (options.awaitReady ?? options.records === undefined)
    await until(() => gateway.readiness().ready, 'the gateway to be ready')
  const url = `http://127.0.0.1:${gateway.gateway.port}`
  const adminUrl = `http://127.0.0.1:${gateway.admin.port}`

  const token: RunningGateway['token'] = (claims = {}, signing) =>
    issuer.sign({ sub: 'ann', email: 'ann@corp.example', groups: paymentsGroups, ...claims }, signing)
  const lines = <T>(file: string): (() => Promise<T[]>) => {
    const tail = createTail(join(directory, file))
    return async () => (await tail()) as T[]
  }
  const readAccess = lines<AccessEntry>(access)
  const readDecisions = lines<DecisionEntry>(decisions)
  return {
    gateway,
    url,
    port: gateway.gateway.port,
    adminUrl,
    upstream,
    issuer,
    directory,
    logLines,
    token,
    async call(path, { token: given, claims, headers, ...init } = {}) {
      const bearer = given === undefined ? await token(claims) : given
      return await fetch(`${url}${path}`, {
        redirect: 'manual',
        ...init,
        headers: {
          ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }),
          ...(headers as Record<string, string> | undefined),
        },
      })
    },
    writePolicy: (name, text) => put(directory, name, text),
    access: readAccess,
    decisions: readDecisions,
    async recorded(count) {
      await until(
        async () => (await readAccess()).length >= count && (await readDecisions()).length >= count,
        `${count} records`,
      )
      const [one, other] = [(await readAccess()).at(-1), (await readDecisions()).at(-1)]
      if (one === undefined || other === undefined) throw new Error('no record')
      return { access: one, decision: other }
    },
    async recordsOf(id) {
      const find = async (): Promise<{ access: AccessEntry; decision: DecisionEntry } | null> => {
        const entry = (await readAccess()).find((line) => line.request_id === id || line.decision_id === id)
        const other = (await readDecisions()).find((line) => line.decision_id === entry?.decision_id)
        return entry === undefined || other === undefined ? null : { access: entry, decision: other }
      }
      await until(async () => (await find()) !== null, `the records of ${id}`)
      const found = await find()
      if (found === null) throw new Error(`the records of ${id} are gone`)
      return found
    },
    async settled(atLeast = 0) {
      let count = -1
      await until(async () => {
        // To read all metrics is dear.
        if ((await readDecisions()).length < atLeast) return false
        const metrics = await (await fetch(`${adminUrl}/metrics`)).text()
        const sum = (name: string): number =>
          [...metrics.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\d+)$`, 'gm'))].reduce(
            (all, [, value]) => all + Number(value),
            0,
          )
        count = sum('gateway_requests_total')
        // The gateway's own reads are no exchanges.
        const ofCallers = (await readAccess()).filter(({ subject }) => subject !== 'gateway')
        const written = [ofCallers.length, (await readDecisions()).length]
        return sum('gateway_in_flight') === 0 && written.every((lines) => lines === count)
      }, 'all exchanges to be over and recorded')
      return count
    },
    auditText: () => readFile(join(directory, audit), 'utf8'),
    async everything() {
      const files = await Promise.all(
        [access, decisions, audit].map((file) => readFile(join(directory, file), 'utf8').catch(() => '')),
      )
      const latest = (await readDecisions()).at(-1)
      const pages = await Promise.all(
        [...plainReads, `/api/decisions/${latest?.decision_id ?? ''}`].map(async (path) =>
          (await fetch(`${adminUrl}${path}`)).text(),
        ),
      )
      return [...files, ...logLines, ...pages].join('\n')
    },
    async close() {
      await gateway.drain().catch(() => {})
      await upstream.close()
      if (options.issuer === undefined) await issuer.stop()
      await replayAll(config, env, join(directory, decisions))
      await rm(directory, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

/** Reads the objects of a file of lines, on each call only what was added; a file that was replaced or cut from its beginning. */
function createTail(file: string): () => Promise<unknown[]> {
  let inode = 0
  let offset = 0
  let entries: unknown[] = []
  const read = async (): Promise<void> => {
    const handle = await open(file).catch(() => null)
    if (handle === null) {
      ;[inode, offset, entries] = [0, 0, []]
      return
    }
    try {
      const { ino, size } = await handle.stat()
      if (ino !== inode || size < offset) [inode, offset, entries] = [ino, 0, []]
      const bytes = Buffer.alloc(size - offset)
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, offset)
      // What stands behind the last line feed is still being written.
      const end = bytes.subarray(0, bytesRead).lastIndexOf(0x0a) + 1
      const lines = bytes.subarray(0, end).toString('utf8').split('\n').slice(0, -1)
      entries = [...entries, ...lines.map((line): unknown => JSON.parse(line))]
      offset += end
    } finally {
      await handle.close()
    }
  }
  let reading = Promise.resolve()
  return async () => {
    await (reading = reading.catch(() => {}).then(read))
    return [...entries]
  }
}

async function put(directory: string, name: string, text: string): Promise<void> {
  const file = join(directory, 'policies', name)
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, text)
}

/** Shorter than the limit of a test, so that its failure says what was waited for. */
const longestWaitMs = 50_000

/** Polls until the condition holds; the longer that takes the less often, because many conditions ask a server. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const start = performance.now()
  for (let tries = 1; ; tries++) {
    if (await condition()) return
    const waitedMs = performance.now() - start
    if (waitedMs > longestWaitMs) throw new Error(`waited in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, Math.max(Math.min(tries, 10), Math.min(waitedMs / 20, 50))))
  }
}
