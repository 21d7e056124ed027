// Metrics of what the gateway holds: policies, keys, records, the cache, the shared store, idempotency keys, budgets.

import type { Metrics } from './prometheus.ts'
import { LabelSet } from './tallies.ts'

/** A policy set that came into use. */
export interface LoadedPolicy {
  readonly revision: string
  readonly atMs: number
  /** Teams and keys that may be label values from now on. */
  readonly teams: readonly string[]
  readonly keys: readonly string[]
}

/** One key of the inventory. */
export interface KeyReading {
  readonly key: string
  readonly state: string
  readonly expiresAtMs: number | null
  /** How long ago its source last gave the value in use; null where it is not asked regularly. */
  readonly valueAgeMs?: number | null
  /** Whether the latest reading of its source failed. */
  readonly isSourceFailing?: boolean
  /** When Devin last said who the key is, and when it ends the key; null where that is not known. */
  readonly answeredAtMs?: number | null
  readonly endsAtMs?: number | null
}

/** What the cache has counted since start, by operation. */
export interface CacheState {
  readonly bytesOf: ReadonlyMap<string, number>
  readonly entries: number
  /** Counts by result. */
  readonly operations: ReadonlyMap<string, object>
}

/** As the membership reports it. */
export interface CacheGroupState {
  readonly standing: string
  readonly missing: number
  readonly lapses: number
  /** Counts by result. */
  readonly broadcasts: object
}

/** The shared store, as its client tells it. */
export interface StoreFigures {
  readonly away: boolean
  readonly instances: number
  readonly calls: object
}

/** One budget as it stands; amounts in ACUs or sessions. Names come from policies, so no caller can make a series. */
export interface BudgetState {
  readonly owner: string
  readonly name: string
  /** What may be spent at most; null where nothing is bounded. */
  readonly hard: number | null
  readonly spent: number
  readonly reserved: number
  /** The highest of 50, 80 and 100 percent that is reached, else 0. */
  readonly level: number
}

const keyStateNames = ['ready', 'rejected', 'set-aside', 'unresolved', 'expired', 'blocked', 'quarantined', 'other']
const standings = ['together', 'cautious', 'alone']
const streams = ['access', 'decisions', 'audit']

/** `teams` and `keys` are the names that may be label values. */
export function addPolicyMetrics(metrics: Metrics, teams: LabelSet, keys: LabelSet) {
  const revision = metrics.gauge(
    'gateway_policy_revision_info',
    'Always 1; the label is the revision of the policies in use.',
    ['revision'],
  )
  const loadedAt = metrics.setter(
    'gateway_policy_loaded_timestamp_seconds',
    'When the policies in use were loaded, in seconds since the epoch.',
  )
  const policyRefused = metrics.setter(
    'gateway_policy_refused',
    '1 while the policy files hold a set that is not in force: refused, or held until a reload on demand.',
  )
  const policyReload = metrics.counterOf(
    'gateway_policy_reloads_total',
    'Attempts to load the policies again, by result.',
    'result',
    ['replaced', 'unchanged', 'refused', 'held'],
  )
  const keyRejected = metrics.counterOf(
    'gateway_key_rejections_total',
    'Times the upstream rejected a key, by key.',
    'key',
    keys,
  )
  const keyState = metrics.gauge('gateway_key_state', '1 for the state a key is in, 0 for its other states.', [
    'key',
    'state',
  ])
  const keyExpires = metrics.gauge(
    'gateway_key_expires_timestamp_seconds',
    'When a key ends by the inventory, in seconds since the epoch; absent where the inventory does not say.',
    ['key'],
  )
  const keyValueAge = metrics.gauge(
    'gateway_key_value_age_seconds',
    'Seconds since the source of a key last gave the value in use; absent for variables, and for files that can be read.',
    ['key'],
  )
  const keySourceFailing = metrics.gauge(
    'gateway_key_source_failing',
    '1 while the source of a key cannot be read; a value that is known stays in use.',
    ['key'],
  )
  const keyEnds = metrics.gauge(
    'gateway_key_upstream_end_timestamp_seconds',
    'When Devin ends a key or its service user, in seconds since the epoch; absent where that is not known.',
    ['key'],
  )
  const keyIdentity = metrics.gauge(
    'gateway_key_identity_timestamp_seconds',
    'When Devin last said who a key is, in seconds since the epoch; absent where it never has.',
    ['key'],
  )
  const leaks = metrics.counter(
    'gateway_leaks_masked_total',
    'Key values that were found in answers of the upstream and masked.',
  )
  const streamNames = new LabelSet(streams)
  const lost = new Map(streams.map((stream) => [stream, 0]))
  metrics.readCounter('gateway_records_lost_total', 'Entries of records that were lost, by stream.', ['stream'], () =>
    [...lost].map(([stream, count]) => [{ stream }, count]),
  )
  return {
    policyLoaded(policy: LoadedPolicy) {
      teams.add(policy.teams)
      keys.add(policy.keys)
      revision.reset()
      revision.set({ revision: policy.revision }, 1)
      loadedAt(policy.atMs / 1000)
    },
    policyReload,
    /** Whether the policy files hold a set that was not taken. */
    policyRefused,
    keyRejected,
    /** State (of `KeyState`) and declared end of every key there is. Replaces the earlier values. */
    keyStates(states: readonly KeyReading[]) {
      keyState.reset()
      for (const gauge of [keyExpires, keyEnds, keyIdentity, keyValueAge, keySourceFailing]) gauge.reset()
      for (const reading of states) {
        const { key, state } = reading
        keySourceFailing.set({ key: keys.closed(key) }, reading.isSourceFailing === true ? 1 : 0)
        for (const [gauge, timeMs = null] of [
          [keyExpires, reading.expiresAtMs],
          [keyEnds, reading.endsAtMs],
          [keyIdentity, reading.answeredAtMs],
          [keyValueAge, reading.valueAgeMs],
        ] as const)
          if (timeMs !== null) gauge.set({ key: keys.closed(key) }, timeMs / 1000)
        const now = keyStateNames.includes(state) ? state : 'other'
        for (const name of keyStateNames) keyState.set({ key: keys.closed(key), state: name }, name === now ? 1 : 0)
      }
    },
    /** A key value was found in an upstream's answer and masked. */
    leakMasked: () => leaks.inc(),
    /** Entries lost by a stream of records since start. */
    recordsLost: (stream: string, total: number) => void lost.set(streamNames.closed(stream), total),
    draining: metrics.setter('gateway_draining', '1 while the instance shuts down and takes no new requests.'),
  }
}

export function addCacheMetrics(metrics: Metrics, operationIds: readonly string[]) {
  const operations = new LabelSet(operationIds)
  let answers: CacheState['operations'] = new Map()
  metrics.readCounter(
    'gateway_cache_total',
    'Requests to the cache, by operation and result, and entries that were evicted.',
    ['operation', 'result'],
    function* () {
      for (const [operation, results] of answers)
        for (const [result, count] of Object.entries(results) as [string, number][])
          yield [{ operation: operations.closed(operation), result }, count]
    },
  )
  const bytes = metrics.gauge(
    'gateway_cache_bytes',
    'Memory that stored answers, their keys and fields take, by operation.',
    ['operation'],
  )
  const entries = metrics.setter('gateway_cache_entries', 'Answers in the cache.')
  const standing = metrics.gauge(
    'gateway_cache_standing',
    '1 for the state of the cache among those of the other instances, 0 for its other states; none without a shared store.',
    ['standing'],
  )
  const missing = metrics.setter(
    'gateway_cache_missing_instances',
    'Instances that were not heard of any more within ten minutes and may be cut off.',
  )
  let lapses = 0
  metrics.readCounter(
    'gateway_cache_lapses_total',
    'Times the cache lost contact with those of the other instances and dropped everything.',
    [],
    () => [[{}, lapses]],
  )
  const broadcasts = metrics.totalsOf(
    'gateway_cache_told_total',
    'Writes and purges that were broadcast to the other instances: answered by all, silent where one did not answer, or unreached.',
    'result',
    {},
  )
  return {
    /** Replaces the cache's values. */
    cache(state: CacheState) {
      answers = state.operations
      bytes.reset()
      for (const [operation, size] of state.bytesOf) bytes.inc({ operation: operations.closed(operation) }, size)
      entries(state.entries)
    },
    /** Replaces the values of the cache's membership. */
    cacheGroup(state: CacheGroupState) {
      for (const each of standings) standing.set({ standing: each }, each === state.standing ? 1 : 0)
      missing(state.missing)
      lapses = state.lapses
      broadcasts(state.broadcasts)
    },
  }
}

export function addStoreMetrics(metrics: Metrics) {
  const away = metrics.setter(
    'gateway_store_away',
    '1 while the shared store is away; 0 while it is there, and without one.',
  )
  const instances = metrics.setter(
    'gateway_store_instances',
    'Gateways that were last seen sharing the store, this one included; 1 without one.',
  )
  instances(1)
  const calls = metrics.totalsOf(
    'gateway_store_calls_total',
    'Calls to the shared store: answered, failed, or not tried (spared) because it was away.',
    'result',
    { answered: 0, failed: 0, spared: 0 },
  )
  return {
    /** Replaces the shared store's values. */
    store(state: StoreFigures) {
      calls(state.calls)
      away(state.away)
      instances(state.instances)
    },
  }
}

export function addBudgetMetrics(metrics: Metrics) {
  const labels = ['owner', 'budget']
  const limit = metrics.gauge('gateway_budget_limit', 'Hard bound of a budget, in ACUs or sessions.', labels)
  const spent = metrics.gauge(
    'gateway_budget_spent',
    'Spent of a budget in its present window, in ACUs or sessions.',
    labels,
  )
  const reserved = metrics.gauge(
    'gateway_budget_reserved',
    'Reserved of a budget for what sessions under way may still cost, in ACUs or sessions.',
    labels,
  )
  const level = metrics.gauge(
    'gateway_budget_level_percent',
    'The highest of 50, 80 and 100 percent of its hard bound that a budget has reached; 0 below.',
    labels,
  )
  return {
    /** Replaces the earlier values; null while they are unknown. */
    budgets(states: readonly BudgetState[] | null) {
      for (const gauge of [limit, spent, reserved, level]) gauge.reset()
      for (const state of states ?? []) {
        const owner = { owner: state.owner, budget: state.name }
        if (state.hard !== null) limit.set(owner, state.hard)
        spent.set(owner, state.spent)
        reserved.set(owner, state.reserved)
        level.set(owner, state.level)
      }
    },
    budgetRequest: metrics.counterOf(
      'gateway_budget_requests_total',
      'Requests that needed a budget: reserved, refused, refused because nothing bounds the session, or made while budgets could not be read.',
      'result',
      ['reserved', 'refused', 'unbounded', 'unavailable'],
    ),
  }
}
