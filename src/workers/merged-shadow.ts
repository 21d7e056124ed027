// What several workers say of the shadow set, as one: counts are added, and examples are the latest of all. Pure.

import { asNumber, asObject, asObjects, asText, distinct, earliest, latest, sumsOf } from './merged-json.ts'
import type { UntypedObject as Json } from '../json/untyped.ts'

/** The same pair of sets is added up; what another pair has counted would say nothing of this one, and is left out. */
export function mergeShadow(answers: readonly Json[]): Json {
  const [first = {}] = answers
  const alike = answers.filter(
    (each) => each['revision'] === first['revision'] && each['in_force'] === first['in_force'],
  )
  const disagreements = distinct(
    alike.flatMap((each) => asObjects(each['disagreements'])),
    ['change', 'team', 'operation'],
    joined,
  )
  const left = answers.length - alike.length
  return {
    ...first,
    ...sumsOf(alike, ['decided', 'same', 'different', 'dropped', 'not_shown']),
    since: earliest(alike, 'since'),
    undecided: sumsOf(alike.map(({ undecided }) => asObject(undecided))),
    disagreements: inOrder(disagreements),
    ...(left === 0 ? {} : { workers_with_other_sets: left }),
  }
}

function joined(one: Json, other: Json): Json {
  const [mine, others] = [asObjects(one['examples']), asObjects(other['examples'])]
  const most = Math.max(mine.length, others.length)
  return {
    ...one,
    ...sumsOf([one, other], ['count']),
    first_at: earliest([one, other], 'first_at'),
    last_at: latest([one, other], 'last_at'),
    examples: [...mine, ...others].sort((a, b) => (asText(a['at']) < asText(b['at']) ? 1 : -1)).slice(0, most),
  }
}

/** As each worker orders them: by kind of change, then by count. */
function inOrder(groups: readonly Json[]): readonly Json[] {
  const kinds = ['gained', 'lost', 'key', 'guardrail', 'filter']
  const rank = ({ change }: Json): number => kinds.indexOf(asText(change))
  return groups.toSorted((a, b) => rank(a) - rank(b) || asNumber(b['count']) - asNumber(a['count']))
}
