// What several workers say to the console, as one; the merged answers are as the document says.

import { expect, test } from 'vitest'
import { mergeDecisions, mergeNow, mergeSeries, mergeTeams } from '../../src/workers/merged-console.ts'
import { expectDocumentedValue } from '../support/admin-api.ts'

const trouble = (id: string, severity: string, since: string) => ({
  id,
  severity,
  what: `${id} fails.`,
  since,
  owner: 'platform',
  contact: null,
  do: 'Repair it.',
  about: { kind: 'key', name: id },
})
const now = (more: object) => ({
  at: '2026-01-01T00:00:10Z',
  instance: { version: '1', started_at: '2026-01-01T00:00:00Z', workers: 1 },
  ready: true,
  draining: false,
  summary: 'All is well.',
  troubles: [],
  traffic: { window_seconds: 10, requests: 5, per_second: 0.5, in_flight: 1, outcomes: { cached: 5 } },
  latency: { gateway: { p50: 1, p99: 2 }, devin: { p50: null, p99: null } },
  refusals: [],
  cache: { asked: 4, answered: 1, hit_percent: 25, bytes: 1, max_bytes: 10, entries: 1 },
  queue: { at_devin: 1, waiting: 0, connections: 8, longest_wait_ms: null },
  memory: { rss_bytes: 1, heap_bytes: 1 },
  ...more,
})

test('the moment: counts are added, the highest percentile stands, a trouble is told once, since its beginning', () => {
  const later = '2026-01-01T00:00:09Z'
  const merged = mergeNow([
    now({
      troubles: [trouble('b', 'warning', later)],
      latency: { gateway: { p50: 3, p99: 3 }, devin: { p50: 9, p99: 9 } },
    }),
    now({ troubles: [trouble('a', 'outage', later), trouble('b', 'warning', '2026-01-01T00:00:05Z')] }),
  ])
  expectDocumentedValue('Now', merged)
  expect(merged).toMatchObject({
    summary: 'b fails. There is 1 more.',
    instance: { workers: 2 },
    traffic: { requests: 10, in_flight: 2, outcomes: { cached: 10 } },
    latency: { gateway: { p50: 3, p99: 3 }, devin: { p50: 9, p99: 9 } },
    cache: { hit_percent: 25 },
    queue: { connections: 16, longest_wait_ms: null },
  })
  expect((merged['troubles'] as { id: string; since: string }[]).map(({ id, since }) => [id, since])).toEqual([
    ['a', later],
    ['b', '2026-01-01T00:00:05Z'],
  ])
})

test('series fall into common steps', () => {
  const names = ['requests', 'gateway_p99_ms']
  const series = (at: number[], requests: (number | null)[], ms: (number | null)[]) => ({
    step_seconds: 10,
    at,
    columns: { [names[0] ?? '']: requests, [names[1] ?? '']: ms },
  })
  expect(mergeSeries([series([101, 111], [1, 2], [5, null]), series([98, 108, 118], [4, 4, 4], [7, 1, null])])).toEqual(
    {
      step_seconds: 10,
      at: [100, 110, 120],
      columns: { requests: [5, 6, 4], gateway_p99_ms: [7, 1, null] },
    },
  )
})

test('pages of decisions hold each once, whatever each worker has and however far it looked', () => {
  const all = Array.from({ length: 60 }, (_, index) => ({
    time: new Date(1_800_000_000_000 - Math.floor(index / 3)).toISOString(),
    decision_id: `d${String((index * 7) % 60).padStart(2, '0')}`,
    source: 'memory',
  }))
  const ofWorker = (number: number) => all.filter((_, index) => index % 3 === number || index % 10 === number)
  const key = (each: { time: string; decision_id: string }): string => `${each.time}~${each.decision_id}`
  const ask = (number: number, cursor: string | null, limit: number) => {
    const found = ofWorker(number)
      .toSorted((a, b) => (key(a) < key(b) ? 1 : -1))
      .filter((each) => cursor === null || key(each) < cursor)
    const page = found.slice(0, limit)
    const last = page.at(-1)
    return {
      decisions: page,
      next: found.length > limit && last !== undefined ? key(last) : null,
      searched: { memory: { decisions: 1, bytes: 1, max_bytes: 1, oldest: null }, files: null, note: '' },
    }
  }
  for (const limit of [1, 4, 50]) {
    const seen: string[] = []
    let cursor: string | null = null
    do {
      const merged = mergeDecisions(
        [0, 1, 2].map((number) => ask(number, cursor, limit)),
        limit,
      )
      seen.push(...(merged['decisions'] as { decision_id: string }[]).map(({ decision_id }) => decision_id))
      cursor = merged['next'] as string | null
    } while (cursor !== null)
    expect(seen.toSorted()).toEqual(all.map(({ decision_id }) => decision_id).toSorted())
  }
})

test('a grant is unused where no worker has seen a use of it', () => {
  const team = {
    id: 'payments',
    description: null,
    owner: null,
    contact: null,
    organizations: 'all',
    requests: 1,
    refused: 0,
    last_call: null,
    blocked: false,
    tightest_budget: null,
  }
  const answer = (...unused: string[]) => ({
    since: '2026-01-01T00:00:00Z',
    teams: [{ ...team, unused_grants: unused }],
  })
  const merged = mergeTeams([answer('read', 'write'), answer('write', 'delete')])
  expectDocumentedValue('Teams', merged)
  expect(merged['teams']).toEqual([{ ...team, requests: 2, unused_grants: ['write'] }])
})
