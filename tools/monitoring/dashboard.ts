// The Grafana dashboard: rows that answer the questions of a bad day, and a last row with every other metric there is.

import type { Family } from './files.ts'

interface Panel {
  readonly title: string
  readonly unit: string
  /** Expressions with what their lines are called. */
  readonly targets: readonly (readonly [expr: string, legend: string])[]
  readonly description?: string
}

interface Row {
  readonly title: string
  readonly panels: readonly Panel[]
}

const chosen = 'job=~"$job",instance=~"$instance"'

function quantiles(name: string): Panel['targets'] {
  return [0.5, 0.95, 0.99].map((quantile) => [
    `histogram_quantile(${quantile}, sum by (le) (rate(${name}_bucket{${chosen}}[$__rate_interval])))`,
    `p${quantile * 100}`,
  ])
}

function rate(name: string, by: string, filter = ''): Panel['targets'][number] {
  return [`sum by (${by}) (rate(${name}{${chosen}${filter}}[$__rate_interval]))`, `{{${by}}}`]
}

const rows: readonly Row[] = [
  {
    title: 'Is it well?',
    panels: [
      { title: 'Requests by outcome', unit: 'reqps', targets: [rate('gateway_requests_total', 'outcome')] },
      { title: 'Own problems by kind', unit: 'reqps', targets: [rate('gateway_problems_total', 'kind')] },
      {
        title: 'Requests in flight and waiting',
        unit: 'short',
        targets: [
          [`sum(gateway_in_flight{${chosen}})`, 'in flight'],
          [`sum(gateway_waiting{${chosen}})`, 'waiting'],
        ],
      },
      { title: 'Overload', unit: 'short', targets: [[`gateway_overload_level{${chosen}}`, '{{instance}}']] },
    ],
  },
  {
    title: 'How fast is it?',
    panels: [
      { title: 'Requests', unit: 's', targets: quantiles('gateway_request_seconds') },
      { title: 'Calls to Devin', unit: 's', targets: quantiles('gateway_upstream_seconds') },
      { title: 'Cache', unit: 'reqps', targets: [rate('gateway_cache_total', 'result')] },
    ],
  },
  {
    title: 'Who, and what is refused?',
    panels: [
      { title: 'Requests by team', unit: 'reqps', targets: [rate('gateway_requests_total', 'team')] },
      {
        title: 'Denials by reason',
        unit: 'reqps',
        targets: [rate('gateway_decisions_total', 'reason', ',effect="deny"')],
      },
      {
        title: 'Budgets',
        unit: 'percent',
        targets: [[`max by (owner, budget) (gateway_budget_level_percent{${chosen}})`, '{{owner}} {{budget}}']],
      },
    ],
  },
  {
    title: 'Keys, issuers, Devin',
    panels: [
      {
        title: 'Keys that are not ready',
        unit: 'short',
        targets: [[`max by (key, state) (gateway_key_state{${chosen},state!="ready"}) == 1`, '{{key}} {{state}}']],
      },
      {
        title: 'Age of signing keys',
        unit: 's',
        targets: [[`max by (issuer) (gateway_jwks_age_seconds{${chosen}})`, '{{issuer}}']],
      },
      { title: 'Throttled by Devin', unit: 'reqps', targets: [rate('gateway_upstream_throttled_total', 'key')] },
      {
        title: 'Records that are lost',
        unit: 'short',
        targets: [
          [`sum by (stream) (increase(gateway_records_lost_total{${chosen}}[$__rate_interval]))`, '{{stream}}'],
        ],
      },
    ],
  },
]

/** A panel for a metric that no row has. */
function panelOf({ name, type, help }: Family): Panel {
  const unit = name.endsWith('_seconds') ? 's' : name.endsWith('_bytes') ? 'bytes' : 'short'
  const base = { title: name, description: help, unit }
  if (type === 'histogram') return { ...base, targets: quantiles(name) }
  if (type === 'counter')
    return {
      ...base,
      targets: [[`sum without (instance, job) (rate(${name}{${chosen}}[$__rate_interval]))`, '__auto']],
    }
  if (name.endsWith('_timestamp_seconds')) return { ...base, targets: [[`${name}{${chosen}} - time()`, '__auto']] }
  return { ...base, targets: [[`${name}{${chosen}}`, '__auto']] }
}

/** As Grafana imports it. `families`: every metric there is. */
export function dashboard(families: readonly Family[]): object {
  const shown = JSON.stringify(rows)
  const others = families.filter(({ name }) => !new RegExp(`\\b${name}(?:_bucket)?\\b`).test(shown)).map(panelOf)
  const panels: object[] = []
  let y = 0
  for (const { title, panels: of } of [...rows, { title: 'Everything else', panels: others }]) {
    panels.push({
      id: panels.length + 1,
      type: 'row',
      title,
      collapsed: false,
      gridPos: { x: 0, y, w: 24, h: 1 },
      panels: [],
    })
    y += 1
    const perLine = Math.min(4, of.length)
    for (const [index, panel] of of.entries()) {
      const line = Math.floor(index / perLine)
      const w = 24 / perLine
      panels.push(graph(panel, panels.length + 1, { x: (index % perLine) * w, y: y + line * 8, w, h: 8 }))
    }
    y += Math.ceil(of.length / perLine) * 8
  }
  return {
    uid: 'devin-gateway',
    title: 'devin-gateway',
    tags: ['devin-gateway'],
    schemaVersion: 39,
    editable: true,
    refresh: '30s',
    time: { from: 'now-3h', to: 'now' },
    templating: {
      list: [
        { name: 'datasource', type: 'datasource', query: 'prometheus', label: 'Data source' },
        variable('job', 'label_values(gateway_in_flight, job)'),
        variable('instance', 'label_values(gateway_in_flight{job=~"$job"}, instance)'),
      ],
    },
    panels,
  }
}

const source = { type: 'prometheus', uid: '${datasource}' }

function variable(name: string, query: string): object {
  return {
    name,
    type: 'query',
    datasource: source,
    query,
    refresh: 2,
    includeAll: true,
    multi: true,
    current: { text: 'All', value: '$__all' },
  }
}

function graph({ title, description = '', unit, targets }: Panel, id: number, gridPos: object): object {
  return {
    id,
    type: 'timeseries',
    title,
    description,
    datasource: source,
    gridPos,
    fieldConfig: { defaults: { unit }, overrides: [] },
    targets: targets.map(([expr, legendFormat], index) => ({
      refId: String.fromCodePoint(65 + index),
      datasource: source,
      expr,
      legendFormat,
      // Exemplars lead from a slow bucket to its trace.
      exemplar: expr.includes('_bucket'),
    })),
  }
}
