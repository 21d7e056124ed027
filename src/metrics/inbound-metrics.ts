// Metrics of the way in: connections of callers, the certificate they see, overload, tokens, issuers.

import type { Metrics } from './prometheus.ts'
import { LabelSet } from './tallies.ts'

/** The closed lists of label values. */
export interface InboundLabels {
  readonly connectionRefusals: readonly string[]
  readonly connectionCuts: readonly string[]
  readonly issuers: readonly string[]
}

/** The signing keys of one issuer. */
export interface IssuerReading {
  readonly issuer: string
  readonly keys: number
  readonly ageMs: number | null
  readonly lastError: string | null
  readonly fetches: { readonly fetched: number; readonly failed: number }
  readonly clockSkewMs: number | null
}

export function addInboundMetrics(metrics: Metrics, labels: InboundLabels) {
  const connections = metrics.setter('gateway_connections', 'Connections of callers that are open.')
  const waitingConnections = metrics.setter(
    'gateway_connections_waiting',
    'Connections of callers that were accepted and have yet to begin. They wait while the event loop is busy.',
  )
  const connectionRefused = metrics.counterOf(
    'gateway_connections_refused_total',
    'Connections of callers that were refused because there were too many, by reason.',
    'reason',
    labels.connectionRefusals,
  )
  const connectionCut = metrics.counterOf(
    'gateway_connections_cut_total',
    'Connections of callers that were closed because nothing useful came in time, or too much of what costs, by cause.',
    'cause',
    labels.connectionCuts,
  )
  const sentAhead = metrics.setter(
    'gateway_requests_sent_ahead',
    'Requests that wait behind others of their HTTP/1.1 connection (pipelining).',
  )
  const requestsDropped = metrics.counter(
    'gateway_requests_dropped_total',
    'Requests that were sent ahead on a connection that ended before their turn, beyond those that leave a record.',
  )
  const anonymousRefused = metrics.counterOf(
    'gateway_anonymous_refused_total',
    'Requests without a known token that were refused unread, by the bound: of the client address, or of all.',
    'bound',
    ['address', 'all'],
  )
  const certificateEnds = metrics.gauge(
    'gateway_certificate_expires_timestamp_seconds',
    'When the certificate of a listener ends, in seconds since the epoch; absent without one.',
    ['listener'],
  )
  const certificateReload = metrics.counterOf(
    'gateway_certificate_reloads_total',
    'Times the certificate was read again, by result: read, or the one before was kept.',
    'result',
    ['read', 'kept'],
  )
  const overloadLevel = metrics.setter(
    'gateway_overload_level',
    'How much the event loop lags, 0 in calm to 3: from 1 teams that make more than their share of the load are refused, from 2 low priority, at 3 all.',
  )
  const overloadRefused = metrics.totalsOf(
    'gateway_overload_refused_total',
    'Requests that were refused because the event loop lagged, by priority of their team.',
    'priority',
    { low: 0, normal: 0, high: 0 },
  )
  const tokenVerified = metrics.counterOf(
    'gateway_tokens_verified_total',
    'Tokens of callers: known from before, verified, or rejected.',
    'result',
    ['cached', 'verified', 'rejected'],
  )
  return {
    /** Connections of callers that are open now. */
    connections,
    waitingConnections,
    connectionRefused,
    connectionCut,
    /** Requests that wait behind others of their connection now. */
    sentAhead,
    requestsDropped: (count: number) => requestsDropped.inc(count),
    anonymousRefused,
    certificateExpires: (listener: 'gateway' | 'admin', atMs: number) => certificateEnds.set({ listener }, atMs / 1000),
    /** The certificate was read again, or the one before was kept. */
    certificateReload,
    /** How many priorities are refused, and how many requests of each were. */
    overload(level: number, refused: Readonly<Record<string, number>>) {
      overloadLevel(level)
      overloadRefused(refused)
    },
    tokenVerified,
    ...addIssuerMetrics(metrics, labels.issuers),
  }
}

function addIssuerMetrics(metrics: Metrics, names: readonly string[]) {
  const issuers = new LabelSet(names)
  const peers = new LabelSet([...names, 'upstream'])
  let latest: readonly IssuerReading[] = []
  const keys = metrics.gauge('gateway_jwks_keys', 'Signing keys in use for an issuer; 0 while none could be fetched.', [
    'issuer',
  ])
  const age = metrics.gauge(
    'gateway_jwks_age_seconds',
    'Since the signing keys of an issuer were last fetched; none before they were.',
    ['issuer'],
  )
  metrics.readCounter(
    'gateway_jwks_fetches_total',
    'Attempts to fetch the signing keys of an issuer, by result.',
    ['issuer', 'result'],
    function* () {
      for (const { issuer, fetches } of latest)
        for (const [result, count] of Object.entries(fetches)) yield [{ issuer: issuers.closed(issuer), result }, count]
    },
  )
  const failing = metrics.gauge(
    'gateway_jwks_failing',
    '1 while the latest attempt to fetch the signing keys of an issuer failed.',
    ['issuer'],
  )
  const skew = metrics.gauge(
    'gateway_clock_skew_seconds',
    'How far the clock of a peer (an issuer, or `upstream`) is ahead, by the Date of its latest answer, to about a second.',
    ['peer'],
  )
  const clockSkew = (peer: string, skewMs: number): void => skew.set({ peer: peers.closed(peer) }, skewMs / 1000)
  return {
    /** `peer`: an issuer, or `upstream`. */
    clockSkew,
    /** Replaces the issuers' values. */
    issuers(readings: readonly IssuerReading[]) {
      latest = readings
      for (const { issuer, keys: count, ageMs, lastError, clockSkewMs } of readings) {
        const labels = { issuer: issuers.closed(issuer) }
        keys.set(labels, count)
        failing.set(labels, lastError === null ? 0 : 1)
        if (ageMs !== null) age.set(labels, ageMs / 1000)
        if (clockSkewMs !== null) clockSkew(issuer, clockSkewMs)
      }
    },
  }
}
