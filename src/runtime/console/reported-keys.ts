// The report on keys as operators see it, the most urgent first. Pure.

import { keyUrgencies, type KeyFindingView, type KeyReportView } from '../../admin/console/key-report-view.ts'
import { isoTime } from '../../admin/views.ts'
import { keyFindingKinds, type KeyFinding, type KeyFindingKind } from '../../policy/key-report/findings.ts'
import { watchedMs, type ReportedKeys } from '../keys/key-report.ts'
import { sentence } from './moment/part-troubles.ts'

type Urgency = KeyFindingView['urgency']

const urgencies: Readonly<Record<KeyFindingKind, Urgency>> = {
  quarantined: 'now',
  'service-user-changed': 'now',
  expires: 'soon',
  'shared-value': 'soon',
  'shared-service-user': 'soon',
  'wider-roles': 'soon',
  'other-permissions': 'soon',
  'no-team': 'later',
  'never-used': 'later',
  'unneeded-permission': 'later',
  'unused-permission': 'later',
  'organization-key': 'later',
}

const dayMs = 86_400_000

/** `endOf`: when a key ends first, by the inventory or by Devin; null where neither says it. */
export function keyReportView(
  reported: ReportedKeys,
  endOf: (key: string) => number | null,
  nowMs: number,
): KeyReportView {
  const { policy, reaches, state, findings, watchedSinceMs } = reported
  const end = (key: string): number => endOf(key) ?? Number.POSITIVE_INFINITY
  const rank = ({ finding, urgency }: KeyFindingView): readonly number[] => [
    keyUrgencies.indexOf(urgency),
    keyFindingKinds.indexOf(finding),
  ]
  const views = findings.map((each) => findingView(each, end(each.key) - nowMs))
  return {
    state,
    revision: policy?.revision ?? null,
    watched_since: isoTime(watchedSinceMs) ?? '',
    unused_told_from: isoTime(watchedSinceMs + watchedMs) ?? '',
    findings: views.toSorted((a, b) => {
      const [[urgencyA = 0, kindA = 0], [urgencyB = 0, kindB = 0]] = [rank(a), rank(b)]
      const earlier = a.finding === 'expires' && b.finding === 'expires' ? Math.sign(end(a.key) - end(b.key)) : 0
      return urgencyA - urgencyB || kindA - kindB || earlier || 0
    }),
    keys: (policy?.keys ?? []).map(({ id }) => {
      const reach = reaches.get(id)
      return {
        key: id,
        teams: [...(reach?.teams ?? [])].sort(),
        needed: [...(reach?.permissions ?? [])].sort(),
        gateway_uses: [...(reach?.ownOperations ?? [])].sort(),
      }
    }),
  }
}

function findingView(
  { key, finding, text, action, file, line, unused = [] }: KeyFinding,
  leftMs: number,
): KeyFindingView {
  return {
    key,
    finding,
    urgency: finding === 'expires' && leftMs < dayMs ? 'now' : urgencies[finding],
    what: sentence(text),
    do: action,
    source: `${file}:${line}`,
    unused,
  }
}
