// Builds the options of the callers' listener: its bounds, and how refusals are reported.

import type { GatewayParts } from '../gateway/app.ts'
import type { Certificate } from '../gateway/listener/server.ts'
import type { ConnectionRefusal } from '../gateway/listener/caps.ts'
import type { Core } from './core.ts'

/** A log line a minute says enough of a listener that is full. */
const pauseMs = 60_000

const texts: Readonly<Record<ConnectionRefusal, string>> = {
  'too-many': 'listen.max_connections are open; further connections are refused until some are closed',
  'too-many-of-address':
    'a client address has listen.max_connections_per_address open; further ones of it are refused until some are closed',
  'no-descriptors':
    'the file descriptors of the process run out; further connections are refused until some are closed: raise its limit (ulimit -n), or lower listen.max_connections',
  'not-accepted': 'the system could not take a connection; it may lack file descriptors or memory',
}

/** Takes what the listener needs from configuration and process. */
export function listenerOf(
  { config, instruments, log, monotonic }: Core,
  certificate: Certificate | null,
): GatewayParts['listener'] {
  const { timeouts, maxConnections, maxConnectionsPerAddress } = config.listen
  const loggedAtMs = new Map<ConnectionRefusal, number>()
  return {
    tls: certificate,
    timeouts,
    maxConnections,
    maxConnectionsPerAddress,
    maxDescriptors: descriptorLimit(),
    onRefused(reason) {
      instruments.connectionRefused(reason)
      const nowMs = monotonic()
      if (nowMs - (loggedAtMs.get(reason) ?? Number.NEGATIVE_INFINITY) < pauseMs) return
      loggedAtMs.set(reason, nowMs)
      log.warn({ event: 'connections-refused', reason }, texts[reason])
    },
    onCut: (cause) => instruments.connectionCut(cause),
    onDropped: (count) => instruments.requestsDropped(count),
  }
}

/** How many file descriptors this process may have; `Infinity` where the system has no such limit. */
function descriptorLimit(): number {
  // Looking up the names of interfaces would take long, and nobody asks for them.
  Object.assign(process.report, { excludeNetwork: true })
  const report = process.report.getReport() as { userLimits?: { open_files?: { soft?: number | string } } }
  const limit = report.userLimits?.open_files?.soft
  return typeof limit === 'number' ? limit : Number.POSITIVE_INFINITY
}
