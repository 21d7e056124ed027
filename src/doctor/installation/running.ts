// The gateway that runs this configuration on this machine: it answers, is well, and is what the files say.

import { X509Certificate } from 'node:crypto'
import { createServer } from 'node:net'
import type { KeyView } from '../../admin/views.ts'
import type { Config } from '../../config/load.ts'
import { readText } from '../../config/values/files.ts'
import type { TlsFiles } from '../../config/schema.ts'
import type { Examination } from '../examination.ts'
import type { Findings } from '../finding.ts'
import { endingSoon, instant, spanTo } from '../network/peer.ts'
import { probe } from '../network/probe.ts'
import { addGatewayFindings, readinessOf, type GatewayFacts, type PageReader } from './pages.ts'
import { counted } from '../../config/plural.ts'

export interface RunningParts {
  readonly config: Config
  /** Address of the operators' listener, and how it is read. */
  readonly address: string
  readonly read: PageReader
  /** Of this command. */
  readonly version: string
  /** Of the policy files here; null where they cannot be used. */
  readonly revision: string | null
  /** The keys as the gateway shows them, or null. */
  readonly onKeys: (keys: readonly KeyView[] | null) => void
}

export function runningExaminations(parts: RunningParts): readonly Examination[] {
  const { config, address, onKeys } = parts
  const { gateway } = config.listen
  return [
    {
      area: 'gateway',
      about: address,
      async examine(found, signal) {
        try {
          const facts = await examineOperators(found, parts, signal)
          onKeys(facts?.keys ?? null)
          if (facts !== null) addDifferences(found, facts, parts)
        } finally {
          onKeys(null)
        }
      },
    },
    {
      area: 'gateway',
      about: `${gateway.host}:${gateway.port}`,
      examine: (found, signal) => examineCallersListener(found, config, signal),
    },
    ...healthExaminations(config),
  ]
}

/** Probes that find nothing there would have the instance restarted. */
function healthExaminations({ listen: { health } }: Config): readonly Examination[] {
  if (health === null || health.port === 0) return []
  const [host, place] = [reachedAt(health.host), `${health.host}:${health.port}`]
  return [
    {
      area: 'gateway',
      about: place,
      async examine(found, signal) {
        const { answer } = await probe({ host, port: health.port, tls: null }, { path: '/livez' }, signal)
        if (answer?.status === 200) found.ok('health', `probes are answered at ${place}`)
        else found.error('health', `No gateway answers at ${place}, where listen.health is.`, startIt)
      },
    },
  ]
}

const startIt =
  'Start it, or look at its log for why it has ended. Before the first start, run doctor with --before-start.'

async function examineOperators(
  found: Findings,
  { config, address, read }: RunningParts,
  signal: AbortSignal,
): Promise<GatewayFacts | null> {
  if (config.listen.admin.port === 0) {
    found.skipped('answers', 'listen.admin takes any free port, so it is not known where the gateway answers.')
    return null
  }
  const page = await read('/readyz', signal)
  if (page === null) {
    const message = `No gateway answers at ${address}, where listen.admin is.`
    found.error(
      'answers',
      signal.aborted ? `${message} Something there takes connections and stays silent.` : message,
      startIt,
    )
    return null
  }
  const readiness = readinessOf(page)
  if (readiness === null) {
    found.error(
      'answers',
      `What answers at ${address}, where listen.admin is, is not this gateway (${page.status} to /readyz).`,
      'Find out which program has the port (ss -ltnp), and stop it or write another one in listen.admin.',
    )
    return null
  }
  return await addGatewayFindings(found, readiness, read, signal)
}

const spareDescriptors = 64

function addDifferences(found: Findings, facts: GatewayFacts, { config, version, revision }: RunningParts): void {
  const { versions, configuration, revisions, descriptors } = facts
  if (versions.some((each) => each !== version))
    found.warning(
      'version',
      `The running gateway is version ${versions.join(' and ')}, and this command is ${version}.`,
      'Restart the gateway to use the installed version, or run doctor from where the gateway is installed.',
    )
  else if (versions.length > 0) found.ok('version', `runs version ${version}`)
  if (configuration !== null && configuration !== config.file)
    found.warning(
      'configuration',
      `The gateway that answers runs another configuration: ${configuration}.`,
      `Name it with --config, or start the gateway with ${config.file}.`,
    )
  const isOther = revision !== null && revisions.some((each) => each !== revision)
  if (isOther)
    found.warning(
      'policies',
      `The gateway has the policies of revision ${revisions.join(' and ')} in force, and the files here are revision ${revision}.`,
      'Reload it (SIGHUP, or POST /api/reload), and read its log if they still differ: it may have refused them.',
    )
  else if (revision !== null && revisions.length > 0) found.ok('policies', `revision ${revision} is in force`)
  const needed = config.listen.maxConnections + config.upstream.connections + spareDescriptors
  if (descriptors !== null && descriptors < needed)
    found.warning(
      'descriptors',
      `The gateway may open ${counted(descriptors, 'file')} and connections, and listen.max_connections with upstream.connections need ${needed}.`,
      `Raise the limit (LimitNOFILE=${needed} in the unit, ulimit -n), or lower listen.max_connections.`,
    )
}

async function examineCallersListener(found: Findings, { listen }: Config, signal: AbortSignal): Promise<void> {
  const { gateway, tls } = listen
  if (gateway.port === 0) {
    found.skipped('callers', 'listen.gateway takes any free port, so it is not known where callers reach it.')
    return
  }
  const host = reachedAt(gateway.host)
  const target = { host, port: gateway.port, tls: tls === null ? null : { ca: null } }
  const { fault, chain, answer } = await probe(target, { path: '/gateway/v1/problems/token-missing' }, signal)
  const place = `${host}:${gateway.port}`
  if (fault !== null) {
    const how = fault.step === 'connection' ? 'takes no connection' : 'does not answer as the gateway does'
    found.error('callers', `The callers' listener at ${place} ${how} (${fault.code}).`, startIt)
    return
  }
  if (answer?.status === 200 && answer.body.includes('token-missing'))
    found.ok('callers', `callers are answered at ${place}`)
  else
    found.error(
      'callers',
      `What answers at ${place}, where listen.gateway is, is not this gateway (${answer?.status ?? 'no answer'}).`,
      'Find out which program has the port (ss -ltnp), and stop it or write another one in listen.gateway.',
    )
  const [served] = chain
  if (tls === null || served === undefined) return
  const own = await ownFingerprint(tls)
  const ending = endingSoon([served], Date.now())
  if (own !== null && own !== served.fingerprint)
    found.warning(
      'certificate',
      `The gateway serves another certificate than ${tls.certFile} holds now (until ${instant(served.toMs)}).`,
      'Reload it (SIGHUP, or POST /api/reload): a renewed certificate is read then.',
    )
  else if (ending !== null)
    found.warning(
      'certificate',
      `The certificate of listen.tls ends at ${instant(ending.toMs)}, ${spanTo(ending.toMs, Date.now())}.`,
      'Renew it, then reload.',
    )
  else found.ok('certificate', `serves the certificate of ${served.subject}, until ${instant(served.toMs)}`)
}

/** An address on all interfaces is reached over loopback. */
function reachedAt(host: string): string {
  return host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
}

async function ownFingerprint({ certFile }: TlsFiles): Promise<string | null> {
  const text = await readText(certFile)
  try {
    return 'value' in text ? new X509Certificate(text.value).fingerprint256 : null
  } catch {
    // What is wrong with the file is a finding of the configuration.
    return null
  }
}

/** Before a start: whether the addresses of the listeners can be had. */
export function portExaminations({ listen }: Config): readonly Examination[] {
  return (['gateway', 'admin', 'health'] as const).flatMap((name): Examination[] => {
    const address = listen[name]
    // Port 0 is any free one. What the configuration gives to two listeners is a finding of the configuration.
    if (address === null || address.port === 0) return []
    const others = (['gateway', 'admin', 'health'] as const).filter((each) => each !== name)
    if (others.some((each) => listen[each]?.port === address.port)) return []
    const { host, port } = address
    return [
      {
        area: 'gateway',
        about: `${host}:${port}`,
        async examine(found) {
          const code = await bindFault(host, port)
          if (code === null) found.ok('port', `listen.${name} can have ${host}:${port}`)
          else if (code === 'EADDRINUSE')
            found.error(
              'port',
              `Another program has ${host}:${port}, which listen.${name} wants.`,
              'Find out which (ss -ltnp), and stop it or write another port.',
            )
          else if (code === 'EACCES')
            found.error(
              'port',
              `This user may not listen at ${host}:${port} (listen.${name}).`,
              'Write a port of 1024 or above, or give the service CAP_NET_BIND_SERVICE.',
            )
          else
            found.error(
              'port',
              `listen.${name} cannot listen at ${host}:${port} (${code}).`,
              'Write an address that this machine has.',
            )
        },
      },
    ]
  })
}

function bindFault(host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer()
    server.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(null)))
  })
}
