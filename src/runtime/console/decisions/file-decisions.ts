// Decisions that have left the memory, from the record files.

import type { DecisionQuery, DecisionView } from '../../../admin/console/decision-view.ts'
import { QueryError } from '../../../admin/console/query.ts'
import type { DecisionEntry } from '../../../records/entries.ts'
import { readNewestFirst, type FilesRead } from '../../../records/search/decision-files.ts'
import { standardDescriptor } from '../../../records/target.ts'
import { isBehind } from './recent-search.ts'

/** Bounds of one search. */
const mostBytes = 64 * 1024 * 1024
const mostMs = 1_000
/** A compressed file is of use only when it was read to its end. */
const mostMsOfCompressed = 4_000
/** Each of them reads files; more have to come back. */
const mostSearches = 4

export interface FoundInFiles {
  readonly entries: readonly DecisionEntry[]
  readonly read: FilesRead
}

export interface FileDecisions {
  /** Up to `most` decisions that fit, the newest first; null where the records go to no file. */
  search(query: DecisionQuery, most: number, isKnown: (id: string) => boolean): Promise<FoundInFiles | null>
}

/** `file`: where decision records go. Only one search reads at a time. */
export function openFileDecisions(file: string, monotonic: () => number, maxBytes = mostBytes): FileDecisions {
  let latest: Promise<unknown> = Promise.resolve()
  let waiting = 0

  async function read(query: DecisionQuery, most: number, isKnown: (id: string) => boolean): Promise<FoundInFiles> {
    const entries: DecisionEntry[] = []
    const found = await readNewestFirst({
      file,
      maxBytes,
      maxMs: mostMs,
      maxMsOfCompressed: mostMsOfCompressed,
      monotonic,
      texts: textsOf(query),
      until: [query.to, query.cursor?.time ?? null].filter((time) => time !== null).sort()[0] ?? null,
      take(record) {
        if (!isDecisionEntry(record)) return true
        // Records of long writes are a little older than their neighbours.
        if (
          query.from !== null &&
          record.time < query.from &&
          Date.parse(query.from) - Date.parse(record.time) > 600_000
        )
          return false
        if (
          isBehind(query.cursor, record.time, record.decision_id) &&
          fits(record, query) &&
          !isKnown(record.decision_id)
        )
          entries.push(record)
        return entries.length < most
      },
    })
    return { entries, read: found }
  }

  return {
    async search(query, most, isKnown) {
      if (standardDescriptor(file) !== null) return null
      if (waiting >= mostSearches)
        throw new QueryError('The record files are being searched for others: ask again in a moment.', 429)
      waiting += 1
      const mine = latest.then(() => read(query, most, isKnown))
      latest = mine.catch(() => {})
      return await mine.finally(() => (waiting -= 1))
    },
  }
}

/** A file may hold other lines as well, and lines of earlier versions. */
function isDecisionEntry(
  record: Readonly<Record<string, unknown>>,
): record is Readonly<Record<string, unknown>> & DecisionEntry {
  return (
    typeof record['time'] === 'string' &&
    typeof record['decision_id'] === 'string' &&
    typeof record['effect'] === 'string' &&
    typeof record['ended'] === 'object' &&
    record['ended'] !== null
  )
}

/** What each line that fits has to hold, as it stands in JSON. */
function textsOf(query: DecisionQuery): readonly string[] {
  const { id, subject, team, operation, organization, reason, key, effect, outcome } = query
  const member = (name: string, value: string | null): readonly string[] =>
    value === null ? [] : [`"${name}":${JSON.stringify(value)}`]
  return [
    ...(id === null ? [] : [JSON.stringify(id)]),
    ...(organization === null ? [] : [JSON.stringify(organization)]),
    ...member('subject', subject),
    ...member('team', team),
    ...member('operation', operation),
    ...member('key', key),
    ...member('effect', effect),
    ...member('reason', reason),
    ...member('how', outcome),
  ]
}

function fits(entry: DecisionEntry, query: DecisionQuery): boolean {
  const { id, subject, team, operation, organization, reason, key, effect, outcome, from, to } = query
  return (
    (from === null || entry.time >= from) &&
    (to === null || entry.time <= to) &&
    (id === null || entry.decision_id === id || entry.request_id === id) &&
    (subject === null || entry.subject === subject) &&
    (team === null || entry.team === team) &&
    (operation === null || entry.operation === operation) &&
    (organization === null || (entry.organizations ?? []).includes(organization)) &&
    (reason === null || entry.reason === reason) &&
    (key === null || entry.key === key) &&
    (effect === null || entry.effect === effect) &&
    (outcome === null || entry.ended.how === outcome)
  )
}

export function viewOfEntry(entry: DecisionEntry): DecisionView {
  return {
    time: entry.time,
    decision_id: entry.decision_id,
    request_id: entry.request_id,
    effect: entry.effect,
    reason: entry.reason,
    problem: null,
    method: null,
    operation: entry.operation ?? null,
    path: null,
    organization: entry.organizations?.[0] ?? null,
    team: entry.team ?? null,
    app: entry.app ?? null,
    subject: entry.subject ?? null,
    key: entry.key ?? null,
    status: null,
    outcome: entry.ended.how,
    cache: null,
    limit: null,
    duration_ms: null,
    upstream_ms: null,
    waited_ms: null,
    source: 'file',
  }
}
