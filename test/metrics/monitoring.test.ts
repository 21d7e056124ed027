// The alerts, the dashboard and the runbooks, held against the metrics that there are, and run by Prometheus' own tool.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { alerts } from '../../tools/monitoring/alerts.ts'
import { metricFamilies, metricsIn } from '../../tools/monitoring/files.ts'
import { pythonWith } from '../support/debian-python.ts'
import { startTestGateway, usualPolicies } from '../support/start-gateway.ts'

const root = join(import.meta.dirname, '../..')
const hasTool = spawnSync('promtool', ['--version']).status === 0
const isRequired = process.env['GATEWAY_TEST_PEERS'] === 'required'
if (!hasTool && !isRequired)
  process.stderr.write('promtool is not installed (Debian: prometheus): its checks are skipped\n')

function promtool(args: readonly string[], input = ''): string {
  const { status, stdout, stderr, error } = spawnSync('promtool', args, { cwd: join(root, 'deploy/monitoring'), input })
  return `${status ?? String(error)} ${String(stderr)}${status === 0 ? '' : String(stdout)}`.trim()
}

const parser = `
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
print(sum(1 for family in text_string_to_metric_families(sys.stdin.read()) if family.name.startswith('gateway_')))`
const python = pythonWith('prometheus_client')
if (python === null && isRequired) throw new Error('python3-prometheus-client is not installed')

function parseOpenMetrics(input: string): { status: number | null; families: number; said: string } {
  const { status, stdout, stderr } = spawnSync(python ?? '', ['-c', parser], { input, encoding: 'utf8' })
  return { status, families: Number(stdout), said: stderr }
}

interface Target {
  readonly expr: string
  readonly legendFormat: string
  readonly datasource: { readonly uid: string }
}
interface Dashboard {
  readonly panels: readonly { readonly title: string; readonly targets?: readonly Target[] }[]
  readonly templating: { readonly list: readonly { readonly name: string; readonly type: string }[] }
}
const board = JSON.parse(readFileSync(join(root, 'deploy/monitoring/dashboard.json'), 'utf8')) as Dashboard
const targets = board.panels.flatMap(({ title, targets: of = [] }) => of.map((target) => ({ title, ...target })))

/** A scrape in which every metric has samples. */
const scrape = readFileSync(join(root, 'test/metrics/metrics.txt'), 'utf8')
/** Labels as the documentation has them, of metrics without a sample there. */
const documented = [
  ...readFileSync(join(root, 'docs/operations.md'), 'utf8').matchAll(/^\| `(gateway_\w+)` \| ([^|]*) \|/gm),
].map(([, name = '', labels = '']) => ({
  name,
  labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => `${label}="x"`).join(','),
}))
const inScrape = [...scrape.matchAll(/^(gateway_\w+)(?:\{(.*)\})? \S+$/gm)].map(([, name = '', labels = '']) => ({
  name,
  labels,
}))

const samples = [
  ...inScrape,
  ...documented.filter(({ name }) => !inScrape.some((sample) => metricsIn(sample.name)[0] === name)),
]

function labelsIn(text: string): readonly string[] {
  return [...text.matchAll(/(\w+)(?:=~|!~|!=|=)"/g)].map(([, label = '']) => label)
}

/** Those of the metrics in an expression, and what Prometheus and workers add. */
function labelsOf(expr: string): ReadonlySet<string> {
  const names: readonly string[] = expr.match(/\bgateway_\w+/g) ?? []
  // A selector by name: all metrics.
  const own = expr.includes('__name__') ? samples : samples.filter(({ name }) => names.includes(name))
  return new Set([...own.flatMap(({ labels }) => labelsIn(labels)), '__name__', 'job', 'instance', 'worker'])
}

/** Labels that an expression selects by, groups by, or a legend shows, and that its metrics do not have. */
function strangeLabels(expr: string, legend = ''): readonly string[] {
  const known = labelsOf(expr)
  const grouped = [...expr.matchAll(/\b(?:by|without|on|ignoring) \(([^)]*)\)/g)].flatMap(([, list = '']) =>
    list.split(/, */),
  )
  const shown = [...legend.matchAll(/\{\{ *(?:\$labels\.)?(\w+) *\}\}/g)].map(([, label = '']) => label)
  return [...labelsIn(expr), ...grouped, ...shown].filter((label) => label !== '' && !known.has(label))
}

test('alerts ask for metrics that there are, and the dashboard shows every one', async () => {
  const known = (await metricFamilies()).map(({ name }) => name)
  expect(known.length).toBeGreaterThan(50)
  expect(alerts.flatMap(({ expr }) => metricsIn(expr)).filter((name) => !known.includes(name))).toEqual([])
  expect([...new Set(targets.flatMap(({ expr }) => metricsIn(expr)))].sort()).toEqual([...known].sort())
})

test('the documentation names the labels that a scrape shows', () => {
  for (const { name, labels } of documented) {
    const shown = inScrape.filter((sample) => metricsIn(sample.name)[0] === name)
    const found = new Set(shown.flatMap((sample) => labelsIn(sample.labels)).filter((label) => label !== 'le'))
    if (shown.length > 0) expect([...found].sort(), name).toEqual([...labelsIn(labels)].sort())
  }
  expect(documented.length).toBeGreaterThan(60)
})

test('alerts, their tests and the dashboard use the labels that the metrics have', () => {
  expect(strangeLabels('sum by (tema) (gateway_requests_total{outcom="x"})', '{{kind}}')).toEqual([
    'outcom',
    'tema',
    'kind',
  ])
  for (const { title, expr, legendFormat } of targets) expect(strangeLabels(expr, legendFormat), title).toEqual([])
  for (const {
    name,
    expr,
    summary,
    test: { fires, calm },
  } of alerts) {
    if (!expr.includes('gateway_')) continue
    expect(strangeLabels(expr, summary), name).toEqual([])
    for (const series of [...Object.keys(fires), ...Object.keys(calm)])
      if (series.startsWith('gateway_')) expect(strangeLabels(series), `${name}: ${series}`).toEqual([])
  }
})

test('the dashboard can be imported: its data source is chosen there, and no panel names one', () => {
  expect(board.templating.list.map(({ name, type }) => [name, type])).toEqual([
    ['datasource', 'datasource'],
    ['job', 'query'],
    ['instance', 'query'],
  ])
  expect(targets.filter(({ datasource }) => datasource.uid !== '${datasource}')).toEqual([])
  const written = JSON.stringify(board)
  expect(
    [...written.matchAll(/\$\{?(\w+)\}?/g)]
      .map(([, name]) => name)
      .filter((name) => !['datasource', 'job', 'instance', '__all', '__rate_interval'].includes(name ?? '')),
  ).toEqual([])
  const ids = board.panels.map((panel) => (panel as unknown as { readonly id: number }).id)
  expect(new Set(ids).size).toBe(ids.length)
})

test('every alert has a page that says whose turn it is and what to do, and is named once', () => {
  expect(new Set(alerts.map(({ name }) => name)).size).toBe(alerts.length)
  for (const { name, turn, steps, severity } of alerts) {
    const file = join(root, 'docs/runbooks', `${name}.md`)
    expect(existsSync(file), name).toBe(true)
    const page = readFileSync(file, 'utf8')
    for (const text of [turn, severity, ...steps]) expect(page).toContain(text)
  }
})

describe.skipIf(!hasTool && !isRequired)('promtool', () => {
  test('takes the rules, and every alert fires in its case and is silent in its calm one', () => {
    expect(promtool(['check', 'rules', 'rules.yaml'])).toBe('0')
    expect(promtool(['test', 'rules', 'rules.test.yaml'])).toBe('0')
  })

  test('takes every query of the dashboard, and each one shows something of a gateway whose metrics all have samples', () => {
    const counters = new Set([...scrape.matchAll(/^# TYPE (\w+) (?:counter|histogram)$/gm)].map(([, name]) => name))
    const series = new Map(
      samples.map(({ name, labels }) => {
        const isCounted = counters.has(name) || counters.has(name.replace(/_(?:bucket|sum|count)$/, ''))
        const own = ['instance="a"', 'job="devin-gateway"', ...(labels === '' ? [] : [labels])].join(',')
        return [`${name}{${own}}`, isCounted ? '0+60x20' : '1x20'] as const
      }),
    )
    const expressions = targets.map(({ expr }) =>
      expr.replaceAll('$job', '.+').replaceAll('$instance', '.+').replaceAll('$__rate_interval', '5m'),
    )
    const directory = mkdtempSync(join(tmpdir(), 'gateway-dashboard-'))
    const file = join(directory, 'dashboard.test.yaml')
    const tests = [
      {
        interval: '1m',
        input_series: [...series].map(([name, values]) => ({ series: name, values })),
        promql_expr_test: expressions.map((expr) => ({
          expr: `count(${expr}) > bool 0`,
          eval_time: '15m',
          exp_samples: [{ labels: '{}', value: 1 }],
        })),
      },
    ]
    writeFileSync(file, JSON.stringify({ rule_files: [], evaluation_interval: '1m', tests }))
    const said = promtool(['test', 'rules', file])
    rmSync(directory, { recursive: true })
    expect(said).toBe('0')
  })

  test('finds nothing to say about the metrics of a gateway that has seen all kinds of requests', async () => {
    const running = await startTestGateway({
      config: 'telemetry: { otlp: "http://127.0.0.1:9" }',
      policies: {
        'teams/payments.yaml': (usualPolicies['teams/payments.yaml'] ?? '').replace(
          'cache: { at_most: 0s }',
          'limits: { writes: 1/h, requests: 100/h }',
        ),
      },
    })
    const { call } = running
    const json = { 'content-type': 'application/json', 'idempotency-key': 'a' }
    const create = { method: 'POST', body: '{"prompt":"x"}', headers: json }
    running.upstream.respond((request, response) => {
      if ((request.url ?? '').endsWith('/broken')) return void request.socket.destroy()
      response
        .writeHead((request.url ?? '').endsWith('/slow') ? 429 : 200, {
          'content-type': 'application/json',
          'retry-after': '0',
        })
        .end('{"items":[],"session_id":"devin-1"}')
    })
    const sessions = '/v3/organizations/org-payments/sessions'
    for (const path of [
      sessions,
      sessions,
      '/v3/organizations/org-other/sessions',
      `${sessions}/broken`,
      `${sessions}/slow`,
      '/v3/nowhere',
      '/v3//x',
      '/gateway/v1/me',
      '/gateway/v1/nothing',
    ])
      await call(path)
    for (const init of [
      create,
      create,
      { ...create, headers: { ...json, 'idempotency-key': 'b' } },
      { ...create, body: '{' },
      { token: null },
      { token: 'x' },
    ])
      await call(sessions, init)
    await fetch(`${running.adminUrl}/api/reload`, { method: 'POST' })
    await running.settled()
    const read = async (accept: string): Promise<string> =>
      await (await fetch(`${running.adminUrl}/metrics`, { headers: { accept } })).text()
    const [text, open] = [await read('text/plain'), await read('application/openmetrics-text')]
    await running.close()
    expect(text).toMatch(/^gateway_cache_total\{.*result="hits"\} [1-9]/m)
    expect(promtool(['check', 'metrics'], text)).toBe('0')
    // What is listed for rules and dashboard is what a scrape shows.
    const scraped = [...text.matchAll(/^# TYPE (gateway_\S+)/gm)].map(([, name]) => name)
    const listed = (await metricFamilies()).map(({ name }) => name)
    expect(scraped.filter((name) => !listed.includes(name ?? ''))).toEqual([])
    // OpenMetrics, as the parser of another library reads it, strictly.
    if (python !== null) expect(parseOpenMetrics(open)).toEqual({ status: 0, families: scraped.length, said: '' })
  })
})
