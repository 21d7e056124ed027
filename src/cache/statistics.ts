// What the cache counts, by operation.

import type { CacheOutcome } from './cache-request.ts'

/** Requests of one operation since the start, by how they were answered; and its entries that had to make room. */
export interface OperationCounts {
  readonly hits: number
  readonly stale: number
  readonly validated: number
  readonly collapsed: number
  readonly misses: number
  readonly bypassed: number
  readonly evictions: number
}

type Counts = { -readonly [name in keyof OperationCounts]: number }

const counterOf = {
  hit: 'hits',
  stale: 'stale',
  validated: 'validated',
  collapsed: 'collapsed',
  miss: 'misses',
  bypass: 'bypassed',
  eviction: 'evictions',
} as const

export function createStatistics() {
  const operations = new Map<string, Counts>()
  return {
    operations,
    count(operation: string, result: CacheOutcome['result'] | 'eviction'): void {
      let counts = operations.get(operation)
      if (counts === undefined) {
        counts = { hits: 0, stale: 0, validated: 0, collapsed: 0, misses: 0, bypassed: 0, evictions: 0 }
        operations.set(operation, counts)
      }
      counts[counterOf[result]] += 1
    },
  }
}
