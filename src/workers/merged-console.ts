// What several workers say to the console, as one: counts are added, percentiles are the highest, lists are joined. Pure.

type Json = Readonly<Record<string, unknown>>

/** The moment of all workers. The highest percentile stands for all, since percentiles cannot be added. */
export function mergeNow(answers: readonly Json[]): Json {
  const [first = {}] = answers
  const part = (name: string): readonly Json[] => answers.map((each) => objectOf(each[name]))
  const troubles = distinct(
    answers.flatMap((each) => listOf(each['troubles'])),
    'id',
    (known, each) => ({
      ...known,
      since: text(known['since']) < text(each['since']) ? known['since'] : each['since'],
    }),
  )
  const gravest = troubles[0]
  const others = troubles.length - 1
  const rest = others < 1 ? '' : ` There ${others === 1 ? 'is 1 more' : `are ${others} more`}.`
  const cache = part('cache')
  const [asked, answered] = [sum(cache, 'asked'), sum(cache, 'answered')]
  const latency = part('latency')
  return {
    ...first,
    instance: {
      ...objectOf(first['instance']),
      started_at: part('instance')
        .map(({ started_at: at }) => text(at))
        .toSorted()[0],
      workers: answers.length,
    },
    ready: answers.some(({ ready }) => ready === true),
    summary: gravest === undefined ? first['summary'] : `${text(gravest['what'])}${rest}`,
    troubles: troubles.toSorted((a, b) => rank(a) - rank(b) || (text(a['since']) < text(b['since']) ? -1 : 1)),
    traffic: {
      window_seconds: highest(part('traffic'), 'window_seconds'),
      requests: sum(part('traffic'), 'requests'),
      per_second: Math.round(sum(part('traffic'), 'per_second') * 10) / 10,
      in_flight: sum(part('traffic'), 'in_flight'),
      outcomes: added(part('traffic').map(({ outcomes }) => objectOf(outcomes))),
    },
    latency: {
      gateway: percentiles(latency.map(({ gateway }) => objectOf(gateway))),
      devin: percentiles(latency.map(({ devin }) => objectOf(devin))),
    },
    refusals: mergeRefusals(answers.flatMap((each) => listOf(each['refusals']))),
    cache: {
      asked,
      answered,
      hit_percent: percent(answered, asked),
      bytes: sum(cache, 'bytes'),
      max_bytes: sum(cache, 'max_bytes'),
      entries: sum(cache, 'entries'),
    },
    queue: {
      at_devin: sum(part('queue'), 'at_devin'),
      waiting: sum(part('queue'), 'waiting'),
      connections: sum(part('queue'), 'connections'),
      longest_wait_ms: highest(part('queue'), 'longest_wait_ms'),
    },
    memory: { rss_bytes: sum(part('memory'), 'rss_bytes'), heap_bytes: sum(part('memory'), 'heap_bytes') },
  }
}

/** Steps of all workers by the time at which they ended; a step of one worker falls into the nearest step of the first. */
export function mergeSeries(answers: readonly Json[]): Json {
  const [first = {}] = answers
  const step = Math.max(1, number(first['step_seconds']))
  const names = Object.keys(objectOf(first['columns']))
  const slots = new Map<number, Map<string, number>>()
  for (const answer of answers) {
    const columns = objectOf(answer['columns'])
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
  const found = answers.flatMap((each) => listOf(each['decisions']))
  const inMemory = found.filter(({ source }) => source === 'memory')
  const all = distinct([...inMemory, ...found], 'decision_id', (known) => known).toSorted(newestFirst)
  // A worker whose page was full, or whose search was cut off, knows nothing behind its cursor.
  const cursors = answers.flatMap(({ next }) => (typeof next === 'string' ? [next] : []))
  const bound = cursors.toSorted().at(-1)
  const known =
    bound === undefined ? all : all.filter((each) => `${text(each['time'])}~${text(each['decision_id'])}` >= bound)
  const page = known.slice(0, limit)
  const last = page.at(-1)
  const next =
    known.length > page.length && last !== undefined
      ? `${text(last['time'])}~${text(last['decision_id'])}`
      : (bound ?? null)
  const searched = answers.map((each) => objectOf(each['searched']))
  const memory = searched.map((each) => objectOf(each['memory']))
  const files = searched.find((each) => each['files'] !== null) ?? searched[0] ?? {}
  return {
    decisions: page,
    next,
    searched: {
      ...files,
      memory: {
        decisions: sum(memory, 'decisions'),
        bytes: sum(memory, 'bytes'),
        max_bytes: sum(memory, 'max_bytes'),
        oldest: latest(memory, 'oldest'),
      },
    },
  }
}

export function mergeTeams(answers: readonly Json[]): Json {
  const teams = distinct(
    answers.flatMap((each) => listOf(each['teams'])),
    'id',
    mergeSummaries,
  )
  return { ...answers[0], teams }
}

export function mergeTeam(answers: readonly Json[]): Json {
  const [first = {}] = answers
  const calls = distinct(
    answers.flatMap((each) => listOf(each['calls'])),
    'operation',
    (known, each) => ({
      operation: known['operation'],
      requests: sum([known, each], 'requests'),
      refused: sum([known, each], 'refused'),
      failed: sum([known, each], 'failed'),
    }),
  )
  const called = new Set(calls.map(({ operation }) => operation))
  return {
    ...first,
    team: answers.map((each) => objectOf(each['team'])).reduce(mergeSummaries),
    calls: calls.toSorted((a, b) => number(b['requests']) - number(a['requests'])),
    refusals: mergeRefusals(answers.flatMap((each) => listOf(each['refusals']))),
    never_used: listOf(first['never_used']).filter(({ operation }) => !called.has(operation)),
  }
}

export function mergeCaches(answers: readonly Json[]): Json {
  const counted = ['hits', 'stale', 'validated', 'collapsed', 'misses', 'bypassed', 'evictions', 'bytes']
  const operations = distinct(
    answers.flatMap((each) => listOf(each['operations'])),
    'operation',
    (known, each) => ({
      operation: known['operation'],
      ...Object.fromEntries(counted.map((name) => [name, sum([known, each], name)])),
    }),
  )
  const answered = ['hits', 'stale', 'validated', 'collapsed'].reduce((total, name) => total + sum(operations, name), 0)
  const asked = answered + sum(operations, 'misses') + sum(operations, 'bypassed')
  return {
    ...answers[0],
    bytes: sum(answers, 'bytes'),
    max_bytes: sum(answers, 'max_bytes'),
    entries: sum(answers, 'entries'),
    hit_percent: percent(answered, asked),
    operations: operations.toSorted((a, b) => (text(a['operation']) < text(b['operation']) ? -1 : 1)),
  }
}

/** The chain is the same for all; each worker remembers its own changes. */
export function mergeAudits(answers: readonly Json[]): Json {
  const changes = answers.flatMap((each) => listOf(each['changes']))
  return { ...answers[0], changes: changes.toSorted((a, b) => (text(a['time']) < text(b['time']) ? 1 : -1)) }
}

function mergeSummaries(known: Json, each: Json): Json {
  return {
    ...known,
    requests: sum([known, each], 'requests'),
    refused: sum([known, each], 'refused'),
    last_call: latest([known, each], 'last_call'),
  }
}

function mergeRefusals(rows: readonly Json[]): readonly Json[] {
  return distinct(rows, 'reason', (known, each) => ({
    ...(text(known['last_at']) < text(each['last_at']) ? each : known),
    count: sum([known, each], 'count'),
    teams: [
      ...new Set([known, each].flatMap(({ teams }) => (Array.isArray(teams) ? teams.map(String) : []))),
    ].toSorted(),
  })).toSorted((a, b) => number(b['count']) - number(a['count']))
}

/** One row for each value of a member, in the order in which they come first. */
function distinct(rows: readonly Json[], name: string, join: (known: Json, each: Json) => Json): readonly Json[] {
  const found = new Map<unknown, Json>()
  for (const each of rows) {
    const known = found.get(each[name])
    found.set(each[name], known === undefined ? each : join(known, each))
  }
  return [...found.values()]
}

function newestFirst(a: Json, b: Json): number {
  const [one, other] = [a, b].map((each) => `${text(each['time'])}~${text(each['decision_id'])}`)
  return (one ?? '') < (other ?? '') ? 1 : -1
}

function rank({ severity }: Json): number {
  return ['outage', 'degraded', 'warning'].indexOf(text(severity))
}

function percentiles(of: readonly Json[]): Json {
  return { p50: highest(of, 'p50'), p99: highest(of, 'p99') }
}

function added(of: readonly Json[]): Json {
  const names = new Set(of.flatMap((each) => Object.keys(each)))
  return Object.fromEntries([...names].map((name) => [name, sum(of, name)]))
}

function sum(of: readonly Json[], name: string): number {
  return of.reduce((total, each) => total + number(each[name]), 0)
}

function highest(of: readonly Json[], name: string): number | null {
  const found = of.flatMap((each) => (typeof each[name] === 'number' ? [each[name]] : []))
  return found.length === 0 ? null : Math.max(...found)
}

function latest(of: readonly Json[], name: string): string | null {
  return (
    of
      .flatMap((each) => (typeof each[name] === 'string' ? [each[name]] : []))
      .toSorted()
      .at(-1) ?? null
  )
}

function percent(part: number, whole: number): number | null {
  return whole === 0 ? null : Math.round((part / whole) * 1000) / 10
}

function listOf(value: unknown): readonly Json[] {
  return Array.isArray(value) ? value.map(objectOf) : []
}

function numbersOf(value: unknown): readonly (number | null)[] {
  return Array.isArray(value) ? value.map((each) => (typeof each === 'number' ? each : null)) : []
}

function objectOf(value: unknown): Json {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

function number(value: unknown): number {
  return typeof value === 'number' ? value : 0
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
