// The composition root: builds every part once, in order, and hands each what it needs. Read it from top to bottom.

import { randomBytes } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { createAdminApp, type Readiness } from './admin/app.ts'
import { cacheView, issuerView, keyView, policiesView, storeView } from './admin/views.ts'
import { createResponseCache } from './cache/response-cache.ts'
import { createGroup } from './cache/shared/group.ts'
import { noteOf, reportStanding } from './cache/shared/report.ts'
import { createSealedAnswers } from './cache/shared/sealed-answers.ts'
import { organizationTag, resourceTag } from './cache/tags.ts'
import { loadCatalogue } from './catalogue/load.ts'
import { formatDiagnostic } from './config/diagnostics.ts'
import type { Config } from './config/schema.ts'
import { createJournalBook } from './budgets/journal-book.ts'
import { keepBudgets } from './budgets/keep.ts'
import { createSharedBook } from './budgets/shared-book.ts'
import { budgetView, type BudgetView } from './budgets/standing.ts'
import { certificateFaults } from './config/text-files.ts'
import { createAdmission } from './gateway/admission.ts'
import { createGatewayApp } from './gateway/app.ts'
import { createBudgeting } from './gateway/budgeting.ts'
import { createDevinUsers } from './gateway/devin-users.ts'
import { createUpstream } from './gateway/forwarding.ts'
import { createLeakGuard } from './gateway/leak-guard.ts'
import { createOwnCalls } from './gateway/own-calls.ts'
import { createRecorder, exchangeReasons } from './gateway/recording.ts'
import { createSessionReader } from './gateway/session-reader.ts'
import { rejectionReasons } from './identity/rejection.ts'
import { createTokenVerifier } from './identity/token-verifier.ts'
import { watchExpiry } from './keys/expiry.ts'
import { createKeyring } from './keys/keyring.ts'
import { createMemoryEntries } from './idempotency/memory-entries.ts'
import { createSafeCreates, idempotencyEvents } from './idempotency/safe-creates.ts'
import { createSharedEntries } from './idempotency/shared-entries.ts'
import { createLimiter } from './limits/limiter.ts'
import { createSharedLimiter } from './limits/shared-limiter.ts'
import { createInstruments } from './metrics/instruments.ts'
import { decisionReasons } from './policy/decide.ts'
import { loadPolicies, type LoadedPolicies } from './policy/load.ts'
import { problemKinds } from './problems.ts'
import type { Log } from './records/log.ts'
import { createSinks, type AuditTarget } from './records/sinks.ts'
import { reportChanges } from './store/report.ts'
import { createSealing } from './store/sealing.ts'
import { createHotPolicies } from './hot-policies.ts'
import type { ReloadResult } from './reload.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

export interface Gateway {
  /** Where the callers' and the operators' listener are bound. */
  readonly gateway: Address
  readonly admin: Address
  readiness(): Readiness
  /** Reads policies, secrets and certificate again and reopens the record files. */
  reload(actor: string): Promise<ReloadResult>
  /** Lets requests under way finish, sends new ones elsewhere, writes what is unwritten, and stops. */
  drain(): Promise<void>
}

export interface GatewayOptions {
  readonly config: Config
  readonly env: Readonly<Record<string, string | undefined>>
  readonly log: Log
  /** Milliseconds since the epoch. */
  readonly now?: () => number
  readonly version: string
  /** One of several workers: another process writes the audit log. */
  readonly auditElsewhere?: AuditTarget
}

/** How long a start waits for the caches of the other instances; without them this one keeps answers shortly. */
const joinMs = 1_000

/** Starts a gateway. Throws `Refused` with every diagnostic when policies, catalogue or secrets cannot be used. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { config, env, log, version } = options
  const now = options.now ?? Date.now

  // Durations must not jump when the wall clock is set.
  const monotonic = (): number => performance.now()

  const { catalogue, diagnostics } = await loadCatalogue(config.catalogue)
  for (const diagnostic of diagnostics) log.warn({ event: 'catalogue-warning' }, formatDiagnostic(diagnostic))
  const guard = createLeakGuard()
  const secretFiles = new Set<string>()
  const sources = {
    env,
    origin: config.upstream.origin,
    protect: (value: string) => guard.protect(value),
    noteFile: (file: string) => secretFiles.add(file),
  }
  const load = (): Promise<LoadedPolicies> =>
    loadPolicies({ directory: config.policiesDirectory, catalogue, sources, secrets: 'required', now })
  const loaded = await load()

  const instruments = createInstruments({
    operations: catalogue.operations.map((operation) => operation.id),
    problemKinds: Object.keys(problemKinds),
    reasons: [...Object.keys(problemKinds), ...decisionReasons, ...rejectionReasons, ...exchangeReasons],
    issuers: config.issuers.map((issuer) => issuer.issuer),
    idempotencyEvents,
  })
  const sinks = createSinks({
    ...config.records,
    ...(options.auditElsewhere === undefined ? {} : { auditElsewhere: options.auditElsewhere }),
    onTrouble: (stream, text) => log.error({ event: 'records', stream }, text),
    nowMs: now,
  })
  const keyring = createKeyring({
    sources,
    now,
    onChange(event, handle, keyVersion) {
      if (event !== 'key-version') instruments.keyRejected(handle.id)
      const level = event === 'key-version' ? 'info' : 'error'
      log[level]({ event, key: handle.id, version: keyVersion }, keyEventText[event])
      sinks.audit(event, 'gateway', { key: handle.id, version: keyVersion })
    },
  })
  const policies = createHotPolicies(loaded, {
    directory: config.policiesDirectory,
    secretFiles,
    load,
    keyring,
    sinks,
    instruments,
    log,
    now,
  })
  const tokens = createTokenVerifier({ issuers: config.issuers, now, log, onVerified: instruments.tokenVerified })
  const upstream = createUpstream({
    settings: config.upstream,
    maxBodyBytes: config.bodies.maxBytes,
    guard,
    events: {
      now: monotonic,
      accepted: (keyVersion) => keyring.accepted(keyVersion),
      rejected: (keyVersion) => keyring.rejected(keyVersion),
      throttled(keyVersion, waitMs) {
        instruments.upstreamThrottled(keyVersion.handle.id)
        log.warn(
          { event: 'upstream-throttled', key: keyVersion.handle.id, wait_ms: waitMs },
          'the upstream has had too many requests with this key and asked to wait',
        )
      },
      leaked(exchange) {
        instruments.leakMasked()
        log.error(
          { event: 'key-in-answer', decision_id: exchange.decisionId, operation: exchange.operation?.id },
          "the upstream's answer held one of the gateway's keys; it was masked",
        )
      },
      trouble: (exchange, error) =>
        log.warn({ event: 'upstream', decision_id: exchange.decisionId, error }, 'the upstream failed'),
    },
    onHeld: instruments.held,
  })
  // Its library is loaded only where there is a store.
  const store =
    config.store === null ? null : (await import('./store/client.ts')).createStore({ settings: config.store, now })
  const sharedLimiter =
    store === null || config.store === null
      ? null
      : createSharedLimiter({ store, now, budgetsWhenAway: config.store.budgetsWhenAway })
  const limiter = sharedLimiter ?? createLimiter()
  const ownCalls = createOwnCalls({
    policy: () => policies.current,
    keyring,
    upstream,
    onTrouble: (operation, error) =>
      log.warn({ event: 'own-call', operation, error }, "a read of the gateway's own failed"),
  })
  const budgets = keepBudgets({
    book:
      store === null
        ? createJournalBook({
            file: config.budgets.journalFile,
            now,
            onTrouble: (text) => log.error({ event: 'budgets' }, text),
          })
        : createSharedBook(store),
    sessions: createSessionReader(ownCalls),
    inForce: () => policies.current.budgets,
    now,
    pollMs: config.budgets.pollMs,
    log,
  })
  const budgeting = createBudgeting({
    budgets,
    now,
    whenUnavailable: config.budgets.whenUnavailable,
    onResult: (result) => instruments.budgetRequest(result),
  })
  const showBudgets = async (): Promise<readonly BudgetView[] | null> => {
    const standings = await budgeting.standings([...policies.current.budgets.shared.values()])
    return standings?.map((standing) => budgetView(standing, now())) ?? null
  }
  const group =
    store === null ? null : createGroup({ store, monotonic, now, onChange: (state) => reportStanding(log, state) })
  const upstreamBase = config.upstream.origin + config.upstream.pathPrefix
  const secret = config.store?.secret?.() ?? null
  const secondLevel =
    store === null || group === null || secret === null || !config.cache.shared
      ? null
      : createSealedAnswers({ store, group, sealing: createSealing(secret, 'cache'), now, upstreamBase })
  const { maxBytes, maxEntryBytes } = config.cache
  const cache = createResponseCache({ now, maxBytes, maxEntryBytes, upstreamBase, peers: group, secondLevel })
  const { connectMs, headersMs, bodyIdleMs } = config.upstream.timeouts
  const safeCreateMs = connectMs + headersMs + bodyIdleMs
  const keyMemory = createMemoryEntries({ now, maxBytes: 64 * 1024 * 1024, maxEntries: 100_000 })
  const safeCreates = createSafeCreates({
    store: store === null ? keyMemory : createSharedEntries(store),
    // Without a secret, sealed entries of the store are as safe as callers and keys are hard to guess.
    secret: store === null ? randomBytes(32) : (secret ?? Buffer.alloc(32)),
    now,
    keepMs: 24 * 3_600_000,
    maxRunMs: safeCreateMs + 1_000,
    onEvent: (event) => instruments.idempotencyEvent(event),
    onTrouble: (text, error) => log.error({ event: 'idempotency', error }, text),
  })
  const admission = createAdmission({
    tokens,
    keyring,
    devinUsers: createDevinUsers({ calls: ownCalls, now }),
    limiter,
    budgeting,
    cache,
    safeCreates,
    safeCreateMs,
    now,
    upstream,
    maxBodyBytes: config.bodies.maxBytes,
    maxJudgedBytes: config.bodies.maxJudgedBytes,
    callerIdleMs: bodyIdleMs,
    onFail: (exchange, response, problem) => app.refuse(exchange, response, problem),
  })
  const recorder = createRecorder(sinks, instruments, now, monotonic)
  const app = await createGatewayApp({
    admission,
    recorder,
    policy: () => policies.current,
    now: monotonic,
    onDefect: (exchange, problem) => {
      if (problem.kind === 'internal')
        log.error(
          { event: 'defect', decision_id: exchange.decisionId, error: problem.cause },
          "a request failed for a reason of the gateway's own",
        )
      else if (problem.reason === 'answer-shape-unknown')
        log.error(
          { event: 'answer-refused', decision_id: exchange.decisionId, operation: exchange.operation?.id },
          problem.message,
        )
    },
    tls: config.listen.tls,
    upstreamOrigin: config.upstream.origin,
  })

  let draining = false
  function readiness(): Readiness {
    const reasons = [
      ...(draining ? ['the instance is shutting down'] : []),
      ...tokens
        .status()
        .filter((issuer) => issuer.keys === 0)
        .map((issuer) => `no signing keys of issuer ${issuer.issuer} yet: ${issuer.lastError ?? 'being fetched'}`),
      ...(sinks.auditHealthy() ? [] : ['the audit log cannot be written; changes are refused until it can']),
    ]
    // An instance serves without the store as well: taking it out of service would help nobody.
    const notes = [
      store?.away === true ? `the shared store is away: ${store.state.reason}` : null,
      group === null ? null : noteOf(group.state),
    ].filter((note) => note !== null)
    return { ready: reasons.length === 0, reasons, ...(notes.length > 0 ? { notes } : {}) }
  }

  const admin = createAdminApp({
    readiness,
    metrics: instruments,
    keys: () => keyring.status().map(keyView),
    budgets: showBudgets,
    purge: async (what, actor) => {
      const { dropped, instances, silent, reached } = await cache.invalidate([
        'organization' in what ? organizationTag(what.organization) : resourceTag(what.resource),
      ])
      const purged = { dropped, instances, silent, everywhere: reached }
      sinks.audit('cache-purged', actor, { ...what, ...purged })
      return purged
    },
    reload: async (actor) => {
      const { result, certificate } = await renew(actor)
      const refused = result === 'refused' || result === 'deferred'
      return {
        result,
        ...(config.listen.tls === null ? {} : { certificate: certificate.length === 0 ? 'read' : 'kept' }),
        diagnostics: [...(refused ? (policies.refusal?.diagnostics ?? []) : []), ...certificate],
      }
    },
    status: () => ({
      version,
      ready: readiness(),
      draining,
      in_flight: app.inFlight,
      policies: policiesView(policies),
      catalogue: {
        operations: catalogue.operations.length,
        served: catalogue.operations.filter((operation) => catalogue.isServed(operation)).length,
      },
      issuers: tokens.status().map(issuerView),
      records: sinks.health(),
      store: storeView(store?.state ?? null),
      cache: cacheView(cache.stats(), group?.state ?? null),
      upstream: { origin: config.upstream.origin, in_flight: upstream.inFlight, waiting: upstream.waiting },
    }),
  })

  async function reload(actor: string): Promise<ReloadResult> {
    return (await renew(actor)).result
  }

  /** `certificate`: why the one before stays in use; empty when it does not, or there is none. */
  async function renew(actor: string): Promise<{ result: ReloadResult; certificate: readonly string[] }> {
    sinks.reopen()
    const faults = config.listen.tls === null ? [] : await certificateFaults(config.listen.tls)
    const certificate = faults.map(({ part, message }) => `listen.tls.${part}: ${message}`)
    if (certificate.length === 0) app.reloadCertificate()
    else {
      const text = 'the certificate could not be read again; the one before stays in use'
      log.error({ event: 'certificate', diagnostics: certificate }, text)
    }
    return { result: await policies.reload(actor), certificate }
  }

  instruments.beforeScrape(async () => {
    instruments.draining(draining)
    instruments.waiting(upstream.waiting)
    instruments.keyStates(
      keyring.status().map(({ handle, state }) => ({ key: handle.id, state, expiresAtMs: handle.expiresAtMs })),
    )
    for (const issuer of tokens.status()) instruments.jwksKeys(issuer.issuer, issuer.keys)
    for (const { stream, lost } of sinks.health()) instruments.recordsLost(stream, lost)
    instruments.cache(cache.stats())
    if (store !== null) instruments.store(store.state)
    if (group !== null) instruments.cacheGroup({ ...group.state, secondLevel: secondLevel?.counts ?? null })
    instruments.idempotencyBytes(keyMemory.bytes)
    instruments.budgets(await showBudgets())
  })
  sinks.audit('started', 'gateway', {
    version,
    policy_revision: policies.current.revision,
    keys: policies.current.keys.map((handle) => handle.id),
  })
  // An issuer that cannot be reached keeps the instance from being ready, not from starting.
  void tokens.start()
  if (store !== null) await reportChanges(store, log)
  await group?.joined(joinMs)
  await policies.watch()
  const expiry = watchExpiry(
    () => policies.current.keys,
    now,
    ({ id }, text) => log.warn({ event: 'key-expiry', key: id }, text),
  )
  const release = async (): Promise<void> => {
    policies.close()
    expiry.stop()
    tokens.close()
    await budgets.close()
    await upstream.close()
    await within(1_000, safeCreates.whenIdle())
    await group?.close()
    sharedLimiter?.close()
    await store?.close()
    await admin.close()
    await sinks.close()
  }
  const listen = async (
    name: string,
    { host, port }: { host: string; port: number },
    bind: () => Promise<Address>,
  ): Promise<Address> => {
    try {
      return await bind()
    } catch (error) {
      await app.close(0)
      await release()
      throw new Error(listenProblem(name, host, port, error), { cause: error })
    }
  }
  await budgets.start().catch(async (error: unknown) => {
    await app.close(0)
    await release()
    throw error
  })
  const adminAddress = await listen('admin', config.listen.admin, () =>
    admin.listen(config.listen.admin.host, config.listen.admin.port),
  )
  const gatewayAddress = await listen('gateway', config.listen.gateway, () =>
    app.listen(config.listen.gateway.host, config.listen.gateway.port),
  )
  log.info(
    // The head of the audit chain, noted where the owner of its file may not reach: a log cut short shows against it.
    {
      event: 'started',
      gateway: gatewayAddress,
      admin: adminAddress,
      revision: policies.current.revision,
      version,
      audit_head: sinks.auditHead().hash,
    },
    'listening',
  )

  return {
    gateway: gatewayAddress,
    admin: adminAddress,
    readiness,
    reload,
    async drain() {
      if (draining) return
      draining = true
      log.info(
        { event: 'draining', in_flight: app.inFlight },
        'shutting down: requests under way finish, new ones go elsewhere',
      )
      // Balancers need a moment to see that readiness fails; until then everything is served and connections are closed.
      app.setPhase('lame')
      await setTimeout(config.shutdown.delayMs)
      app.setPhase('draining')
      // A create whose caller has left goes on until its answer is kept.
      await Promise.all([
        app.close(config.shutdown.deadlineMs),
        within(config.shutdown.deadlineMs, safeCreates.whenIdle()),
      ])
      sinks.audit('stopped', 'gateway', { policy_revision: policies.current.revision })
      const auditHead = sinks.auditHead().hash
      await release()
      log.info({ event: 'stopped', audit_head: auditHead }, 'stopped')
    },
  }
}

/** Waits for work, at most this long. */
async function within(deadlineMs: number, work: Promise<void>): Promise<void> {
  const deadline = new AbortController()
  await Promise.race([work, setTimeout(deadlineMs, undefined, { signal: deadline.signal }).catch(() => {})])
  deadline.abort()
}

/** Why an address cannot be had, as a sentence. */
export function listenProblem(name: string, host: string, port: number, error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const why =
    code === 'EADDRINUSE'
      ? 'another process uses the port; stop it or choose another one'
      : code === 'EACCES'
        ? 'this user may not use the port'
        : `it failed with ${code || 'an unknown error'}`
  return `listen.${name}: cannot listen on ${host}:${port}: ${why}`
}

const keyEventText = {
  'key-version': 'a new value of the key is in use',
  'key-rejected': 'the upstream rejected the key; its secret was read again and has not changed',
  'key-set-aside':
    'the upstream rejected the key three times in a row; it is set aside and no stronger key takes its place',
} as const
