// The signing keys of each issuer, and the clock differences of issuers and upstream.

import { metricList } from './metric-list.ts'
import { createGauge, registerCounter, type Registry } from './prometheus.ts'
import { LabelSet } from './tallies.ts'

/** The signing keys of one issuer. */
export interface IssuerReading {
  readonly issuer: string
  readonly keys: number
  readonly ageMs: number | null
  readonly lastError: string | null
  readonly fetches: { readonly fetched: number; readonly failed: number }
  readonly clockSkewMs: number | null
}

export interface IssuerMetrics {
  /** Replaces the issuers' values. */
  issuers(readings: readonly IssuerReading[]): void
  /** `peer`: an issuer, or `upstream`. */
  clockSkew(peer: string, skewMs: number): void
}

export function registerIssuers(registry: Registry, names: readonly string[]): IssuerMetrics {
  const issuers = new LabelSet(names)
  const peers = new LabelSet([...names, 'upstream'])
  let latest: readonly IssuerReading[] = []
  const keys = createGauge(registry, metricList.jwksKeys)
  const age = createGauge(registry, metricList.jwksAge)
  registerCounter(registry, metricList.jwksFetches, function* () {
    for (const { issuer, fetches } of latest) {
      for (const [result, count] of Object.entries(fetches)) yield [{ issuer: issuers.closed(issuer), result }, count]
    }
  })
  const failing = createGauge(registry, metricList.jwksFailing)
  const skew = createGauge(registry, metricList.clockSkew)
  const clockSkew = (peer: string, skewMs: number): void => skew.set({ peer: peers.closed(peer) }, skewMs / 1000)
  return {
    clockSkew,
    issuers(readings) {
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
