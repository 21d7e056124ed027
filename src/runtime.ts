// The composition root: builds every part once, in order, starts it and stops it. Read it from top to bottom.

import { setTimeout } from 'node:timers/promises'
import { prepareConsole } from './admin/console/pages.ts'
import { createGatewayApp } from './gateway/app.ts'
import { createDevinUsers } from './gateway/devin-users.ts'
import { createRecorder } from './gateway/recording/recorder.ts'
import { createStages } from './gateway/stages/list.ts'
import { watchExpiry } from './keys/expiry.ts'
import { createLocalLimiter } from './limits/local/local-limiter.ts'
import type { PolicySet } from './policy/model/policy-set.ts'
import { openBlocks } from './runtime/blocks.ts'
import { openAccess } from './runtime/access/open-access.ts'
import { openCertificates } from './runtime/certificate.ts'
import { openCopies } from './runtime/keys/copies.ts'
import { openIdentities } from './runtime/keys/identities.ts'
import { createCore, type GatewayOptions } from './runtime/core.ts'
import { openRotations } from './runtime/keys/rotations.ts'
import { listenProblem } from './runtime/listen-problem.ts'
import { listenerOf } from './runtime/listener.ts'
import { createOperators } from './runtime/operators/operators.ts'
import { watchOverload } from './runtime/overload.ts'
import { openSharedState } from './runtime/shared-state.ts'
import { openUpstream } from './runtime/upstream.ts'
import { reportChanges } from './store/report.ts'
import { openTelemetry } from './telemetry/open.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

/** How long a start waits for the caches of the other instances; without them this one keeps answers shortly. */
const joinMs = 1_000

/** Starts a gateway. Throws `Refused` with every diagnostic when policies, catalogue or secrets cannot be used. */
export async function startGateway(options: GatewayOptions) {
  const core = await createCore(options)
  const {
    config,
    instruments,
    keyring,
    log,
    monotonic,
    now,
    policies,
    recent,
    shadow,
    secretSources,
    sinks,
    tokens,
    version,
  } = core
  const certificates = await openCertificates(core)
  const telemetry = await openTelemetry(core)
  // Watching begins here, because a change during the rest of the start would be missed.
  policies.watch()
  shadow?.set.watch()
  const { upstream, ownCalls, bodies, turns } = openUpstream(core)
  const identities = openIdentities(core, ownCalls)
  const shared = await openSharedState(core, ownCalls)
  const { budgets, budgeting, cache, limiter, idempotency, idempotentCreateMs, sharedLimiter, store } = shared
  const copies = openCopies(core, identities, ownCalls, store, store !== null || options.auditElsewhere === undefined)
  const blocks = openBlocks(core, store)
  const overloadWatch = watchOverload(core)
  const { overload } = overloadWatch
  const devinUsers = createDevinUsers({ calls: ownCalls, monotonic })
  const attempts = createLocalLimiter({ now, monotonic })
  const stages = createStages({
    overload,
    tokens,
    blocks,
    keyring,
    devinUsers,
    limiter,
    attempts,
    budgeting,
    cache,
    idempotency,
    idempotentCreateMs,
    now,
    monotonic,
    upstream,
    maxBodyBytes: config.bodies.maxBytes,
    bodies,
    turns,
  })
  const app = await createGatewayApp({
    stages,
    ownPages: {
      devinUsers,
      limiter,
      attempts,
      budgeting,
      keyState: (key) => keyring.stateOf(key),
      blocks: blocks.list,
      now,
    },
    recorder: createRecorder(copies.noting(sinks), instruments, now, monotonic, recent),
    shadow: shadow?.decisions ?? null,
    tracing: telemetry?.tracing ?? null,
    policy: blocks.policy,
    now: monotonic,
    onDefect: (context, problem) => {
      if (problem.kind === 'internal')
        log.error(
          { event: 'defect', decision_id: context.decisionId, error: problem.cause },
          "a request failed for a reason of the gateway's own",
        )
      else if (problem.reason === 'answer-shape-unknown')
        log.error(
          { event: 'answer-refused', decision_id: context.decisionId, operation: context.operation?.id },
          problem.message,
        )
    },
    listener: listenerOf(core, certificates.gateway),
    callerIdleMs: config.upstream.timeouts.bodyIdleMs,
    isRemembered: (credentials) => tokens.isRemembered(credentials),
    upstreamOrigin: config.upstream.origin,
  })

  const lifecycle = { draining: false }
  const rotations = openRotations(core, ownCalls, upstream, app, store)
  const access = options.access ?? openAccess({ ...core, env: options.env })
  const operators = createOperators({
    core,
    shares: shared,
    upstream,
    app,
    certificates,
    access,
    overload,
    blocks,
    identities,
    copies,
    rotations,
    lifecycle,
  })
  const { admin, health, readiness, reload } = operators
  blocks.cutBy(app.refuse)

  void sinks.audit('started', 'gateway', {
    version,
    policy_revision: policies.current.revision,
    keys: policies.current.keys.map((handle) => handle.id),
  })
  // An issuer that cannot be reached keeps the instance from being ready, not from starting.
  void tokens.start()
  void access.start()
  if (store !== null) await reportChanges(store, log)
  await store?.membership.joined(joinMs)
  const expiry = watchExpiry(
    () => policies.current.keys,
    now,
    ({ id }, text) => log.warn({ event: 'key-expiry', key: id }, text),
  )
  const refreshing = setInterval(() => keyring.refreshDue(), 250).unref()
  /** Runs after a failed start, too, so that the audit log says how each start ended. */
  const release = async (): Promise<void> => {
    void sinks.audit('stopped', 'gateway', { policy_revision: policies.current.revision })
    policies.close()
    shadow?.set.close()
    shadow?.decisions.close()
    expiry.stop()
    await rotations.close()
    clearInterval(refreshing)
    identities.close()
    copies.close()
    certificates.stop()
    overloadWatch.stop()
    tokens.close()
    await budgets.close()
    await blocks.close()
    await upstream.close()
    await within(1_000, idempotency.whenIdle())
    await sharedLimiter?.close()
    await store?.close()
    operators.close()
    await Promise.all([admin.close(), health?.close()])
    await access.close()
    await secretSources.remote?.close()
    await telemetry?.close()
    await sinks.close()
    await core.closeCheckpoints()
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
  await Promise.all([blocks.start(), budgets.start()]).catch(async (error: unknown) => {
    await app.close(0)
    await release()
    throw error
  })
  await options.beforeListening?.()
  const adminAddress = await listen('admin', config.listen.admin, () =>
    admin.listen(config.listen.admin.host, config.listen.admin.port),
  )
  const { health: healthAt } = config.listen
  const healthAddress =
    health === null || healthAt === null
      ? null
      : await listen('health', healthAt, () => health.listen(healthAt.host, healthAt.port))
  const gatewayAddress = await listen('gateway', config.listen.gateway, () =>
    app.listen(config.listen.gateway.host, config.listen.gateway.port),
  )
  // The parent of workers serves these files for them.
  if (options.access === undefined) void prepareConsole()
  identities.start()
  copies.look()
  await rotations.start()
  log.info(
    // The operational log notes the head of the audit chain: a truncated audit file does not match it.
    {
      event: 'started',
      gateway: gatewayAddress,
      admin: adminAddress,
      ...(healthAddress === null ? {} : { health: healthAddress }),
      revision: policies.current.revision,
      version,
      audit_head: sinks.auditHead().hash,
    },
    'listening',
  )

  const drain = async (): Promise<void> => {
    lifecycle.draining = true
    log.info(
      { event: 'draining', in_flight: app.inFlight },
      'shutting down: requests under way finish, new ones go elsewhere',
    )
    // Load balancers need a moment to see that readiness fails; until then requests are served and connections
    // closed.
    app.setPhase('closing-connections')
    await setTimeout(config.shutdown.delayMs)
    app.setPhase('draining')
    // A create whose caller has left continues until its answer is stored.
    await Promise.all([
      app.close(config.shutdown.deadlineMs),
      within(config.shutdown.deadlineMs, idempotency.whenIdle()),
    ])
    await release()
    log.info({ event: 'stopped', audit_head: sinks.auditHead().hash }, 'stopped')
  }
  let drained: Promise<void> | null = null

  return {
    /** Where the callers' and the operators' listener are bound, and that of health alone; null where there is none. */
    gateway: gatewayAddress,
    admin: adminAddress,
    health: healthAddress,
    /** Its name among the instances that share the store; null without one. */
    instance: store?.instance ?? null,
    /** Another instance has certainly ended: stop waiting for its acknowledgements. */
    instanceEnded: (instance: string): void => void store?.membership.remove(instance),
    readiness,
    /** The policies in force. */
    policy: (): PolicySet => policies.current,
    /** Reads policies, secrets and certificate again and reopens the record files. */
    reload,
    /** Lets requests under way finish, sends new ones elsewhere, writes what is unwritten, and stops. */
    drain: (): Promise<void> => (drained ??= drain()),
    /** Cuts requests under way, and resolves when all are recorded; what is unwritten is written as the process exits. */
    cut: (): Promise<void> => app.cut(),
  }
}

export type Gateway = Awaited<ReturnType<typeof startGateway>>

/** Waits for work, at most this long. */
async function within(deadlineMs: number, work: Promise<void>): Promise<void> {
  const deadline = new AbortController()
  await Promise.race([work, setTimeout(deadlineMs, undefined, { signal: deadline.signal }).catch(() => {})])
  deadline.abort()
}
