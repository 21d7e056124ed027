// The core that every other part needs: catalogue, policies, keys, records, metrics, tokens.

import { loadCatalogue } from '../catalogue/load.ts'
import { formatDiagnostic } from '../config/diagnostics.ts'
import type { Config } from '../config/load.ts'
import { rememberFiles } from '../config/values/files.ts'
import type { SecretReference } from '../config/secret-schema.ts'
import { operatorsRefusals } from '../admin/access/connection-cap.ts'
import { connectionRefusals } from '../gateway/listener/caps.ts'
import { connectionCuts } from '../gateway/listener/connections.ts'
import { createLeakGuard } from '../gateway/responses/leak-guard.ts'
import { exchangeReasons } from '../gateway/recording/recorder.ts'
import { idempotencyEvents } from '../idempotency/idempotency-service.ts'
import { rejectionReasons } from '../identity/rejection.ts'
import { createTokenVerifier } from '../identity/token-verifier.ts'
import { createKeyring } from '../keys/keyring.ts'
import { readPlainSecret, type SecretSources } from '../keys/reading.ts'
import { refreshMsOf } from '../keys/reading-times.ts'
import { createRemoteSources } from '../keys/sources/open.ts'
import type { SecretSource, SourceFault } from '../keys/sources/source.ts'
import { createInstruments } from '../metrics/instruments.ts'
import { decisionReasons } from '../policy/decision/decide.ts'
import { keyFindingKinds } from '../policy/key-report/findings.ts'
import { watchedPolicyFiles } from '../policy/loading/folder.ts'
import { problemKinds } from '../problem-kinds.ts'
import type { Log } from '../records/log.ts'
import { RecentDecisions } from '../records/search/recent-decisions.ts'
import { createSinks, type SinksOptions, type AuditTarget } from '../records/sinks.ts'
import type { CheckpointsHandle } from '../records/checkpoints/checkpoints.ts'
import { createShadowDecisions } from '../gateway/shadow/shadow-decisions.ts'
import { openCheckpoints } from './audit/checkpoints.ts'
import type { OpenAccess } from './access/open-access.ts'
import type { FilePace } from './file-watcher.ts'
import { createLivePolicies, loadFirstPolicies } from './live-policies.ts'
import { createPolicyLoader } from './policies/loader.ts'
import { openShadowPolicies } from './policies/shadow-policies.ts'

export interface GatewayOptions {
  readonly config: Config
  readonly env: Readonly<Record<string, string | undefined>>
  readonly log: Log
  /** Milliseconds since the epoch. */
  readonly now?: () => number
  /** Milliseconds by a clock that nobody sets. */
  readonly monotonic?: () => number
  readonly version: string
  /** Sources of the keys by their ids, in place of what the inventory says; for the sandbox. */
  readonly keySource?: (id: string) => SecretSource
  /** No other instance uses these keys; for the sandbox. */
  readonly isAlone?: boolean
  /** Reads the delay of the event loop in milliseconds; null where there is no reading. By default it is measured. */
  readonly eventLoopDelay?: () => number | null
  /** Called once everything is loaded, before the first connection. */
  readonly beforeListening?: () => Promise<void>
  /** How often policy files are looked at and records are written, where not as usual. */
  readonly pace?: { readonly files?: FilePace | undefined; readonly records: NonNullable<SinksOptions['pace']> }
  /** One of several workers: another process writes the audit log. */
  readonly auditElsewhere?: AuditTarget & { readonly checkpoints: CheckpointsHandle }
  /** The way into the operators' listener, in place of what the configuration says; for workers. */
  readonly access?: OpenAccess
}

/** Creates the core. Throws `Refused` with every diagnostic when policies, catalogue or secrets cannot be used. */
export async function createCore(options: GatewayOptions) {
  const { config, env, log, version } = options
  const now = options.now ?? Date.now
  const monotonic = options.monotonic ?? ((): number => performance.now())
  const changedFiles = await rememberFiles(config.filesOfStart)
  const loadedCatalogue = await loadCatalogue(config.catalogue)
  const { catalogue, diagnostics } = loadedCatalogue
  for (const diagnostic of diagnostics) log.warn({ event: 'catalogue-warning' }, formatDiagnostic(diagnostic))
  const guard = createLeakGuard()
  const secretFiles = new Set<string>()
  const remote = createRemoteSources({ env, monotonic })
  const sources: SecretSources = {
    env,
    origin: config.upstream.origin,
    given: options.keySource,
    remote,
    isKnown: (handle) => keyring.isKnown(handle),
    protect: (value: string) => guard.protect(value),
    noteFile: (file: string) => secretFiles.add(file),
  }
  const keyring = createKeyring({
    sources,
    now,
    monotonic,
    onChange(event, handle, keyVersion) {
      if (event !== 'key-version') instruments.keyRejected(handle.id)
      const level = event === 'key-version' ? 'info' : 'error'
      log[level]({ event, key: handle.id, version: keyVersion }, keyEventText[event])
      void sinks.audit(event, 'gateway', { key: handle.id, version: keyVersion })
    },
    onSource(handle, fault, hasValue) {
      const about = { event: 'key-source', key: handle.id }
      if (fault === null) log.info(about, "the key's source can be read again")
      else log.error({ ...about, fault: fault.kind, has_value: hasValue }, sourceFaultText(fault, hasValue))
    },
  })
  const directory = config.policiesDirectory
  const loader = createPolicyLoader({
    directory,
    config,
    catalogue: loadedCatalogue,
    sources,
    secrets: 'required',
    log,
    now,
  })
  const watched = {
    files: () => watchedPolicyFiles(directory),
    pace: options.pace?.files,
    found: secretFiles,
    read: loader.load,
  }
  const first = await loadFirstPolicies({ directory, watched: { ...watched, read: loader.loadFirst } })

  const instruments = createInstruments({
    operations: catalogue.operations.map((operation) => operation.id),
    problemKinds: Object.keys(problemKinds),
    reasons: [...Object.keys(problemKinds), ...decisionReasons, ...rejectionReasons, ...exchangeReasons],
    issuers: config.issuers.map((issuer) => issuer.issuer),
    keyFindings: keyFindingKinds,
    idempotencyEvents,
    connectionRefusals: [...connectionRefusals, ...operatorsRefusals],
    connectionCuts,
  })
  const sinks = createSinks({
    ...config.records,
    rotation: config.recordRotation,
    ...(options.pace === undefined ? {} : { pace: options.pace.records }),
    ...(options.auditElsewhere === undefined ? {} : { auditElsewhere: options.auditElsewhere }),
    onTrouble: (stream, text) => log.error({ event: 'records', stream }, text),
    nowMs: now,
  })
  const policies = createLivePolicies(first, {
    directory,
    watched,
    loader,
    keyring,
    sinks,
    instruments,
    log,
    now,
  })
  const shadow = config.shadowPoliciesDirectory === null ? null : await openShadow(config.shadowPoliciesDirectory)
  async function openShadow(directory: string) {
    const set = await openShadowPolicies({ directory, config, catalogue: loadedCatalogue, instruments, log, now })
    const decisions = createShadowDecisions({
      shadow: () => set.current,
      inForce: () => policies.current,
      meter: instruments,
      now,
      monotonic,
      maxJudgedBytes: config.bodies.maxJudgedBytes,
      onDefect: (error) =>
        log.error({ event: 'defect', error }, "deciding under the shadow set failed for a reason of the gateway's own"),
    })
    return { set, decisions }
  }
  // The process that writes the log signs its head.
  const ownCheckpoints =
    options.auditElsewhere === undefined
      ? await openCheckpoints({ config, env, log, now, head: sinks.durableAuditHead }).catch(async (error: unknown) => {
          policies.close()
          await sinks.close()
          throw error
        })
      : null
  const tokens = createTokenVerifier({
    issuers: config.issuers,
    now,
    monotonic,
    log,
    onVerified: instruments.tokenVerified,
  })
  return {
    config,
    /** Names the files that are read at the start only and have changed since. */
    changedFiles,
    log,
    version,
    now,
    /** Null: it is measured. */
    eventLoopDelay: options.eventLoopDelay ?? null,
    /** For durations, which must not jump when the wall clock is set. */
    monotonic,
    catalogue,
    guard,
    instruments,
    sinks,
    /** Signed heads of the audit log; null where none are configured. */
    checkpoints: options.auditElsewhere?.checkpoints ?? ownCheckpoints,
    /** The last checkpoint, and the end of them; after the records are closed. */
    closeCheckpoints: async (): Promise<void> => await ownCheckpoints?.close(),
    recent: new RecentDecisions(),
    keyring,
    /** No other instance uses these keys. */
    isAlone: options.isAlone ?? false,
    /** Where the values of keys are kept. */
    secretSources: sources,
    /** A header field for the collector of traces, whose value is kept there, too. */
    fieldOf: (name: string, reference: SecretReference) => ({
      name,
      read: () => readPlainSecret(reference, `header field ${name}`, { env, remote }),
      everyMs: refreshMsOf(reference) ?? fileReadAgainMs,
    }),
    policies,
    /** The shadow set and what it decides; null without one. */
    shadow,
    tokens,
  }
}

/** A file with a header field is read again after so long. */
const fileReadAgainMs = 1_000

export type Core = Awaited<ReturnType<typeof createCore>>

const keyEventText = {
  'key-version': 'a new value of the key is in use',
  'key-rejected': 'the upstream rejected the key; its secret was read again and has not changed',
  'key-set-aside':
    'the upstream rejected the key three times in a row; it is set aside and no stronger key takes its place',
} as const

function sourceFaultText({ message }: SourceFault, hasValue: boolean): string {
  const then = hasValue
    ? 'the value that is known stays in use, and the source is asked again'
    : 'calls that need the key are refused with 503, and the source is asked again'
  return `${message}; ${then}`
}
