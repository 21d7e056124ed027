// Traces of requests, as a collector gets them that knows nothing but the published definitions of OTLP.

import { execFile } from 'node:child_process'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { pathToFileURL } from 'node:url'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAuthority } from '../support/certificates.ts'
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

    test('has spans that lie within each other, one stage behind the other, however short they are', async () => {
      for (let count = 0; count < 12; count++) {
        const [whole, ...parts] = await spansOf(await running.call(`${sessions}?within=1`))
        const times = (span: SeenSpan) => [span.startTimeUnixNano, span.endTimeUnixNano] as const
        for (const span of parts) {
          const parent = [whole, ...parts].find(({ spanId }) => spanId === span.parentSpanId) ?? whole
          expect(times(span)[0] >= times(parent)[0] && times(span)[1] <= times(parent)[1], span.name).toBe(true)
        }
        const stages = parts.filter(({ kind }) => kind === 'SPAN_KIND_INTERNAL').map(times)
        stages.forEach(([begins], index) => expect(index === 0 || begins === stages[index - 1]?.[1]).toBe(true))
      }
    })

    test('says of a call that Devin broke off or did not go on with that it failed, although it began well', async () => {
      running.upstream.respond((_request, response) => {
        response.writeHead(200, { 'content-length': '100' }).write('{')
        setImmediate(() => response.destroy())
      })
      for (const path of ['/devin-1', '/devin-1/messages']) {
        const answer = await running.call(`${sessions}${path}`)
        const spans = await spansOfDecision(answer.headers.get('gateway-decision') ?? '')
        await answer.text().catch(() => '')
        expect(spans.find(({ kind }) => kind === 'SPAN_KIND_CLIENT')).toMatchObject({
          attributes: { 'http.response.status_code': 200, 'error.type': 'upstream-unreachable' },
          status: { code: 'STATUS_CODE_ERROR' },
        })
      }
      running.upstream.respond(usual)
    })

    test('that cannot be read has no attribute without a value', async () => {
      const before = collector.spans.length
      await sendRaw(running.port, 'GET\r\n\r\n')
      const find = () => collector.spans.slice(before).find(({ name }) => name === 'HTTP')
      await until(() => find() !== undefined, 'its span')
      expect(find()?.attributes).toMatchObject({ 'gateway.problem': 'malformed-request' })
      expect(Object.values(find()?.attributes ?? {})).not.toContain('')
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
    const keys = new Set([
      'http.request.method',
      'http.request.resend_count',
      'http.response.status_code',
      'http.route',
      'error.type',
      'network.protocol.version',
      'server.address',
      'server.port',
      'url.full',
      'url.path',
      'url.scheme',
      ...[
        'cache',
        'decision_id',
        'effect',
        'key',
        'operation',
        'policy_revision',
        'problem',
        'reason',
        'stage',
        'team',
      ].map((name) => `gateway.${name}`),
    ])
    const text = fc.constantFrom(planted, `${planted}/${planted}`, `${planted}%2F..`, `é${planted}`, `"${planted}\\`)
    const segment = text.map((each) => encodeURIComponent(each).replaceAll('%2F..', ''))
    const path = fc.oneof(
      { weight: 8, arbitrary: fc.constant(sessions) },
      { weight: 4, arbitrary: segment.map((each) => `${sessions}/${each}`) },
      segment.map((each) => `${sessions}/${each}/messages`),
      segment.map((each) => `/v3/organizations/${each}/sessions`),
      segment.map((each) => `/v3/${each}/nowhere`),
      segment.map((each) => `/v3/organizations/org-payments/../${each}`),
      segment.map((each) => `/v1/sessions/${each}`),
      segment.map((each) => `/gateway/v1/${each}`),
      segment.map((each) => `/gateway/v1/explain?method=${each}&path=/v3/${each}`),
    )
    const request = fc.record({
      method: fc.constantFrom(
        ...'GET GET GET POST POST POST POST PUT DELETE HEAD PURGE'.split(' '),
        planted.toUpperCase(),
      ),
      path,
      query: fc.oneof(
        { weight: 6, arbitrary: fc.constant('') },
        { weight: 6, arbitrary: segment.map((each) => `cursor=${each}`) },
        fc.constant(token),
      ),
      token: fc.constantFrom(...Array.from({ length: 8 }, () => token), planted, `${token}${planted}`),
      fields: fc.dictionary(
        fc.constantFrom(
          'user-agent',
          'x-request-id',
          'x-other',
          'tracestate',
          'referer',
          'cookie',
          'idempotency-key',
          'baggage',
        ),
        fc.constantFrom(planted, `vendor=${planted}`),
      ),
      traceparent: fc.constantFrom(sampled, `${sampled.slice(0, -2)}01-${planted}`, planted),
      body: fc.constantFrom(
        null,
        `{"prompt":"${planted}","tags":["${planted}"]}`,
        `{"prompt":"${planted}"`,
        `{"prompt":"x","max_acu_limit":"${planted}","create_as_user_id":"${planted}"}`,
        planted,
      ),
      upstream: fc.constantFrom(200, 302, 401, 404, 429, 500, null),
    })
    await fc.assert(
      fc.asyncProperty(
        request,
        async ({ method, path: target, query, token: bearer, fields, traceparent, body, upstream }) => {
          running.upstream.respond((asked, response) => {
            if (upstream === null) return void asked.socket.destroy()
            response
              .writeHead(upstream, planted, { 'x-request-id': planted, location: `/${planted}`, 'retry-after': '0' })
              .end(`{"items":[],"detail":"${planted}","session_id":"${planted}"}`)
          })
          const lines = [
            `Authorization: Bearer ${bearer}`,
            `traceparent: ${traceparent}`,
            ...Object.entries(fields).map(([name, value]) => `${name}: ${value}`),
            ...(body === null || method !== 'POST'
              ? []
              : ['Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`]),
            'Connection: close',
          ]
          const question = query === '' ? '' : `${target.includes('?') ? '&' : '?'}${query}`
          await sendRaw(
            running.port,
            `${rawRequest(method, `${target}${question}`, lines)}${method === 'POST' ? (body ?? '') : ''}`,
          )
        },
      ),
      { numRuns: 150 },
    )
    running.upstream.respond(usual)
    // What waited goes before this one.
    await spansOf(await create())
    expect(collector.faults).toEqual([])
    expect(
      collector.spans.flatMap(({ attributes }) => Object.keys(attributes)).filter((key) => !keys.has(key)),
    ).toEqual([])
    expectNowhere(collector.text(), [planted, planted.toUpperCase(), token, ...Object.values(usualKeys)])
    expectNowhere(await (await fetch(`${running.adminUrl}/metrics`)).text(), [planted])
  })

  describe('a collector that is away or slow', () => {
    const start = async (at: string, more = ''): Promise<RunningGateway> => {
      const started = await startTestGateway({ config: `telemetry: { otlp: "${at}"${more} }` })
      started.upstream.respond((_request, response) => response.writeHead(200).end('{}'))
      return started
    }
    const authorityOfTaker = createAuthority('quotas')
    const metricsOf = async (started: RunningGateway): Promise<string> =>
      await (await fetch(`${started.adminUrl}/metrics`)).text()
    const spansIn = (text: string, result: string): number =>
      Number(new RegExp(`^gateway_telemetry_spans_total\\{result="${result}"\\} (\\d+)`, 'm').exec(text)?.[1] ?? 0)
    const said = (started: RunningGateway, text: string): number =>
      started.logLines.filter((line) => line.includes(text)).length

    test('costs spans and nothing else, which is logged once when it begins and once when it is over', async () => {
      let isWell = false
      const [elsewhere, free] = await Promise.all([startCollector(), startCollector()])
      await free.close()
      const of = (status: number, location?: string) =>
        startCollector(() => (isWell ? 200 : status), location === undefined ? {} : { location })
      const collectors = await Promise.all([
        of(400),
        of(429),
        of(500),
        // It is not followed: what is in the spans is for this collector.
        of(307, `http://127.0.0.1:${elsewhere.port}/v1/traces`),
      ])
      const [away, ...gateways] = await Promise.all(
        [free, ...collectors].map(({ port }) => start(`http://127.0.0.1:${port}/`)),
      )
      const all = [...(away === undefined ? [] : [away]), ...gateways]
      // A status that may pass is tried again for a few seconds.
      const isDropped = async (started: RunningGateway): Promise<boolean> =>
        spansIn(await metricsOf(started), 'dropped') > 0
      for (const started of all) expect((await started.call(sessions)).status).toBe(200)
      await until(async () => (await Promise.all(all.map(isDropped))).every(Boolean), 'dropped spans')
      for (const started of all) expect((await started.call(sessions)).status).toBe(200)
      isWell = true
      await until(async () => {
        for (const started of gateways) await started.call(sessions)
        return gateways.every((started) => said(started, 'takes traces again') > 0)
      }, 'spans to be taken again')
      for (const started of all) await started.close()
      for (const started of gateways)
        expect([said(started, 'does not take them'), said(started, 'takes traces again')]).toEqual([1, 1])
      expect(said(all[0] as RunningGateway, 'does not take them')).toBe(1)
      expect(elsewhere.spans).toEqual([])
      for (const each of [elsewhere, ...collectors]) await each.close()
    }, 60_000)

    test('rejects spans of batches that it takes: they count as dropped, and the log says it once', async () => {
      const secret = join(running.directory, 'echoed-token')
      await writeFile(secret, 'Bearer echoed-77c1a2\n', { mode: 0o600 })
      const taker = await startCollector(undefined, {
        tls: authorityOfTaker.issue({ name: 'localhost' }),
        rejects: ({ authorization }) => ({
          rejectedSpans: 2,
          errorMessage: `${authorization} is over quota; echoed-77c1a2 cog_payments-runner-0123456789abcdef ${'x'.repeat(500)}`,
        }),
      })
      await writeFile(join(running.directory, 'taker.pem'), authorityOfTaker.ca)
      const started = await start(
        `https://localhost:${taker.port}`,
        `, ca: "${running.directory}/taker.pem", headers: { Authorization: { file: "${secret}" } }`,
      )
      const batches = async (): Promise<number> => spansIn(await metricsOf(started), 'dropped') / 2
      await until(async () => {
        await started.call(sessions)
        return (await batches()) >= 3
      }, 'three batches')
      await until(async () => {
        const text = await metricsOf(started)
        return spansIn(text, 'exported') + spansIn(text, 'dropped') === taker.spans.length
      }, 'all spans to be counted')
      const lines = started.logLines.filter((line) => line.includes('rejects spans'))
      expect(lines).toHaveLength(1)
      expect(JSON.parse(lines[0] ?? '')).toMatchObject({
        event: 'telemetry',
        rejected: 2,
        collector: expect.stringMatching(/^\[masked\] is over quota; \[masked\] cog_\[masked\] x{1,200}$/),
      })
      expect((lines[0] ?? '').length).toBeLessThan(800)
      expect(said(started, 'does not take them')).toBe(0)
      const everything = await started.everything()
      await started.close()
      await taker.close()
      expectNowhere(everything, ['echoed-77c1a2', '0123456789abcdef'])
    })

    test('that never answers holds no request back, and no more spans than the queue has room for', async () => {
      const silent = await startCollector(() => null)
      const started = await start(`http://127.0.0.1:${silent.port}`)
      let calls = 0
      await until(async () => {
        await Promise.all(Array.from({ length: 20 }, async () => await started.call(sessions)))
        calls += 20
        return spansIn(await metricsOf(started), 'dropped') > 0
      }, 'dropped spans')
      // Each request has more than ten spans.
      expect(calls).toBeLessThan(400)
      expect((await started.call(sessions)).status).toBe(200)
      const text = await metricsOf(started)
      await started.close()
      const line = started.logLines.find((each) => each.includes('did not take the last spans in time')) ?? '{}'
      const { lost = 0 } = JSON.parse(line) as { lost?: number }
      // Batches that have waited for seconds make room again.
      expect(lost).toBeLessThanOrEqual(2048)
      expect([spansIn(text, 'exported'), spansIn(text, 'dropped') + lost >= 10 * calls]).toEqual([0, true])
      await silent.close()
    })

    test('is reached by TLS alone with its authority, and knows the gateway by a field that is a secret', async () => {
      const [authority, other] = [createAuthority('traces'), createAuthority('another one')]
      let token = 'Bearer first-5f0c2d91'
      const secured = await startCollector(({ authorization }) => (authorization === token ? 200 : 401), {
        tls: authority.issue({ name: 'localhost' }),
      })
      const address = `https://localhost:${secured.port}`
      const secret = join(running.directory, 'collector-token')
      await writeFile(secret, `${token}\n`, { mode: 0o600 })
      for (const [name, { ca }] of Object.entries({ right: authority, wrong: other }))
        await writeFile(join(running.directory, `${name}.pem`), ca)
      const at = (ca: string) =>
        `, ca: "${running.directory}/${ca}.pem", headers: { Authorization: { file: "${secret}" } }`
      const [trusting, wary] = await Promise.all(['right', 'wrong'].map((ca) => start(address, at(ca))))
      if (trusting === undefined || wary === undefined) throw new Error('they did not start')
      const taken = async (): Promise<void> => {
        const before = secured.spans.length
        await until(async () => {
          await trusting.call(sessions)
          return secured.spans.length > before
        }, 'spans to be taken')
      }
      await taken()
      await wary.call(sessions)
      await until(() => said(wary, 'does not take them') === 1, 'the refusal of its certificate')
      token = 'Bearer second-93ab77e0'
      await until(async () => {
        await trusting.call(sessions)
        return said(trusting, 'does not take them') === 1
      }, 'the old token to be refused')
      await writeFile(secret, `${token}\n`)
      await taken()
      // A file that is gone for a moment: the value from before counts.
      await rm(secret)
      await taken()
      const everything = (await trusting.everything()) + (await wary.everything())
      await Promise.all([trusting.close(), wary.close()])
      expectNowhere(everything + secured.text(), ['first-5f0c2d91', 'second-93ab77e0'])
      expect(secured.faults).toEqual([])
      await secured.close()
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
