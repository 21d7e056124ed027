// The cache and its membership among the instances, as metrics. Part of instruments.ts.

import { metricList } from './metric-list.ts'
import { createGauge, registerCounter, type Registry } from './prometheus.ts'
import { LabelSet } from './tallies.ts'

/** What the cache has counted since start, by operation and result. */
export interface CacheState {
  /** By operation. */
  readonly bytesOf: ReadonlyMap<string, number>
  readonly entries: number
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

const standings = ['together', 'cautious', 'alone']

/** Registers the metrics. Each returned function replaces the earlier values. */
export function registerCache(registry: Registry, operationIds: readonly string[]) {
  const operations = new LabelSet(operationIds)
  let counts: CacheState['operations'] = new Map()
  registerCounter(registry, metricList.cacheAnswers, function* () {
    for (const [operation, results] of counts) {
      for (const [result, count] of Object.entries(results) as [string, number][])
        yield [{ operation: operations.closed(operation), result }, count]
    }
  })
  const bytes = createGauge(registry, metricList.cacheBytes)
  const entries = createGauge(registry, metricList.cacheEntries)
  let group: Pick<CacheGroupState, 'lapses' | 'broadcasts'> = { lapses: 0, broadcasts: {} }
  const standing = createGauge(registry, metricList.cacheStanding)
  const missing = createGauge(registry, metricList.cacheMissing)
  registerCounter(registry, metricList.cacheLapses, () => [[{}, group.lapses]])
  registerCounter(registry, metricList.cacheTold, function* () {
    for (const [result, count] of Object.entries(group.broadcasts) as [string, number][]) yield [{ result }, count]
  })
  return {
    cache: (state: CacheState) => {
      counts = state.operations
      bytes.reset()
      for (const [operation, size] of state.bytesOf) bytes.inc({ operation: operations.closed(operation) }, size)
      entries.set(state.entries)
    },
    cacheGroup: (state: CacheGroupState) => {
      for (const each of standings) standing.set({ standing: each }, each === state.standing ? 1 : 0)
      missing.set(state.missing)
      group = state
    },
  }
}
