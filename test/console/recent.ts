// Decisions in memory, for tests of what is shown of them.

import type { AccessEntry } from '../../src/records/entries.ts'
import { recordJson } from '../../src/records/safe-text.ts'
import type { RecentDecision, RecentDecisions } from '../../src/records/search/recent-decisions.ts'

const entry: AccessEntry = {
  time: '2026-01-01T00:00:00.000Z',
  request_id: 'r',
  decision_id: 'd',
  method: 'GET',
  operation: 'org.sessions.list',
  path: null,
  organization: 'org-payments',
  team: 'payments',
  app: null,
  subject: 'ann',
  key: 'payments-runner',
  key_version: 1,
  status: 200,
  outcome: 'forwarded',
  problem: null,
  reason: 'granted',
  limit: null,
  cache: null,
  upstream_status: 200,
  upstream_request_id: null,
  bytes_in: 0,
  bytes_out: 10,
  duration_ms: 5,
  upstream_ms: 4,
  waited_ms: null,
  trace_id: null,
  policy_revision: 'abc',
}

export function recentDecision(access: Partial<AccessEntry> = {}, content = '{"effect":"allow"}'): RecentDecision {
  return { access: { ...entry, ...access }, content, stage: 'forward', sent: true }
}

/** As the recorder does it. */
export function remember(recent: RecentDecisions, ...what: Parameters<typeof recentDecision>): void {
  const { access, ...end } = recentDecision(...what)
  recent.add(access, recordJson(access), end)
}
