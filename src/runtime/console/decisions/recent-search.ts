// Finds decisions in memory: the newest first, page by page. Pure.

import type { DecisionCursor, DecisionQuery, DecisionView } from '../../../admin/console/decision-view.ts'
import { safeText } from '../../../records/safe-text.ts'
import type { DecisionSummary, RecentDecision, RecentDecisions } from '../../../records/search/recent-decisions.ts'

/** The decisions that fit, in order, one more than the page holds where there are more. */
export function searchRecent(recent: RecentDecisions, query: DecisionQuery): readonly DecisionView[] {
  const found: RecentDecision[] = []
  for (const each of recent.newestFirst()) {
    const { time } = each
    // Decisions of one millisecond are ordered by their ids, so all of them have to be seen.
    if (found.length > query.limit && time < (found.at(-1)?.access.time ?? '')) break
    if (query.from !== null && time < query.from) break
    if (isBehind(query.cursor, time, each.decision_id) && fits(recent, each, query)) found.push(recent.whole(each))
  }
  return found
    .map(viewOfRecent)
    .sort(newestFirst)
    .slice(0, query.limit + 1)
}

/** Whether a decision comes on a later page. */
export function isBehind(cursor: DecisionCursor | null, time: string, id: string): boolean {
  return cursor === null || time < cursor.time || (time === cursor.time && id < cursor.id)
}

/** The order of decisions. */
export function newestFirst(a: DecisionView, b: DecisionView): number {
  if (a.time !== b.time) return a.time < b.time ? 1 : -1
  return a.decision_id < b.decision_id ? 1 : a.decision_id > b.decision_id ? -1 : 0
}

function fits(recent: RecentDecisions, each: DecisionSummary, query: DecisionQuery): boolean {
  const { id, reason, effect } = query
  return (
    (query.to === null || each.time <= query.to) &&
    (id === null || each.decision_id === id || recent.isOfRequest(each, id)) &&
    (query.subject === null || (each.subject !== null && safeText(each.subject) === query.subject)) &&
    (query.team === null || each.team === query.team) &&
    (query.operation === null || each.operation === query.operation) &&
    (query.organization === null || each.organization === query.organization) &&
    (reason === null || each.reason === reason || each.problem === reason) &&
    (query.key === null || each.key === query.key) &&
    (query.outcome === null || each.outcome === query.outcome) &&
    (effect === null || effectIn(each.content) === effect)
  )
}

/** The content of a decision record begins with it. */
function effectIn(content: string): 'allow' | 'deny' {
  return content.startsWith('{"effect":"allow"') ? 'allow' : 'deny'
}

export function viewOfRecent({ access, content }: RecentDecision): DecisionView {
  const { time, decision_id, request_id, reason, problem, method, operation, path } = access
  return {
    time,
    decision_id,
    request_id,
    effect: effectIn(content),
    reason,
    problem,
    method,
    operation,
    path,
    organization: access.organization,
    team: access.team,
    app: access.app,
    subject: access.subject,
    key: access.key,
    status: access.status,
    outcome: access.outcome,
    cache: access.cache,
    limit: access.limit,
    duration_ms: access.duration_ms,
    upstream_ms: access.upstream_ms,
    waited_ms: access.waited_ms,
    source: 'memory',
  }
}
