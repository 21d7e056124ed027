// The alerts, the dashboard and the runbooks, held against the metrics that there are, and run by Prometheus' own tool.

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { alerts } from '../../tools/monitoring/alerts.ts'
import { metricFamilies, metricsIn } from '../../tools/monitoring/files.ts'
import { startTestGateway } from '../support/start-gateway.ts'

const root = join(import.meta.dirname, '../..')
const hasTool = spawnSync('promtool', ['--version']).status === 0
const isRequired = process.env['GATEWAY_TEST_PEERS'] === 'required'
if (!hasTool && !isRequired)
  process.stderr.write('promtool is not installed (Debian: prometheus): its checks are skipped\n')

function promtool(args: readonly string[], input = ''): string {
  const { status, stdout, stderr, error } = spawnSync('promtool', args, { cwd: join(root, 'deploy/monitoring'), input })
  return `${status ?? String(error)} ${String(stderr)}${status === 0 ? '' : String(stdout)}`.trim()
}

interface Dashboard {
  readonly panels: readonly { readonly targets?: readonly { readonly expr: string }[] }[]
}

test('alerts ask for metrics that there are, and the dashboard shows every one', async () => {
  const known = (await metricFamilies()).map(({ name }) => name)
  expect(known.length).toBeGreaterThan(50)
  expect(alerts.flatMap(({ expr }) => metricsIn(expr)).filter((name) => !known.includes(name))).toEqual([])
  const { panels } = JSON.parse(readFileSync(join(root, 'deploy/monitoring/dashboard.json'), 'utf8')) as Dashboard
  const shown = new Set(panels.flatMap(({ targets = [] }) => targets.flatMap(({ expr }) => metricsIn(expr))))
  expect([...shown].sort()).toEqual([...known].sort())
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

  test('finds nothing to say about the metrics of a gateway that has served', async () => {
    const running = await startTestGateway({ config: 'telemetry: { otlp: "http://127.0.0.1:9" }' })
    running.upstream.respond((_request, response) => response.writeHead(200).end('{}'))
    await running.call('/v3/organizations/org-payments/sessions')
    await running.call('/v3/organizations/org-other/sessions')
    await running.settled()
    const text = await (await fetch(`${running.adminUrl}/metrics`)).text()
    await running.close()
    expect(promtool(['check', 'metrics'], text)).toBe('0')
    // What is listed for rules and dashboard is what a scrape shows.
    const scraped = [...text.matchAll(/^# TYPE (gateway_\S+)/gm)].map(([, name]) => name)
    const listed = (await metricFamilies()).map(({ name }) => name)
    expect(scraped.filter((name) => !listed.includes(name ?? ''))).toEqual([])
  })
})
