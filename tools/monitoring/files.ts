// Rules and their tests for Prometheus, the dashboard for Grafana, and the runbooks, from the list of metrics and of alerts.

import { stringify } from 'yaml'
import { createInstruments } from '../../src/metrics/instruments.ts'
import { alerts, type Alert } from './alerts.ts'
import { dashboard } from './dashboard.ts'

/** To be replaced by where the company keeps its copy. */
const runbooks = 'https://git.corp.example/platform/devin-gateway/blob/main/docs/runbooks'

export interface Family {
  readonly name: string
  readonly type: string
  readonly help: string
}

/** Every metric of the gateway, as it declares them. */
export async function metricFamilies(): Promise<readonly Family[]> {
  const instruments = createInstruments({
    operations: [],
    problemKinds: [],
    reasons: [],
    issuers: [],
    keyFindings: [],
    idempotencyEvents: [],
    connectionRefusals: [],
    connectionCuts: [],
    processMetrics: false,
  })
  instruments.withTelemetry(() => ({ exported: 0, dropped: 0 }))
  const text = await instruments.text()
  return [...text.matchAll(/^# HELP (\S+) (.*)\n# TYPE \S+ (\S+)$/gm)].map(([, name = '', help = '', type = '']) => ({
    name,
    help,
    type,
  }))
}

/** Names of metrics in an expression. */
export function metricsIn(expr: string): readonly string[] {
  return [...new Set(expr.match(/\bgateway_[a-z_]+/g))].map((name) => name.replace(/_(?:bucket|sum|count)$/, ''))
}

function annotationsOf(alert: Alert): Record<string, string> {
  return { summary: alert.summary, description: alert.meaning, runbook_url: `${runbooks}/${alert.name}.md` }
}

const head = '# Alerts of devin-gateway. Written by `npm run generate` from tools/monitoring/alerts.ts.\n'
const groups = [
  {
    name: 'devin-gateway',
    rules: alerts.map((alert) => ({
      alert: alert.name,
      expr: alert.expr,
      for: alert.for,
      labels: { severity: alert.severity },
      annotations: annotationsOf(alert),
    })),
  },
]

/** The same rules as the Prometheus operator takes them. */
function prometheusRule(): string {
  const metadata = {
    name: 'devin-gateway',
    namespace: 'devin-gateway',
    labels: { 'app.kubernetes.io/name': 'devin-gateway' },
  }
  return head + yaml({ apiVersion: 'monitoring.coreos.com/v1', kind: 'PrometheusRule', metadata, spec: { groups } })
}

/** Each alert alone fires in its case and is silent in its calm one. */
function ruleTests(): string {
  const head = '# Run by `promtool test rules`. Written by `npm run generate`.\n'
  const cases = alerts.flatMap((alert) => {
    const { at, fires, calm, labels } = alert.test
    const expand = (text: string): string =>
      text.replace(/\{\{ \$labels\.(\w+) \}\}/g, (_, name: string) => labels[name] ?? '')
    const firing = {
      exp_labels: { severity: alert.severity, ...labels },
      exp_annotations: Object.fromEntries(
        Object.entries(annotationsOf(alert)).map(([key, text]) => [key, expand(text)]),
      ),
    }
    const one = (name: string, series: Readonly<Record<string, string>>, expected: readonly object[]) => ({
      name: `${alert.name} ${name}`,
      interval: '1m',
      input_series: Object.entries(series).map(([each, values]) => ({ series: each, values })),
      alert_rule_test: [{ eval_time: at, alertname: alert.name, exp_alerts: expected }],
    })
    return [one('fires', fires, [firing]), one('is silent', calm, [])]
  })
  return head + yaml({ rule_files: ['rules.yaml'], evaluation_interval: '1m', tests: cases })
}

function yaml(value: object): string {
  return stringify(value, { lineWidth: 0 })
}

function runbook({ name, expr, for: hold, severity, meaning, threshold, turn, steps }: Alert): string {
  return `# ${name}

Severity: ${severity}. Whose turn: ${turn}

## What it means

${meaning}

## What to do

${steps.map((step, index) => `${index + 1}. ${step}`).join('\n')}

## When it fires

\`\`\`promql
${expr}
\`\`\`

${hold === '0m' ? 'At once.' : `When that has held for ${hold}.`} ${threshold}
`
}

function runbookIndex(): string {
  return `# Runbooks

One page for each alert of \`deploy/monitoring/rules.yaml\`: what it means, whose turn it is, what to do. Written by \`npm run generate\`
from \`tools/monitoring/alerts.ts\`. *critical*: callers are refused, or evidence is at stake, now. *warning*: that will happen, or somebody should look.

| alert | severity | whose turn |
| --- | --- | --- |
${alerts.map(({ name, severity, turn }) => `| [${name}](${name}.md) | ${severity} | ${turn} |`).join('\n')}
`
}

/** Content of every file, by path relative to the repository. */
export async function monitoringFiles(): Promise<readonly (readonly [path: string, content: string])[]> {
  const families = await metricFamilies()
  return [
    ['deploy/monitoring/rules.yaml', head + yaml({ groups })],
    ['deploy/kubernetes/components/monitoring/prometheus-rule.yaml', prometheusRule()],
    ['deploy/monitoring/rules.test.yaml', ruleTests()],
    ['deploy/monitoring/dashboard.json', `${JSON.stringify(dashboard(families), null, 2)}\n`],
    ['docs/runbooks/README.md', runbookIndex()],
    ...alerts.map((alert) => [`docs/runbooks/${alert.name}.md`, runbook(alert)] as const),
  ]
}
