// Traces of requests, as a collector gets them that knows nothing but the published definitions of OTLP.

import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describeWithDefinitions, startCollector, type Collector, type SeenSpan } from '../support/collector.ts'
import { expectNowhere } from '../support/planted.ts'
import { rawRequest, sendRaw } from '../support/raw-request.ts'
import { startTestGateway, until, usualKeys, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'
import { fieldOf, type Respond } from '../support/upstream.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const template = '/v3/organizations/{org_id}/sessions'
const traceId = '0af7651916cd43dd8448eb211c80319c'
const sampled = `00-${traceId}-b7ad6b7169203331-01`

const usual: Respond = (_request, response) =>
  response.writeHead(200, { 'content-type': 'application/json' }).end('{"items":[],"session_id":"devin-1"}')

describeWithDefinitions()('traces', () => {
  let collector: Collector
  let running: RunningGateway
  beforeAll(async () => {
    collector = await startCollector()
    running = await startTestGateway({
      policies: {
        'teams/payments.yaml': (usualPolicies['teams/payments.yaml'] ?? '').replace('cache: { at_most: 0s }\n', ''),
      },
      config: `telemetry: { otlp: "http://127.0.0.1:${collector.port}" }`,
    })
    running.upstream.respond(usual)
  })
  afterAll(async () => {
    await running.close()
    await collector.close()
  })

  /** All spans of the exchange of an answer, the one of the whole request first. */
  async function spansOf(answer: Response): Promise<readonly [SeenSpan, ...SeenSpan[]]> {
    await answer.text()
    return await spansOfDecision(answer.headers.get('gateway-decision') ?? '')
  }

  async function spansOfDecision(id: string): Promise<readonly [SeenSpan, ...SeenSpan[]]> {
    const find = () => collector.spans.find(({ attributes }) => attributes['gateway.decision_id'] === id)
    await until(() => find() !== undefined, `the spans of ${id}`)
    const whole = find()
    if (whole === undefined) throw new Error('they are gone')
    const below = (parent: SeenSpan): SeenSpan[] =>
      collector.spans
        .filter(({ parentSpanId }) => parentSpanId === parent.spanId)
        .flatMap((span) => [span, ...below(span)])
    return [whole, ...below(whole)]
  }

  const create = (fields: Record<string, string> = {}) =>
    running.call(sessions, {
      method: 'POST',
      body: '{"prompt":"x"}',
      headers: { 'content-type': 'application/json', ...fields },
    })

  describe('a traced request', () => {
    test('has a span for itself, for each stage and for the call to Devin, in the trace of the caller', async () => {
      const [whole, ...parts] = await spansOf(await create({ traceparent: sampled, tracestate: 'vendor=1' }))
      expect(collector.faults).toEqual([])
      expect(whole).toMatchObject({
        traceId,
        parentSpanId: 'b7ad6b7169203331',
        traceState: '',
        name: `POST ${template}`,
        kind: 'SPAN_KIND_SERVER',
        resource: { 'service.name': 'devin-gateway', 'service.version': 'test' },
      })
      expect(whole.attributes).toEqual({
        'http.request.method': 'POST',
        'http.route': template,
        'http.response.status_code': 200,
        'url.path': template,
        'url.scheme': 'http',
        'network.protocol.version': '1.1',
        'gateway.decision_id': expect.any(String),
        'gateway.policy_revision': expect.any(String),
        'gateway.operation': 'org.sessions.create',
        'gateway.team': 'payments',
        'gateway.effect': 'allow',
        'gateway.reason': 'granted',
        'gateway.key': 'payments-runner',
        'gateway.cache': expect.any(String),
        'gateway.stage': 'forward',
      })
      const stages = parts.filter(({ kind }) => kind === 'SPAN_KIND_INTERNAL').map(({ name }) => name)
      expect(stages.slice(0, 3)).toEqual(['open', 'read-request', 'authenticate'])
      expect(stages.at(-1)).toBe('forward')
      const call = parts.find(({ kind }) => kind === 'SPAN_KIND_CLIENT')
      const { origin } = running.upstream
      expect(call).toMatchObject({ name: 'POST', parentSpanId: parts.find(({ name }) => name === 'forward')?.spanId })
      expect(call?.attributes).toEqual({
        'http.request.method': 'POST',
        'http.response.status_code': 200,
        'server.address': '127.0.0.1',
        'server.port': Number(new URL(origin).port),
        'url.full': `${origin}${template}`,
      })
      for (const span of [whole, ...parts]) {
        expect(span.traceId).toBe(traceId)
        expect(
          span.endTimeUnixNano >= span.startTimeUnixNano && span.startTimeUnixNano >= whole.startTimeUnixNano,
        ).toBe(true)
      }
      // Devin sees the call as the caller of what it does, and nothing else of the trace but its own vendor's state.
      const seen = running.upstream.seen.at(-1)
      expect(fieldOf(seen, 'traceparent')).toBe(`00-${traceId}-${call?.spanId}-01`)
      expect(fieldOf(seen, 'tracestate')).toBe('vendor=1')
    })

    test('a shared read is in the trace of the request that made it; the same from the cache has no call', async () => {
      const first = await spansOf(await running.call(`${sessions}?first=1`, { headers: { traceparent: sampled } }))
      const call = first.find(({ kind }) => kind === 'SPAN_KIND_CLIENT')
      const seen = running.upstream.seen.at(-1)
      expect(fieldOf(seen, 'traceparent')).toBe(`00-${traceId}-${call?.spanId}-01`)
      expect(fieldOf(seen, 'tracestate')).toBeUndefined()
      const again = await spansOf(await running.call(`${sessions}?first=1`))
      expect(again.some(({ kind }) => kind === 'SPAN_KIND_CLIENT')).toBe(false)
      expect(again[0].attributes).toMatchObject({ 'gateway.cache': 'hit', 'gateway.stage': 'answer-from-cache' })
    })

    test('a refusal and a failure: the one is no error of ours, the other is', async () => {
      const [refused] = await spansOf(await running.call('/v3/organizations/org-other/sessions'))
      expect(refused).toMatchObject({
        attributes: { 'gateway.problem': 'organization-not-granted', 'http.response.status_code': 403 },
        status: { code: 'STATUS_CODE_UNSET' },
      })
      expect(refused.attributes).not.toHaveProperty('error.type')
      running.upstream.respond((request) => request.socket.destroy())
      const [failed, ...parts] = await spansOf(await create())
      running.upstream.respond(usual)
      expect(failed).toMatchObject({
        attributes: { 'error.type': 'upstream-unreachable', 'http.response.status_code': 502 },
        status: { code: 'STATUS_CODE_ERROR' },
      })
      expect(parts.find(({ kind }) => kind === 'SPAN_KIND_CLIENT')).toMatchObject({
        attributes: { 'error.type': 'upstream-unreachable' },
        status: { code: 'STATUS_CODE_ERROR' },
      })
    })

    test.each([
      ['of an unknown version', `ff-${traceId}-b7ad6b7169203331-01`],
      ['with more than version 00 has', `${sampled}-extra`],
      ['without an id', `00-${'0'.repeat(32)}-b7ad6b7169203331-01`],
      ['without a span', `00-${traceId}-${'0'.repeat(16)}-01`],
      ['in capitals', sampled.toUpperCase()],
      ['that is no trace context', 'x'],
    ])('begins its own trace where the caller sent one %s, and drops its state', async (_what, traceparent) => {
      const [whole] = await spansOf(await create({ traceparent, tracestate: 'vendor=1' }))
      expect(whole.parentSpanId).toBe('')
      expect(whole.traceId).not.toBe(traceId)
      const seen = running.upstream.seen.at(-1)
      expect(fieldOf(seen, 'traceparent')).toContain(whole.traceId)
      expect(fieldOf(seen, 'tracestate')).toBeUndefined()
      const { access } = await running.recordsOf(String(whole.attributes['gateway.decision_id']))
      expect(access.trace_id).toBe(whole.traceId)
    })

    test('a caller whose trace is not sampled has no spans, and Devin is told so', async () => {
      const other = 'ab'.repeat(16)
      const answer = await create({ traceparent: `00-${other}-b7ad6b7169203331-00` })
      await answer.text()
      expect(fieldOf(running.upstream.seen.at(-1), 'traceparent')).toMatch(new RegExp(`^00-${other}-[0-9a-f]{16}-00$`))
      await spansOf(await create())
      expect(collector.spans.filter((span) => span.traceId === other)).toEqual([])
    })
  })

  test('durations have the trace of a request as their exemplar, where a scraper reads OpenMetrics', async () => {
    await spansOf(await create({ traceparent: sampled }))
    const page = await fetch(`${running.adminUrl}/metrics`, { headers: { accept: 'application/openmetrics-text' } })
    expect(page.headers.get('content-type')).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8')
    const text = await page.text()
    expect(text).toMatch(
      new RegExp(
        `^gateway_request_seconds_bucket\\{le="[^"]+",operation="org.sessions.create"\\} \\d+ # \\{trace_id="${traceId}"\\} [\\d.e-]+ \\d{10}(?:\\.\\d+)?$`,
        'm',
      ),
    )
    expect(text).toMatch(/^gateway_upstream_seconds_bucket\{.*\} \d+ # \{trace_id=/m)
    expect(text).toMatch(/^# TYPE gateway_requests counter$/m)
    expect(text).toMatch(/^gateway_telemetry_spans_total\{result="exported"\} [1-9]/m)
    expect(text.endsWith('\n# EOF\n')).toBe(true)
    expect(text).not.toContain('\n\n')
    const plain = await (await fetch(`${running.adminUrl}/metrics`)).text()
    expect(plain).not.toContain('trace_id')
  })

  test('no token, key, body, query, header field or identifier of a path is in what is exported', async () => {
    const planted = 'Planted-7f3a9c51e8b2'
    const token = await running.token()
    const fields = {
      'user-agent': planted,
      'x-request-id': planted,
      'x-other': planted,
      traceparent: sampled,
      tracestate: `vendor=${planted}`,
      'content-type': 'application/json',
      authorization: `Bearer ${token}`,
    }
    const ask = async (path: string, init: RequestInit = {}) =>
      await spansOf(await fetch(`${running.url}${path}`, { headers: fields, ...init }))
    await Promise.all(
      [`${sessions}?cursor=${planted}`, `${sessions}/${planted}`, `/v3/${planted}/nowhere?x=${planted}`].map((path) =>
        ask(path),
      ),
    )
    await ask(sessions, { method: 'POST', body: `{"prompt":"${planted}","tags":["${planted}"]}` })
    running.upstream.respond((_request, response) => response.writeHead(500, planted).end(planted))
    await ask(sessions, { method: 'POST', body: `{"prompt":"${planted}"}` })
    running.upstream.respond(usual)
    // Methods are written by callers, too.
    const unknown = await sendRaw(
      running.port,
      rawRequest('PURGE', `${sessions}?${planted}`, [`Authorization: Bearer ${planted}`, 'Connection: close']),
    )
    await spansOfDecision(unknown.fields['gateway-decision'] ?? '')
    expect(collector.spans.length).toBeGreaterThan(0)
    expectNowhere(collector.text(), [planted, planted.toUpperCase(), token, ...Object.values(usualKeys)])
  })

  describe('a collector that is away or slow', () => {
    test.each([
      ['refuses them', 400, 'dropped'],
      ['never answers', null, null],
    ] as const)('costs spans and nothing else: it %s', async (_how, status, result) => {
      const away = await startCollector(() => status)
      const started = await startTestGateway({ config: `telemetry: { otlp: "http://127.0.0.1:${away.port}/" }` })
      started.upstream.respond((_request, response) => response.writeHead(200).end('{}'))
      for (let count = 0; count < 3; count += 1) expect((await started.call(sessions)).status).toBe(200)
      const metrics = async () => (await fetch(`${started.adminUrl}/metrics`)).text()
      if (result !== null)
        await until(
          async () => /^gateway_telemetry_spans_total\{result="dropped"\} [1-9]/m.test(await metrics()),
          'dropped spans',
        )
      await started.close()
      const lines = started.logLines.join('')
      if (result === null) expect(lines).toContain('did not take the last spans in time')
      else expect(lines).toContain('does not take them')
      await away.close()
    })
  })

  test('spans that wait are exported when the gateway stops, and only the share that is asked for', async () => {
    const own = await startCollector()
    const [all, none] = await Promise.all(
      ['1', '0'].map((sample) =>
        startTestGateway({
          config: `telemetry: { otlp: "http://127.0.0.1:${own.port}/v1/traces", sample: ${sample} }`,
        }),
      ),
    )
    for (const each of [all, none]) {
      each?.upstream.respond((_request, response) => response.writeHead(200).end('{}'))
      await each?.call(sessions)
    }
    await Promise.all([all?.close(), none?.close()])
    expect(own.faults).toEqual([])
    expect(own.spans.filter(({ kind }) => kind === 'SPAN_KIND_SERVER')).toHaveLength(1)
    await own.close()
  })

  // The metrics library brings the types of the API along, which do nothing by themselves.
  test('the libraries are loaded only where a collector is named', async () => {
    const program = `
import { registerHooks } from 'node:module'
const loaded = []
registerHooks({ load(url, context, next) {
  if (/@opentelemetry\\/(?!api\\/)|src\\/telemetry\\/(?!open)/.test(url)) loaded.push(url)
  return next(url, context)
} })
const { loadConfig } = await import(${JSON.stringify(pathToFileURL(join(import.meta.dirname, '../../src/config/load.ts')).href)})
const { startGateway } = await import(${JSON.stringify(pathToFileURL(join(import.meta.dirname, '../../src/runtime.ts')).href)})
const { createLog } = await import(${JSON.stringify(pathToFileURL(join(import.meta.dirname, '../../src/records/log.ts')).href)})
const counts = []
for (const file of ['without.yaml', 'with.yaml']) {
  const { config } = await loadConfig(file, process.env)
  const gateway = await startGateway({ config, env: process.env, version: 'x', log: createLog({ level: 'silent' }) })
  counts.push(loaded.length)
  await gateway.drain()
}
process.stderr.write(JSON.stringify({ without: counts[0], with: counts[1] > 0 }))
`
    const config = `listen: { gateway: "127.0.0.1:0", admin: "127.0.0.1:0" }
upstream: { origin: "${running.upstream.origin}" }
issuers: [{ issuer: "${running.issuer.issuer}", audience: devin-gateway, jwks_uri: "${running.issuer.jwksUri}" }]
policies: policies
key_identity: off
shutdown: { delay: 0s, deadline: 1s }
`
    await writeFile(join(running.directory, 'without.yaml'), config)
    await writeFile(
      join(running.directory, 'with.yaml'),
      `${config}telemetry: { otlp: "http://127.0.0.1:${collector.port}" }\n`,
    )
    const { stderr } = await promisify(execFile)(
      process.execPath,
      ['--input-type=module', '--no-warnings', '-e', program],
      { cwd: running.directory, env: { ...process.env, ...usualKeys } },
    )
    expect(JSON.parse(stderr)).toEqual({ without: 0, with: true })
  })
})
