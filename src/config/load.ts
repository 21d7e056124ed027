// Loads config/gateway.yaml: a resolved Config, or every diagnostic. The files that it names are read and checked too.

import path from 'node:path'
import { fileProblem, hasErrors, Refused, type Diagnostic } from './diagnostics.ts'
import {
  gatewaySchema,
  stabilityClasses,
  usualAnonymousPerAddress,
  usualPolicies,
  usualStability,
  type GatewayDocument,
  type TlsFiles,
} from './schema.ts'
import { resolveCheckpoints } from './records/checkpoint-schema.ts'
import { resolveRecords, resolveRotation } from './records/records-schema.ts'
import { resolveTelemetry } from './records/telemetry-schema.ts'
import { issuerConfig } from './issuer-schema.ts'
import { adminConfig, type AdminDocument } from './operators/admin-schema.ts'
import { storeConfig, storeProblems, type StoreConfig, type StoreDocument } from './store-schema.ts'
import { isLoopbackHost } from './values/addresses.ts'
import { readText } from './values/files.ts'
import { checkTls, readAuthorities, readReference, type ReportRead } from './values/named-values.ts'
import { checkConfig, type Report } from './checks.ts'
import { readYaml, type PositionOf } from './yaml/document.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** The resolved configuration: nothing is left to parse or look up. */
export type Config = Awaited<ReturnType<typeof resolveConfig>>

export interface LoadedConfig {
  readonly config: Config
  readonly warnings: readonly Diagnostic[]
  readonly positionOf: PositionOf
  /** Settings of `listen.tls` and `store` whose file or variable is missing here, like `store.secret`. */
  readonly missing: readonly string[]
}

interface LoadConfigOptions {
  /** Changes what was written before the files that it names are read. */
  readonly adapt?: (written: GatewayDocument) => GatewayDocument
  /** A missing file or variable of `listen.tls` and `store`: an error, or a warning for commands that do not need them. */
  readonly missing?: 'refused' | 'reported'
}

/**
 * Loads the configuration. Relative paths are relative to the file. Throws `Refused` with every diagnostic.
 */
export async function loadConfig(
  file: string,
  env: Environment,
  { adapt = (written) => written, missing = 'refused' }: LoadConfigOptions = {},
): Promise<LoadedConfig> {
  const text = await readText(file)
  if ('error' in text) throw new Refused([fileProblem(file, `the configuration cannot be read: ${text.error}`)])
  const result = readYaml({ file, text: text.value, schema: gatewaySchema, holds: 'upstream and issuers', env })
  if (!result.ok) throw new Refused(result.diagnostics)
  const diagnostics: Diagnostic[] = [...result.diagnostics]
  const report: Report = (at, message, severity = 'error') =>
    diagnostics.push({ file, ...result.positionOf(at), severity, message })
  const written = adapt(result.value)
  const absent: string[] = []
  const reportRead: ReportRead = (at, message, outOfReach) => {
    if (outOfReach) absent.push(at.join('.'))
    report(at, message, outOfReach && missing === 'reported' ? 'warning' : 'error')
  }
  const config = await resolveConfig(written, path.resolve(file), env, report, reportRead)
  await checkConfig(config, written, report)
  if (hasErrors(diagnostics)) throw new Refused(diagnostics)
  return { config, warnings: diagnostics, positionOf: result.positionOf, missing: absent }
}

/**
 * Where catalogue and policies are, even when the rest of the configuration is broken, so that their mistakes show
 * together. Unreadable values fall back to the defaults.
 */
export async function outlineOf(
  file: string,
  env: Environment,
): Promise<Pick<Config, 'catalogue' | 'policiesDirectory'>> {
  const read = await readText(file)
  const result = readYaml({ file, text: 'error' in read ? '' : read.value, schema: gatewaySchema, holds: '', env })
  const said = (...at: string[]): string[] => (result.ok ? [] : result.wordsAt(at).map(({ text }) => text))
  const written = result.ok
    ? { ...result.value.catalogue, policies: result.value.policies }
    : {
        stability: said('catalogue', 'stability', '*'),
        files: said('catalogue', 'files', '*'),
        policies: said('policies')[0],
      }
  const absolute = (place: string) => path.resolve(path.dirname(file), place)
  const stability = stabilityClasses.filter((each) => written.stability.includes(each))
  return {
    catalogue: {
      stability: stability.length > 0 ? stability : usualStability,
      files: written.files.map(absolute),
    },
    policiesDirectory: absolute(written.policies ?? usualPolicies),
  }
}

/** Reads what the document names. What cannot be used is reported, and null or empty. */
export async function resolveConfig(
  document: GatewayDocument,
  file: string,
  env: Environment,
  report: Report,
  reportRead: ReportRead,
) {
  const absolute = (written: string) => path.resolve(path.dirname(file), written)
  const { listen, upstream, catalogue, cache, bodies, shutdown } = document
  // Without them a command would trust the system's authorities in place of those that were chosen.
  const refuseRead: ReportRead = (at, message) => report(at, message)
  const records = resolveRecords(document.records, absolute, report)
  const journalFile = absolute(
    document.budgets.journal ??
      (path.isAbsolute(records.audit) ? path.join(path.dirname(records.audit), journalName) : journalName),
  )
  const issuers = await Promise.all(
    document.issuers.map(async (issuer, index) => {
      const { ca } = issuer
      return issuerConfig(
        issuer,
        ca === undefined ? null : await readAuthorities(absolute(ca), ['issuers', index, 'ca'], refuseRead),
      )
    }),
  )
  return {
    /** Absolute path of the file. */
    file,
    filesOfStart: [file, ...filesOfStart(document).map(absolute)],
    /** Files with secrets of the store. */
    secretFiles: storeSecretFiles(document, absolute),
    listen: {
      gateway: listen.gateway,
      admin: listen.admin,
      /** Null: there is none. */
      health: listen.health ?? null,
      tls: await checkTls('tls', listen.tls, absolute, report, reportRead),
      adminTls: await adminTlsOf(listen, absolute, report, reportRead),
      timeouts: {
        headMs: listen.timeouts.head,
        bodyMs: listen.timeouts.body,
        handshakeMs: listen.timeouts.handshake,
      },
      maxConnections: listen.max_connections,
      /** 0: no cap. */
      maxConnectionsPerAddress: listen.max_connections_per_address,
      /** Requests a minute; 0: no bound. */
      maxAnonymous: listen.max_anonymous,
      maxAnonymousPerAddress:
        listen.max_anonymous_per_address ?? Math.min(usualAnonymousPerAddress, listen.max_anonymous || Infinity),
      trustedProxies: listen.trusted_proxies,
    },
    upstream: {
      ...upstream.origin,
      /** PEM text of the authorities to trust instead of the system's, or null. */
      ca:
        upstream.ca === undefined ? null : await readAuthorities(absolute(upstream.ca), ['upstream', 'ca'], refuseRead),
      timeouts: {
        connectMs: upstream.timeouts.connect,
        headersMs: upstream.timeouts.headers,
        bodyIdleMs: upstream.timeouts.body_idle,
      },
      connections: upstream.connections,
      maxWaiting: upstream.max_waiting,
    },
    issuers,
    admin: adminConfig(
      document.admin,
      path.dirname(file),
      await checkAuth(document.admin, absolute, env, report, reportRead),
      issuers,
    ),
    policiesDirectory: absolute(document.policies),
    /** Of the set that is decided beside the one in force; null: there is none. */
    shadowPoliciesDirectory: document.shadow_policies === undefined ? null : absolute(document.shadow_policies),
    keyIdentity: document.key_identity,
    catalogue: { stability: catalogue.stability, files: catalogue.files.map(absolute) },
    cache: { maxBytes: cache.max_size, maxEntryBytes: cache.max_entry_size },
    /** Null: `memory`, nothing is shared. */
    store: document.store === null ? null : await resolveStore(document.store, absolute, env, report, reportRead),
    records,
    /** Null: record files are rotated by others, if at all. */
    recordRotation: resolveRotation(document.records, report),
    /** Null: the audit log is not signed. */
    checkpoints: resolveCheckpoints(document.checkpoints, path.dirname(file), Object.values(records), report),
    /** Null: no traces. */
    telemetry: await resolveTelemetry(document.telemetry, path.dirname(file), report, {
      authorities: (named, at) => readAuthorities(absolute(named), at, refuseRead),
      local: (reference, what, at) => readReference(reference, what, at, absolute, env, report, reportRead),
    }),
    budgets: {
      /** Used where there is no shared store. */
      journalFile,
      pollMs: document.budgets.poll,
      whenUnavailable: document.budgets.when_unavailable,
    },
    /** Blocked callers, beside the journal of budgets; two gateways in one folder have journals of different names. */
    blocksFile: blocksFileBeside(journalFile),
    bodies: { maxBytes: bodies.max_size, maxJudgedBytes: bodies.max_judged_size },
    shutdown: { delayMs: shutdown.delay, deadlineMs: shutdown.deadline },
    log: document.log,
  }
}

/** Files that are read at the start only: a reload leaves what they say as it is. */
function filesOfStart(document: GatewayDocument): readonly string[] {
  const { admin, catalogue, issuers, store, telemetry, upstream } = document
  const authorities = [upstream.ca, ...issuers.map(({ ca }) => ca), admin.auth?.ca, store?.ca, telemetry?.ca]
  const named = [...authorities, store?.password?.file, store?.secret?.file]
  return [...new Set([...catalogue.files, ...named.filter((each) => each !== undefined)])]
}

function storeSecretFiles({ store }: GatewayDocument, absolute: (path: string) => string) {
  return (['password', 'secret'] as const).flatMap((name) => {
    const file = store?.[name]?.file
    return file === undefined ? [] : [{ what: `The file of store.${name}`, file: absolute(file) }]
  })
}

const journalName = 'budgets.journal'

function blocksFileBeside(journal: string): string {
  const name = path.basename(journal, '.journal')
  return path.join(path.dirname(journal), name === 'budgets' ? 'blocks.json' : `${name}.blocks.json`)
}

async function resolveStore(
  written: NonNullable<StoreDocument>,
  absolute: (path: string) => string,
  env: Environment,
  report: Report,
  reportRead: ReportRead,
): Promise<StoreConfig> {
  for (const { at, message } of storeProblems(written)) report(['store', ...at], message)
  const ca = written.ca === undefined ? null : await readAuthorities(absolute(written.ca), ['store', 'ca'], reportRead)
  const read = (what: 'password' | 'secret') =>
    readReference(written[what], what, ['store', what], absolute, env, report, reportRead)
  const secret = await read('secret')
  if (secret !== null && secret !== '' && Buffer.byteLength(secret) < 32)
    report(['store', 'secret'], 'the secret is shorter than 32 characters: openssl rand -base64 32 makes one')
  return storeConfig(written, { ca, password: await read('password'), secret })
}

/** Reads what the sign-in of operators needs. Returns the authorities of its issuer, or null. */
async function checkAuth(
  { auth }: AdminDocument,
  absolute: (path: string) => string,
  env: Environment,
  report: Report,
  reportRead: ReportRead,
): Promise<string | null> {
  const secret = auth?.client_secret
  // Other sources are asked when somebody signs in, as those of keys are asked when they are needed.
  if (secret !== undefined && ('env' in secret || 'file' in secret))
    await readReference(secret, 'client secret', ['admin', 'auth', 'client_secret'], absolute, env, report, reportRead)
  return auth?.ca === undefined ? null : await readAuthorities(absolute(auth.ca), ['admin', 'auth', 'ca'], reportRead)
}

/** On loopback the operators' listener has TLS only with a certificate of its own. */
async function adminTlsOf(
  listen: GatewayDocument['listen'],
  absolute: (path: string) => string,
  report: Report,
  reportRead: ReportRead,
): Promise<TlsFiles | null> {
  const own = await checkTls('admin_tls', listen.admin_tls, absolute, report, reportRead)
  if (own !== null || listen.tls === undefined || isLoopbackHost(listen.admin.host)) return own
  return { certFile: absolute(listen.tls.cert), keyFile: absolute(listen.tls.key) }
}
