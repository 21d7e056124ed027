// Metrics of the shadow set: what it decides otherwise than the policies in force.

import type { Metrics } from './prometheus.ts'
import { LabelSet } from './tallies.ts'

const changes = new LabelSet(['gained', 'lost', 'key', 'guardrail', 'filter'])

/** `teams`: whose names may be label values. */
export function addShadowMetrics(metrics: Metrics, operationIds: readonly string[], teams: LabelSet) {
  const operations = new LabelSet(operationIds)
  const revision = metrics.gauge(
    'gateway_shadow_revision_info',
    'Always 1; the label is the revision of the shadow set. None without one.',
    ['revision'],
  )
  const shadowRefused = metrics.setter(
    'gateway_shadow_refused',
    '1 while the files of the shadow set hold one that was refused.',
  )
  const disagreements = metrics.counter(
    'gateway_shadow_disagreements_total',
    'Requests that the shadow set decides otherwise than the policies in force, by team, operation and what it changes: gained, lost, key, guardrail or filter.',
    ['team', 'operation', 'change'],
  )
  return {
    /** A shadow set is decided from now on. */
    shadowLoaded(policy: { readonly revision: string; readonly teams: readonly string[] }) {
      teams.add(policy.teams)
      revision.reset()
      revision.set({ revision: policy.revision }, 1)
    },
    /** Whether the files hold a set that was not taken. */
    shadowRefused,
    /** What became of a request: both sets alike, different, not decidable under the shadow set, or not looked at. */
    shadowDecision: metrics.counterOf(
      'gateway_shadow_decisions_total',
      'Requests beside a shadow set: decided alike by both, decided differently, undecided because a fact was not kept, or dropped because too many waited.',
      'result',
      ['same', 'different', 'undecided', 'dropped'],
    ),
    shadowDisagreement: (team: string | null, operation: string, change: string) =>
      disagreements.inc({
        team: teams.closed(team),
        operation: operations.closed(operation),
        change: changes.closed(change),
      }),
  }
}
