// What several workers say to the console, as one: counts are added, percentiles are the highest, lists are joined. Pure.

import {
  asNumber,
  asObject,
  asObjects,
  asText,
  asTexts,
  distinct,
  earliest,
  latest,
  sumOf,
  sumsOf,
} from './merged-json.ts'
import type { UntypedObject as Json } from '../json/untyped.ts'

/** The moment of all workers. The highest percentile stands for all, since percentiles cannot be added. */
export function mergeNow(answers: readonly Json[]): Json {
  const [first = {}] = answers
  const part = (name: string): readonly Json[] => answers.map((each) => asObject(each[name]))
  const troubles = distinct(
    answers.flatMap((each) => asObjects(each['troubles'])),
    ['id'],
    (known, each) => ({ ...known, since: earliest([known, each], 'since') }),
  )
  const gravest = troubles[0]
  const others = troubles.length - 1
  const rest = others < 1 ? '' : ` There ${others === 1 ? 'is 1 more' : `are ${others} more`}.`
  const [cache, latency, queue, traffic] = [part('cache'), part('latency'), part('queue'), part('traffic')]
  return {
    ...first,
    instance: {
      ...asObject(first['instance']),
      started_at: earliest(part('instance'), 'started_at'),
      workers: answers.length,
    },
    ready: answers.some(({ ready }) => ready === true),
    summary: gravest === undefined ? first['summary'] : `${asText(gravest['what'])}${rest}`,
    troubles: troubles.toSorted((a, b) => rank(a) - rank(b) || (asText(a['since']) < asText(b['since']) ? -1 : 1)),
    traffic: {
      window_seconds: highest(traffic, 'window_seconds'),
      ...sumsOf(traffic, ['requests', 'in_flight']),
      per_second: Math.round(sumOf(traffic, 'per_second') * 10) / 10,
      outcomes: sumsOf(traffic.map(({ outcomes }) => asObject(outcomes))),
    },
    latency: {
      gateway: percentiles(latency.map(({ gateway }) => asObject(gateway))),
      devin: percentiles(latency.map(({ devin }) => asObject(devin))),
    },
    refusals: mergeRefusals(answers.flatMap((each) => asObjects(each['refusals']))),
    cache: {
      ...sumsOf(cache, ['asked', 'answered', 'bytes', 'max_bytes', 'entries']),
      hit_percent: percent(sumOf(cache, 'answered'), sumOf(cache, 'asked')),
    },
    queue: {
      ...sumsOf(queue, ['at_devin', 'waiting', 'connections']),
      longest_wait_ms: highest(queue, 'longest_wait_ms'),
    },
    memory: sumsOf(part('memory')),
  }
}

/** Steps of all workers by the time at which they ended; a step of one worker falls into the nearest step of the first. */
export function mergeSeries(answers: readonly Json[]): Json {
  const [first = {}] = answers
  const step = Math.max(1, asNumber(first['step_seconds']))
  const names = Object.keys(asObject(first['columns']))
  const slots = new Map<number, Map<string, number>>()
  for (const answer of answers) {
    const columns = asObject(answer['columns'])
    for (const [index, at] of numbersOf(answer['at']).entries()) {
      const slot = Math.round((at ?? 0) / step) * step
      const values = slots.get(slot) ?? new Map<string, number>()
      slots.set(slot, values)
      for (const name of names) {
        const value = numbersOf(columns[name])[index] ?? null
        if (value === null) continue
        const known = values.get(name)
        values.set(name, known === undefined ? value : name.endsWith('_ms') ? Math.max(known, value) : known + value)
      }
    }
  }
  const at = [...slots.keys()].toSorted((a, b) => a - b)
  const columns = names.map((name) => [name, at.map((slot) => slots.get(slot)?.get(name) ?? null)])
  return { step_seconds: step, at, columns: Object.fromEntries(columns) as Json }
}

/** One page of the decisions of all workers. Decisions in a file are found by each of them. */
export function mergeDecisions(answers: readonly Json[], limit: number): Json {
  const found = answers.flatMap((each) => asObjects(each['decisions']))
  const inMemory = found.filter(({ source }) => source === 'memory')
  const all = distinct([...inMemory, ...found], ['decision_id'], (known) => known).toSorted(newestFirst)
  // A worker whose page was full, or whose search was cut off, knows nothing behind its cursor.
  const cursors = answers.flatMap(({ next }) => (typeof next === 'string' ? [next] : []))
  const bound = cursors.toSorted().at(-1)
  const known =
    bound === undefined ? all : all.filter((each) => `${asText(each['time'])}~${asText(each['decision_id'])}` >= bound)
  const page = known.slice(0, limit)
  const last = page.at(-1)
  const next =
    known.length > page.length && last !== undefined
      ? `${asText(last['time'])}~${asText(last['decision_id'])}`
      : (bound ?? null)
  const searched = answers.map((each) => asObject(each['searched']))
  const memory = searched.map((each) => asObject(each['memory']))
  const files = searched.find((each) => each['files'] !== null) ?? searched[0] ?? {}
  return {
    decisions: page,
    next,
    searched: {
      ...files,
      memory: { ...sumsOf(memory, ['decisions', 'bytes', 'max_bytes']), oldest: latest(memory, 'oldest') },
    },
  }
}

export function mergeTeams(answers: readonly Json[]): Json {
  const teams = distinct(
    answers.flatMap((each) => asObjects(each['teams'])),
    ['id'],
    mergeSummaries,
  )
  return { ...answers[0], teams }
}

export function mergeTeam(answers: readonly Json[]): Json {
  const [first = {}] = answers
  const calls = distinct(
    answers.flatMap((each) => asObjects(each['calls'])),
    ['operation'],
    (known, each) => ({ ...known, ...sumsOf([known, each], ['requests', 'refused', 'failed']) }),
  )
  const called = new Set(calls.map(({ operation }) => operation))
  return {
    ...first,
    team: answers.map((each) => asObject(each['team'])).reduce(mergeSummaries),
    calls: calls.toSorted((a, b) => asNumber(b['requests']) - asNumber(a['requests'])),
    refusals: mergeRefusals(answers.flatMap((each) => asObjects(each['refusals']))),
    never_used: asObjects(first['never_used']).filter(({ operation }) => !called.has(operation)),
  }
}

export function mergeCaches(answers: readonly Json[]): Json {
  const answering = ['hits', 'stale', 'validated', 'collapsed']
  const counted = [...answering, 'misses', 'bypassed', 'evictions', 'bytes']
  const operations = distinct(
    answers.flatMap((each) => asObjects(each['operations'])),
    ['operation'],
    (known, each) => ({ ...known, ...sumsOf([known, each], counted) }),
  )
  const answered = answering.reduce((total, name) => total + sumOf(operations, name), 0)
  const asked = answered + sumOf(operations, 'misses') + sumOf(operations, 'bypassed')
  return {
    ...answers[0],
    ...sumsOf(answers, ['bytes', 'max_bytes', 'entries']),
    hit_percent: percent(answered, asked),
    operations: operations.toSorted((a, b) => (asText(a['operation']) < asText(b['operation']) ? -1 : 1)),
  }
}

/** The chain is the same for all; each worker remembers its own changes. */
export function mergeAudits(answers: readonly Json[]): Json {
  const changes = answers.flatMap((each) => asObjects(each['changes']))
  return { ...answers[0], changes: changes.toSorted((a, b) => (asText(a['time']) < asText(b['time']) ? 1 : -1)) }
}

function mergeSummaries(known: Json, each: Json): Json {
  return {
    ...known,
    ...sumsOf([known, each], ['requests', 'refused']),
    last_call: latest([known, each], 'last_call'),
    unused_grants: asTexts(known['unused_grants']).filter((grant) => asTexts(each['unused_grants']).includes(grant)),
  }
}

function mergeRefusals(rows: readonly Json[]): readonly Json[] {
  return distinct(rows, ['reason'], (known, each) => ({
    ...(asText(known['last_at']) < asText(each['last_at']) ? each : known),
    count: sumOf([known, each], 'count'),
    teams: [...new Set([known, each].flatMap(({ teams }) => asTexts(teams)))].toSorted(),
  })).toSorted((a, b) => asNumber(b['count']) - asNumber(a['count']))
}

function newestFirst(a: Json, b: Json): number {
  const [one, other] = [a, b].map((each) => `${asText(each['time'])}~${asText(each['decision_id'])}`)
  return (one ?? '') < (other ?? '') ? 1 : -1
}

function rank({ severity }: Json): number {
  return ['outage', 'degraded', 'warning'].indexOf(asText(severity))
}

function percentiles(of: readonly Json[]): Json {
  return { p50: highest(of, 'p50'), p99: highest(of, 'p99') }
}

function highest(of: readonly Json[], name: string): number | null {
  const found = of.flatMap((each) => (typeof each[name] === 'number' ? [each[name]] : []))
  return found.length === 0 ? null : Math.max(...found)
}

function percent(part: number, whole: number): number | null {
  return whole === 0 ? null : Math.round((part / whole) * 1000) / 10
}

function numbersOf(value: unknown): readonly (number | null)[] {
  return Array.isArray(value) ? value.map((each) => (typeof each === 'number' ? each : null)) : []
}
