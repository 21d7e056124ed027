// What the response cache costs and holds by itself, without sockets: `node --expose-gc bench/cache/run.ts`. Time per hit and
// per stored miss, hit ratio of the two-list store against one LRU list under scans, and memory taken against memory counted.

import { cpus } from 'node:os'
import { LRUCache } from 'lru-cache'
import { followAcquired } from '../../src/cache/acquired.ts'
import type { ResponseSink } from '../../src/cache/response-stream.ts'
import type { CacheSink, CacheRequest } from '../../src/cache/cache-request.ts'
import { createResponseCache, type ResponseCache } from '../../src/cache/response-cache.ts'
import { spreadOf } from '../statistics.ts'

const idle = { resume: () => undefined, abort: () => undefined }
const callerFields = ['accept', 'application/json', 'accept-encoding', 'gzip, deflate', 'accept-language', '*']
const rule = { kind: 'class', ttlMs: 3_600_000, alwaysCollapsed: false } as const

class CollectingSink implements CacheSink {
  attach(): void {}
  outcome(): void {}
  head(): void {}
  data(): boolean {
    return true
  }
  end(): void {}
  fail(): void {}
}

const sink = new CollectingSink()

function createCache(maxBytes: number): ResponseCache {
  return createResponseCache({
    now: Date.now,
    monotonic: () => performance.now(),
    maxBytes,
    maxEntryBytes: 1_048_576,
    upstreamBase: 'https://api.example',
  })
}

/** A request as the gateway asks it, with texts of their own as a parser makes them. */
function request(id: string): CacheRequest {
  const target = Buffer.from(`/v3/organizations/org-payments/sessions/devin-${id}?first=100`).toString('latin1')
  return {
    operation: 'org.sessions.get',
    partition: 'payments-runner',
    method: 'GET',
    target,
    fields: callerFields,
    rule,
    tags: ['org.sessions.get', 'org-payments', target.slice(38, 76)],
    atMostMs: null,
    mayBeAbsent: true,
  }
}

/** An upstream that answers at once. Counts its calls. */
function upstream(bodyBytes: number): { fetch: (changes: unknown, to: ResponseSink) => void; calls: () => number } {
  let calls = 0
  const fetch = (_changes: unknown, to: ResponseSink): void => {
    calls += 1
    const text = (value: string): string => Buffer.from(value).toString('latin1')
    const fields = ['content-type', text('application/json'), 'date', text('Tue, 24 Nov 2026 10:00:00 GMT')]
    to.attach(idle)
    to.head({ status: 200, fields: [...fields, 'vary', text('accept-encoding')], length: bodyBytes })
    to.end(Buffer.alloc(bodyBytes, 'x'))
  }
  return { fetch, calls: () => calls }
}

function microsecondsEach(count: number, work: (index: number) => void): number {
  const startedAt = process.hrtime.bigint()
  for (let index = 0; index < count; index += 1) work(index)
  return Number(process.hrtime.bigint() - startedAt) / 1_000 / count
}

function measureTime(): void {
  const { fetch } = upstream(2_048)
  const cache = createCache(64 * 2 ** 20)
  const questions = Array.from({ length: 1_000 }, (_, index) => request(String(index).padStart(32, '0')))
  const ask = (index: number): void => {
    const asked = questions[index % 1_000]
    if (asked !== undefined) followAcquired(cache.acquire(asked), sink, fetch)
  }
  for (let index = 0; index < 300_000; index += 1) ask(index)
  const hits = spreadOf(Array.from({ length: 9 }, () => microsecondsEach(100_000, ask)))
  const misses = spreadOf(
    Array.from({ length: 9 }, (_, round) =>
      microsecondsEach(5_000, (index) => followAcquired(cache.acquire(request(`${round}-${index}`)), sink, fetch)),
    ),
  )
  print(
    'hit, 2 KiB',
    hits === null ? '' : `${hits.median.toFixed(2)} µs (${hits.min.toFixed(2)}-${hits.max.toFixed(2)})`,
  )
  print('miss that is stored', misses === null ? '' : `${misses.median.toFixed(1)} µs, the answer's making included`)
}

/** Every fifth request belongs to a scan that never asks for the same twice; the others follow Zipf's law. */
function measureHitRatio(): void {
  const keys = 50_000
  const weights: number[] = []
  let sum = 0
  for (let rank = 1; rank <= keys; rank += 1) weights.push((sum += 1 / rank ** 0.8))
  const { fetch, calls } = upstream(2_048)
  const maxBytes = 8 * 2 ** 20
  const cache = createCache(maxBytes)
  const plain = new LRUCache<string, number>({ max: 100_000 })
  let seed = 7
  let [asked, plainHits, capacity] = [0, 0, 0]
  for (let index = 0; index < 600_000; index += 1) {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31
    const isScan = index % 5 === 0
    const place = (seed / 2 ** 31) * sum
    const id = isScan ? `scan-${index}` : String(lowerBound(weights, place))
    followAcquired(cache.acquire(request(id)), sink, fetch)
    capacity = Math.max(capacity, cache.stats().entries)
    // As many entries as the store holds, so that only the choice of what goes differs.
    if (plain.get(id) !== undefined) plainHits += isScan ? 0 : 1
    plain.set(id, 1)
    while (plain.size > capacity) plain.pop()
    if (!isScan) asked += 1
  }
  const hits = 600_000 - calls()
  print('hit ratio beside a scan', `${percent(hits / asked)} with two lists, ${percent(plainHits / asked)} with one`)
}

function lowerBound(sorted: readonly number[], value: number): number {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((sorted[middle] ?? 0) < value) low = middle + 1
    else high = middle
  }
  return low
}

function measureMemory(): void {
  const { gc } = globalThis
  if (gc === undefined) {
    print('memory', 'needs --expose-gc')
    return
  }
  const used = (): number => {
    gc()
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }
  for (const bodyBytes of [200, 2_000, 20_000]) {
    const before = used()
    const cache = createCache(64 * 2 ** 20)
    const { fetch } = upstream(bodyBytes)
    for (let index = 0; index < 1_000_000; index += 1) {
      followAcquired(cache.acquire(request(index.toString(16).padStart(32, '0'))), sink, fetch)
    }
    const { entries, bytes } = cache.stats()
    const taken = (used() - before) / 2 ** 20
    print(
      `a million keys, ${bodyBytes} B`,
      `${taken.toFixed(1)} MiB taken, ${(bytes / 2 ** 20).toFixed(1)} counted, limit 64, ${entries} entries`,
    )
  }
}

function percent(part: number): string {
  return `${(part * 100).toFixed(1)} %`
}

function print(name: string, value: string): void {
  process.stdout.write(`${name.padEnd(28)} ${value}\n`)
}

print('machine', `${cpus().length} × ${cpus()[0]?.model ?? '?'}, Node ${process.versions.node}`)
measureTime()
measureHitRatio()
measureMemory()
