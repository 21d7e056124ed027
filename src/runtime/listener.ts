// Builds the options of the callers' listener: its bounds, and how refusals are reported.

import { inNetworks } from '../config/values/addresses.ts'
import { descriptorLimit } from '../config/values/descriptors.ts'
import type { GatewayParts } from '../gateway/app.ts'
import type { Certificate } from '../gateway/listener/server.ts'
import type { AnonymousBound } from '../gateway/load/anonymous-work.ts'
import type { ConnectionRefusal } from '../gateway/listener/caps.ts'
import type { OperatorsRefusal } from '../admin/access/connection-cap.ts'
import type { Log } from '../records/log.ts'
import type { Core } from './core.ts'

/** A log line a minute says enough of a listener that is full. */
const pauseMs = 60_000

const operatorsTexts: Readonly<Record<OperatorsRefusal, string>> = {
  'operators-too-many':
    'the listener of operators or of health has as many connections open as it may; further ones are closed: see who is connected, and keep strangers away from its port',
  'operators-too-many-of-address':
    'a client address has as many connections to the listener of operators or of health open as it may; further ones of it are closed',
}

const texts: Readonly<Record<ConnectionRefusal, string>> = {
  'too-many': 'listen.max_connections are open; further connections are refused until some are closed',
  'too-many-of-address':
    'a client address has listen.max_connections_per_address open; further ones of it are refused until some are closed',
  'no-descriptors':
    'the file descriptors of the process run out; further connections are refused until some are closed: raise its limit (ulimit -n), or lower listen.max_connections',
  'not-accepted': 'the system could not take a connection; it may lack file descriptors or memory',
}

const anonymousTexts: Readonly<Record<AnonymousBound, string>> = {
  address:
    'more requests without a valid token than listen.max_anonymous_per_address come from a client address; further ones of it are refused unread: stop the program that sends them, or keep the address away in front of the gateway',
  all: 'more requests without a valid token than listen.max_anonymous come from all addresses together, this one among them; further ones are refused unread',
}

type LogRefusal = (event: string, reason: string, text: string, more?: object) => void

/** Logs each reason at most once a minute. */
function refusalLog(log: Log, monotonic: () => number): LogRefusal {
  const loggedAtMs = new Map<string, number>()
  return (event, reason, text, more = { reason }) => {
    const nowMs = monotonic()
    if (nowMs - (loggedAtMs.get(reason) ?? Number.NEGATIVE_INFINITY) < pauseMs) return
    loggedAtMs.set(reason, nowMs)
    log.warn({ event, ...more }, text)
  }
}

/** What becomes of connections to the listeners of operators and of health that are refused. */
export function operatorsRefused(
  log: Log,
  monotonic: () => number,
  count: (reason: OperatorsRefusal) => void = () => {},
) {
  const logRefusal = refusalLog(log, monotonic)
  return (reason: OperatorsRefusal): void => {
    count(reason)
    logRefusal('connections-refused', reason, operatorsTexts[reason])
  }
}

/** Takes what the listener needs from configuration and process. */
export function listenerOf(
  { config, instruments, log, monotonic }: Core,
  certificate: Certificate | null,
): GatewayParts['listener'] {
  const { timeouts, maxConnections, maxConnectionsPerAddress, maxAnonymous, maxAnonymousPerAddress, trustedProxies } =
    config.listen
  const logRefusal = refusalLog(log, monotonic)
  return {
    tls: certificate,
    timeouts,
    maxConnections,
    maxConnectionsPerAddress,
    maxDescriptors: descriptorLimit(),
    onRefused(reason) {
      instruments.connectionRefused(reason)
      logRefusal('connections-refused', reason, texts[reason])
    },
    maxAnonymous,
    maxAnonymousPerAddress,
    isProxy: inNetworks(trustedProxies),
    onAnonymous(bound, address) {
      instruments.anonymousRefused(bound)
      logRefusal('anonymous-refused', bound, anonymousTexts[bound], { bound, address })
    },
    onCut: (cause) => instruments.connectionCut(cause),
    onDropped: (count) => instruments.requestsDropped(count),
  }
}
