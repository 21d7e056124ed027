// What the gateway measures, as the metrics of metric-list.ts. Labels take values from closed lists, so no caller can make a
// series.

import { createBudgetMetrics, type BudgetMetrics } from './budget-metrics.ts'
import { registerCache, type CacheGroupState, type CacheState } from './cache-metrics.ts'
import { createListenerMetrics, type ListenerLabels, type ListenerMetrics } from './listener-metrics.ts'
import { registerIssuers, type IssuerMetrics } from './issuer-metrics.ts'
import { metricList } from './metric-list.ts'
import { createGauge, createRegistry, registerCounter, registerProcess, type Registry } from './prometheus.ts'
import { LabelSet, Tally } from './tallies.ts'
import { createTraffic, type ExchangeObservation, type TrafficOptions } from './traffic.ts'

export interface InstrumentsOptions extends TrafficOptions, ListenerLabels {
  readonly issuers: readonly string[]
  /** Events of idempotency keys. */
  readonly idempotencyEvents: readonly string[]
  /** Adds memory, CPU, event loop and garbage collection of the process, which only one instance should watch. On by default. */
  readonly processMetrics?: boolean
}

/** A policy set that came into use. */
export interface LoadedPolicy {
  readonly revision: string
  readonly atMs: number
  /** Teams and keys that may be label values from now on. */
  readonly teams: readonly string[]
  readonly keys: readonly string[]
}

/** The shared store, as its client tells it. */
export interface StoreFigures {
  readonly away: boolean
  readonly instances: number
  readonly calls: { readonly answered: number; readonly failed: number; readonly spared: number }
}

/** One key of the inventory. */
export interface KeyReading {
  readonly key: string
  readonly state: string
  readonly expiresAtMs: number | null
}

export interface Instruments extends BudgetMetrics, IssuerMetrics, ListenerMetrics {
  /** Replaces the cache's values. */
  cache(state: CacheState): void
  /** Replaces the values of the cache's membership. */
  cacheGroup(state: CacheGroupState): void
  /** Replaces the shared store's values. */
  store(state: StoreFigures): void
  /** An exchange began. Each needs exactly one `observeExchange`. */
  exchangeStarted(): void
  /** An exchange ended: counts request, decision, problem and durations. Cheap: no label text is built. */
  observeExchange(exchange: ExchangeObservation): void
  tokenVerified(result: 'cached' | 'verified' | 'rejected'): void
  /** A key value was found in an upstream's answer and masked. */
  leakMasked(): void
  policyLoaded(policy: LoadedPolicy): void
  policyReload(result: 'replaced' | 'unchanged' | 'refused' | 'held'): void
  /** Whether the policy files hold a set that was not taken. */
  policyRefused(isRefused: boolean): void
  keyRejected(key: string): void
  /** The upstream answered 429 to this key. */
  upstreamThrottled(key: string): void
  /** A request of the team was held in the queue before the upstream. */
  held(team: string, result: 'sent' | 'refused' | 'left'): void
  /** A request of the team had to wait or was refused because the team held its share. */
  shareReached(team: string, of: 'connections' | 'queue'): void
  /** The circuit breaker of this key opened, probed or closed; or a request was not sent. */
  breaker(key: string, event: 'opened' | 'probe' | 'closed' | 'refused'): void
  /** How many requests wait in the queue now. */
  waiting(count: number): void
  /** State (of `KeyState`) and declared end of every key there is. Replaces the earlier values. */
  keyStates(states: readonly KeyReading[]): void
  /** Entries lost by a stream of records since start. */
  recordsLost(stream: string, total: number): void
  draining(isDraining: boolean): void
  /** An event of an idempotency key. */
  idempotencyEvent(event: string): void
  /** Memory that idempotency keys take. */
  idempotencyBytes(bytes: number): void
  /** Registers a function that brings gauges up to date before each `text()`. */
  beforeScrape(refresh: () => void | Promise<void>): void
  /** All metrics in the Prometheus text format. */
  text(): Promise<string>
  readonly contentType: string
}

const keyStateNames = ['ready', 'rejected', 'set-aside', 'expired', 'other']
const heldResults = ['sent', 'refused', 'left'] as const
const shares = ['connections', 'queue'] as const
const breakerEvents = ['opened', 'probe', 'closed', 'refused'] as const
const streams = ['access', 'decisions', 'audit']

// Names of teams and keys that a long-lived process can collect over many policies; more become `other`.
const maxNames = 2000

/** Creates a set of metrics with a registry of its own: instances share nothing but the process they may watch. */
export function createInstruments(options: InstrumentsOptions): Instruments {
  const registry = createRegistry()
  const teams = new LabelSet([], maxNames)
  const { exchangeStarted, observeExchange } = createTraffic(registry, options, teams)
  const listener = createListenerMetrics(registry, options)
  const state = createState(registry, options, teams)
  if (options.processMetrics ?? true) registerProcess(registry)
  const refreshes: (() => void | Promise<void>)[] = []
  return {
    exchangeStarted,
    observeExchange,
    ...listener,
    ...state,
    ...createBudgetMetrics(registry),
    policyLoaded: (policy) => {
      teams.add(policy.teams)
      state.policyLoaded(policy)
    },
    beforeScrape: (refresh) => {
      refreshes.push(refresh)
    },
    text: async () => {
      for (const refresh of refreshes) await refresh()
      return await registry.metrics()
    },
    contentType: registry.contentType,
  }
}

/** What changes rarely, or is a handful of numbers. */
function createState(registry: Registry, options: InstrumentsOptions, teams: LabelSet) {
  const keys = new LabelSet([], maxNames)
  const streamNames = new LabelSet(streams)
  const tokens = { cached: 0, verified: 0, rejected: 0 }
  const reloads = { replaced: 0, unchanged: 0, refused: 0, held: 0 }
  const lost = new Map(streams.map((stream) => [stream, 0]))
  const rejections = new Tally(1)
  let leaks = 0

  registerCounter(registry, metricList.tokens, () =>
    Object.entries(tokens).map(([result, count]) => [{ result }, count]),
  )
  const ofIssuers = registerIssuers(registry, options.issuers)
  const revision = createGauge(registry, metricList.policyRevision)
  const loadedAt = createGauge(registry, metricList.policyLoadedAt)
  const policyRefused = createGauge(registry, metricList.policyRefused)
  registerCounter(registry, metricList.policyReloads, () =>
    Object.entries(reloads).map(([result, count]) => [{ result }, count]),
  )
  registerCounter(registry, metricList.keyRejections, function* () {
    for (const key of keys.known()) yield [{ key }, 0]
    for (const { row, count } of rejections.entries()) yield [{ key: keys.name(row) }, count]
  })
  const keyState = createGauge(registry, metricList.keyState)
  const keyExpires = createGauge(registry, metricList.keyExpires)
  registerCounter(registry, metricList.leaksMasked, () => [[{}, leaks]])
  registerCounter(registry, metricList.recordsLost, () => [...lost].map(([stream, count]) => [{ stream }, count]))
  const draining = createGauge(registry, metricList.draining)
  const cache = registerCache(registry, options.operations)
  let calls: StoreFigures['calls'] = { answered: 0, failed: 0, spared: 0 }
  const storeAway = createGauge(registry, metricList.storeAway)
  const storeInstances = createGauge(registry, metricList.storeInstances)
  storeInstances.set(1)
  registerCounter(registry, metricList.storeCalls, () =>
    Object.entries(calls).map(([result, count]) => [{ result }, count]),
  )
  const throttled = new Tally(1)
  registerCounter(registry, metricList.upstreamThrottled, function* () {
    for (const key of keys.known()) yield [{ key }, 0]
    for (const { row, count } of throttled.entries()) yield [{ key: keys.name(row) }, count]
  })
  const held = new Tally(heldResults.length)
  registerCounter(registry, metricList.held, function* () {
    for (const { row, column, count } of held.entries())
      yield [{ team: teams.name(row), result: heldResults[column] ?? 'left' }, count]
  })
  const reached = new Tally(shares.length)
  registerCounter(registry, metricList.shareReached, function* () {
    for (const { row, column, count } of reached.entries())
      yield [{ team: teams.name(row), of: shares[column] ?? 'queue' }, count]
  })
  const breakers = new Tally(breakerEvents.length)
  registerCounter(registry, metricList.breaker, function* () {
    for (const { row, column, count } of breakers.entries())
      yield [{ key: keys.name(row), event: breakerEvents[column] ?? 'refused' }, count]
  })
  const waiting = createGauge(registry, metricList.waiting)
  const keyEvents = new LabelSet(options.idempotencyEvents)
  const ofKeys = new Tally(1)
  registerCounter(registry, metricList.idempotency, function* () {
    for (const event of options.idempotencyEvents) yield [{ event }, 0]
    for (const { row, count } of ofKeys.entries()) yield [{ event: keyEvents.name(row) }, count]
  })
  const idempotencyBytes = createGauge(registry, metricList.idempotencyBytes)

  return {
    ...cache,
    ...ofIssuers,
    store: (state: StoreFigures) => {
      calls = state.calls
      storeAway.set(state.away ? 1 : 0)
      storeInstances.set(state.instances)
    },
    tokenVerified: (result: keyof typeof tokens) => {
      tokens[result] += 1
    },
    leakMasked: () => {
      leaks += 1
    },
    policyLoaded: (policy: LoadedPolicy) => {
      keys.add(policy.keys)
      revision.reset()
      revision.set({ revision: policy.revision }, 1)
      loadedAt.set(policy.atMs / 1000)
    },
    policyReload: (result: keyof typeof reloads) => {
      reloads[result] += 1
    },
    policyRefused: (isRefused: boolean) => policyRefused.set(isRefused ? 1 : 0),
    keyRejected: (key: string) => rejections.add(keys.position(key), 0),
    upstreamThrottled: (key: string) => throttled.add(keys.position(key), 0),
    held: (team: string, result: (typeof heldResults)[number]) =>
      held.add(teams.position(team), heldResults.indexOf(result)),
    shareReached: (team: string, of: (typeof shares)[number]) => reached.add(teams.position(team), shares.indexOf(of)),
    breaker: (key: string, event: (typeof breakerEvents)[number]) =>
      breakers.add(keys.position(key), breakerEvents.indexOf(event)),
    waiting: (count: number) => waiting.set(count),
    keyStates: (states: readonly KeyReading[]) => {
      keyState.reset()
      keyExpires.reset()
      for (const { key, state, expiresAtMs } of states) {
        if (expiresAtMs !== null) keyExpires.set({ key: keys.closed(key) }, expiresAtMs / 1000)
        const now = keyStateNames.includes(state) ? state : 'other'
        for (const name of keyStateNames) keyState.set({ key: keys.closed(key), state: name }, name === now ? 1 : 0)
      }
    },
    recordsLost: (stream: string, total: number) => {
      lost.set(streamNames.closed(stream), total)
    },
    draining: (isDraining: boolean) => draining.set(isDraining ? 1 : 0),
    idempotencyEvent: (event: string) => ofKeys.add(keyEvents.position(event), 0),
    idempotencyBytes: (bytes: number) => idempotencyBytes.set(bytes),
  }
}
