// `start`: the production process. SIGTERM and SIGINT drain, SIGHUP reloads. With several workers this process is their
// parent, and each of them runs the same command again with a number.

import { randomBytes } from 'node:crypto'
import { Session } from 'node:inspector/promises'
import { availableParallelism } from 'node:os'
import { setFlagsFromString } from 'node:v8'
import { formatDiagnostic, Refused } from '../../config/diagnostics.ts'
import type { Config } from '../../config/load.ts'
import { Problem } from '../../problems.ts'
import { createLog, type Log } from '../../records/log.ts'
import { loadServerCertificate } from '../../config/values/files.ts'
import { startGateway } from '../../runtime.ts'
import { listenProblem } from '../../runtime/listen-problem.ts'
import { openCheckpoints } from '../../runtime/audit/checkpoints.ts'
import { operatorsRefused } from '../../runtime/listener.ts'
import { openAccess, openWorkerAccess } from '../../runtime/access/open-access.ts'
import { createWorkersListener } from '../../workers/operators-listener.ts'
import { createPool, type Pool } from '../../workers/pool.ts'
import { connectToParent, logOf } from '../../workers/parent-link.ts'
import type { Command, Invocation } from '../invocation.ts'
import { createEnding } from '../process.ts'
import { configFile, configOption, configToStart, packageVersion, requireNamed } from '../setup.ts'
import { UsageError } from '../usage.ts'

/** Set by the parent for each worker. */
const numberVariable = 'GATEWAY_WORKER'
const mostWorkers = 64

export const startCommand: Command = {
  usage: 'start [--config config/gateway.yaml] [--workers N|auto]',
  summary: 'run the gateway; SIGTERM drains, SIGHUP reloads',
  positionals: 0,
  options: {
    ...configOption,
    workers: {
      type: 'string',
      help: 'processes that share the listener, or auto: one per core (default: 1); needs a store',
    },
  },
  async run(invocation) {
    const count = workersOf(invocation)
    // Before the gateway runs SIGHUP has nothing to reload, and Node.js would end the process.
    process.on('SIGHUP', () => {})
    const loaded = await configToStart(invocation)
    await requireNamed(loaded)
    const { config } = loaded
    const log = createLog({ level: config.log.level, ownErrors: [Problem, Refused] })
    const number = invocation.env[numberVariable]
    // The parent has said it for all its workers.
    for (const warning of number === undefined ? loaded.warnings : [])
      log.warn({ event: 'config-warning' }, formatDiagnostic(warning))
    if (number !== undefined) return await work(Number(number), invocation, config, log)
    if (count > 1) return await lead(count, invocation, config, log)
    const ending = createEnding({ log, drainMs: drainMsOf(config) })
    const gateway = await startGateway({
      config,
      env: invocation.env,
      log,
      version: packageVersion(),
      beforeListening: collectGarbage,
    })
    boundGarbage()
    process.on('SIGHUP', () => void gateway.reload('SIGHUP'))
    return await ending.watch(gateway)
  },
}

function workersOf(invocation: Invocation): number {
  const written = invocation.option('workers') ?? '1'
  if (written === 'auto') return Math.min(availableParallelism(), mostWorkers)
  if (/^[1-9][0-9]?$/.test(written) && Number(written) <= mostWorkers) return Number(written)
  throw new UsageError(`--workers takes a number from 1 to ${mostWorkers}, or auto, not "${written}"`)
}

/** Longer than a drain should take. */
function drainMsOf({ shutdown }: Config): number {
  return shutdown.delayMs + shutdown.deadlineMs + 10_000
}

/** A worker: a whole gateway, but for the audit log, and with an operators' listener that only the parent knows. */
async function work(number: number, { env }: Invocation, config: Config, log: Log): Promise<number> {
  // Workers ignore signals: a terminal or service manager signals all processes, and the parent forwards its own
  // decision.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => {})
  const workerLog = logOf(log, number)
  const ending = createEnding({ log: workerLog, drainMs: drainMsOf(config), signals: false })
  const parent = await connectToParent(number, process)
  const secret = randomBytes(32).toString('base64url')
  const { listen } = config
  const gateway = await startGateway({
    config: {
      ...config,
      listen: { ...listen, admin: { host: '127.0.0.1', port: 0 }, adminTls: null, health: null },
    },
    access: openWorkerAccess(secret),
    env,
    log: workerLog,
    version: packageVersion(),
    beforeListening: collectGarbage,
    auditElsewhere: { ...parent.audit, checkpoints: parent.checkpoints },
  })
  boundGarbage()
  process.on('SIGHUP', () => void gateway.reload('SIGHUP'))
  parent.onEnded(gateway.instanceEnded)
  parent.listening(gateway.gateway, gateway.admin, secret, gateway.instance ?? '')
  void parent.drain.then(ending.stop)
  void parent.cut.then(ending.cut)
  const code = await ending.watch(gateway)
  // The channel to the parent would keep this process alive.
  process.disconnect?.()
  return code
}

/** Frees what loading has left: V8 would do it some seconds later, and hold up requests. */
async function collectGarbage(): Promise<void> {
  const session = new Session()
  session.connect()
  await session.post('HeapProfiler.collectGarbage')
  session.disconnect()
}

/**
 * Has V8 collect earlier than it would, which keeps the memory of a full cache down; lower values cost large responses CPU time.
 * Set once everything is loaded: V8 does not reuse code that was compiled under other flags.
 */
function boundGarbage(): void {
  setFlagsFromString('--heap-growing-percent=50')
}

/** The parent of several workers. */
async function lead(count: number, invocation: Invocation, config: Config, log: Log): Promise<number> {
  if (config.store === null)
    throw new Error(
      `--workers ${count} needs a shared store: without one each worker would count limits and keep answers for itself. Set store in ${configFile(invocation)}, or leave --workers out.`,
    )
  const ending = createEnding({ log, drainMs: drainMsOf(config) + 5_000 })
  const pool = createPool({
    count,
    command: {
      file: process.argv[1] ?? '',
      args: ['start', '--config', configFile(invocation)],
      numberVariable,
    },
    records: config.records,
    rotation: config.recordRotation,
    log,
    drainMs: drainMsOf(config),
    nowMs: Date.now,
  })
  pool.use(await openCheckpoints({ config, env: invocation.env, log, now: Date.now, head: pool.auditHead }))
  const { operators, open, close, renew } = await createOperatorsListeners(pool, invocation, config, log)
  const admin = await open('admin', operators, config.listen.admin)
  process.on('SIGHUP', () => {
    renew()
    pool.hangUp()
  })
  const ended = ending.watch({
    async drain() {
      const auditHead = await pool.stop()
      await close()
      log.info({ event: 'workers-stopped', audit_head: auditHead }, 'stopped')
    },
    cut: pool.cut,
  })
  const gateway = await pool.start()
  if (gateway === null) ending.stop()
  else log.info({ event: 'workers-started', workers: count, gateway, admin, version: packageVersion() }, 'listening')
  const code = await ended
  return gateway === null ? 1 : code
}

/** The listeners of the parent: the operators', and that of health alone where there is one. */
async function createOperatorsListeners(pool: Pool, { env }: Invocation, config: Config, log: Log) {
  const { adminTls, health: healthAt } = config.listen
  const read = async () => {
    const loaded = adminTls === null ? null : await loadServerCertificate(adminTls, Date.now())
    return loaded === null ? { certificate: null } : loaded
  }
  const first = await read()
  if ('faults' in first) throw new Error(first.faults.map(({ message }) => message).join('\n'))
  const access = openAccess({ config, env, log, now: Date.now, monotonic: () => performance.now() })
  void access.start()
  const renew = (): void =>
    void read().then((loaded) => {
      if ('faults' in loaded)
        log.error(
          { event: 'certificate', diagnostics: loaded.faults.map(({ message }) => message) },
          "the certificate of the operators' listener could not be read again; the one before stays in use",
        )
      else if (loaded.certificate !== null) operators.useCertificate(loaded.certificate)
    })
  const onRefused = operatorsRefused(log, () => performance.now())
  const operators = createWorkersListener({
    pool,
    access: access.access,
    tls: first.certificate,
    onRefused,
    onReload: renew,
  })
  const health =
    healthAt === null ? null : createWorkersListener({ pool, access: null, tls: null, onRefused, onReload: () => {} })
  const open = (name: string, listener: typeof operators, { host, port }: { host: string; port: number }) =>
    listener.listen(host, port).catch((error: unknown) => {
      throw new Error(listenProblem(name, host, port, error), { cause: error })
    })
  if (health !== null && healthAt !== null) await open('health', health, healthAt)
  return {
    operators,
    open,
    renew,
    async close() {
      await Promise.all([operators.close(), health?.close(), access.close()])
    },
  }
}
