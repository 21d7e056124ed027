// What several workers say of the shadow set, as one: counts are added, and examples are the latest of all. Pure.

import { asNumber, asObject, asObjects, asText, sumOf } from './merged-json.ts'
import type { UntypedObject as Json } from '../json/untyped.ts'

/** The same pair of sets is added up; what another pair has counted would say nothing of this one, and is left out. */
export function mergeShadow(answers: readonly Json[]): Json {
  const [first = {}] = answers
  const alike = answers.filter(
    (each) => each['revision'] === first['revision'] && each['in_force'] === first['in_force'],
  )
  const sum = (name: string): number => sumOf(alike, name)
  const undecided = new Map<string, number>()
  const groups = new Map<string, Json>()
  for (const each of alike) {
    for (const [reason, count] of Object.entries(asObject(each['undecided'])))
      undecided.set(reason, (undecided.get(reason) ?? 0) + asNumber(count))
    for (const group of asObjects(each['disagreements'])) {
      const key = JSON.stringify([group['change'], group['team'], group['operation']])
      const known = groups.get(key)
      groups.set(key, known === undefined ? group : joined(known, group))
    }
  }
  const left = answers.length - alike.length
  return {
    ...first,
    since: extreme(alike, 'since', 1),
    decided: sum('decided'),
    same: sum('same'),
    different: sum('different'),
    undecided: Object.fromEntries(undecided),
    dropped: sum('dropped'),
    disagreements: inOrder([...groups.values()]),
    not_shown: sum('not_shown'),
    ...(left === 0 ? {} : { workers_with_other_sets: left }),
  }
}

function joined(one: Json, other: Json): Json {
  const [mine, others] = [asObjects(one['examples']), asObjects(other['examples'])]
  const most = Math.max(mine.length, others.length)
  return {
    ...one,
    count: asNumber(one['count']) + asNumber(other['count']),
    first_at: extreme([one, other], 'first_at', 1),
    last_at: extreme([one, other], 'last_at', -1),
    examples: [...mine, ...others].sort((a, b) => (asText(a['at']) < asText(b['at']) ? 1 : -1)).slice(0, most),
  }
}

/** As each worker orders them: by kind of change, then by count. */
function inOrder(groups: readonly Json[]): readonly Json[] {
  const kinds = ['gained', 'lost', 'key', 'guardrail', 'filter']
  const rank = ({ change }: Json): number => kinds.indexOf(asText(change))
  return groups.toSorted((a, b) => rank(a) - rank(b) || asNumber(b['count']) - asNumber(a['count']))
}

/** The earliest (`1`) or latest (`-1`) of times as ISO texts. */
function extreme(of: readonly Json[], name: string, direction: 1 | -1): unknown {
  return of.map((each) => asText(each[name])).sort((a, b) => (a < b ? -direction : direction))[0] ?? null
}
