import { register } from 'prom-client'
import { describe, expect, it } from 'vitest'
import { createInstruments, type InstrumentsOptions } from '../../src/metrics/instruments.ts'
import { readFileSync } from 'node:fs'
import type { ExchangeObservation } from '../../src/metrics/traffic.ts'

function create(options: Partial<InstrumentsOptions> = {}) {
  return createInstruments({
    operations: ['org.sessions.list', 'org.sessions.create'],
    problemKinds: ['not-granted', 'internal'],
    reasons: ['granted', 'not-granted'],
    issuers: ['https://sso.corp.example'],
    idempotencyEvents: ['kept'],
    keyFindings: ['no-team', 'never-used'],
    connectionRefusals: ['too-many'],
    connectionCuts: ['head'],
    processMetrics: false,
    ...options,
  })
}

const exchange: ExchangeObservation = {
  operation: 'org.sessions.list',
  team: 'payments',
  outcome: 'forwarded',
  status: 200,
  durationMs: 12,
  upstreamMs: 10,
  effect: 'allow',
  reason: 'granted',
  problem: null,
}

const policy = { revision: 'r1', atMs: 1_795_514_400_500, teams: ['payments'], keys: ['payments-runner'] }

/** The samples of one metric, without comments. */
async function samplesOf(instruments: ReturnType<typeof create>, name: string): Promise<string[]> {
  return (await instruments.text())
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
}

describe('the metrics text', () => {
  it('is exactly this after a little of everything', async () => {
    const instruments = create()
    instruments.policyLoaded(policy)
    instruments.policyReload('replaced')
    instruments.tokenVerified('verified')
    instruments.tokenVerified('cached')
    instruments.tokenVerified('cached')
    instruments.tokenVerified('rejected')
    for (const each of [
      exchange,
      { ...exchange, durationMs: 2000, upstreamMs: 1500, status: 503, outcome: 'failed' },
      {
        ...exchange,
        operation: 'org.sessions.create',
        status: 403,
        outcome: 'refused',
        durationMs: 0.5,
        upstreamMs: null,
        effect: 'deny' as const,
        reason: 'not-granted',
        problem: 'not-granted',
      },
      {
        ...exchange,
        operation: null,
        team: null,
        status: null,
        outcome: 'aborted',
        durationMs: 90_000,
        upstreamMs: null,
        effect: null,
      },
    ]) {
      instruments.exchangeStarted()
      instruments.observeExchange(each)
    }
    instruments.exchangeStarted()
    instruments.leakMasked()
    instruments.keyRejected('payments-runner')
    instruments.keyStates([
      {
        key: 'payments-runner',
        state: 'rejected',
        expiresAtMs: 1_800_000_000_000,
        valueAgeMs: 12_000,
        isSourceFailing: true,
      },
    ])
    instruments.keyRotation('payments-runner', 'done')
    instruments.keyRotationStates([
      { key: 'payments-runner', dueAtMs: 1_800_000_000_000, madeAtMs: 1_790_000_000_000, isFailing: true },
    ])
    instruments.keyUsedElsewhere('payments-runner')
    instruments.keyFindings([{ key: 'payments-runner', finding: 'no-team' }])
    instruments.recordsLost('access', 7)
    instruments.issuers([
      {
        issuer: 'https://sso.corp.example',
        keys: 2,
        ageMs: 1500,
        lastError: 'x',
        fetches: { fetched: 3, failed: 1 },
        clockSkewMs: -2500,
      },
    ])
    instruments.clockSkew('upstream', 500)
    instruments.draining(true)
    instruments.cache({ bytesOf: new Map([['org.secrets.list', 9]]), entries: 1, operations: new Map() })
    const answers = new Map([['org.sessions.list', { hits: 3, misses: 1 }]])
    instruments.cache({ bytesOf: new Map([['org.sessions.list', 4096]]), entries: 2, operations: answers })
    instruments.cacheGroup({
      standing: 'cautious',
      missing: 1,
      lapses: 2,
      broadcasts: { answered: 4 },
    })
    instruments.upstreamThrottled('payments-runner')
    instruments.held('payments', 'sent')
    instruments.held('payments', 'refused')
    instruments.waiting(3)
    instruments.idempotencyEvent('kept')
    instruments.idempotencyEvent('kept')
    instruments.idempotencyBytes(512)
    const budget = { owner: 'team payments', name: 'acus', hard: 500, spent: 12.5, reserved: 30, level: 0 }
    instruments.budgets([budget, { ...budget, name: 'open_sessions', hard: null, level: 50 }])
    instruments.budgetRequest('reserved')
    await expect(await instruments.text()).toMatchFileSnapshot('metrics.txt')
    expect(instruments.contentType).toBe('text/plain; version=0.0.4; charset=utf-8')
  })

  it('says zero, and not nothing, for what must raise an alarm', async () => {
    const instruments = create()
    instruments.policyLoaded(policy)
    const text = await instruments.text()
    for (const sample of [
      'gateway_leaks_masked_total 0',
      'gateway_records_lost_total{stream="audit"} 0',
      'gateway_key_rejections_total{key="payments-runner"} 0',
      'gateway_policy_reloads_total{result="refused"} 0',
      'gateway_problems_total{kind="internal"} 0',
      'gateway_tokens_verified_total{result="rejected"} 0',
      'gateway_draining 0',
      'gateway_in_flight 0',
    ]) {
      expect(text).toContain(`\n${sample}\n`)
    }
  })

  it('lists every metric also when nothing happened', async () => {
    const namesIn = (text: string) => [...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name)
    const all = readFileSync(new URL('metrics.txt', import.meta.url), 'utf8')
    expect(namesIn(await create().text())).toEqual(namesIn(all))
  })

  it('counts on, and the same scrape twice gives the same numbers', async () => {
    const instruments = create()
    instruments.policyLoaded(policy)
    for (let index = 0; index < 3; index += 1) {
      instruments.observeExchange(exchange)
      const expected = `gateway_requests_total{operation="org.sessions.list",team="payments",outcome="forwarded",status_class="2xx"} ${index + 1}`
      expect(await samplesOf(instruments, 'gateway_requests_total')).toEqual([expected])
      expect(await samplesOf(instruments, 'gateway_requests_total')).toEqual([expected])
    }
    expect(await samplesOf(instruments, 'gateway_request_seconds_count')).toEqual([
      'gateway_request_seconds_count{operation="org.sessions.list"} 3',
    ])
  })

  it('asks for what lives elsewhere before it answers', async () => {
    const instruments = create()
    let lost = 0
    instruments.beforeScrape(() => instruments.recordsLost('decisions', (lost += 1)))
    await instruments.text()
    expect(await samplesOf(instruments, 'gateway_records_lost_total')).toContain(
      'gateway_records_lost_total{stream="decisions"} 2',
    )
  })

  it('holds the numbers of the process when asked to', async () => {
    const text = await create({ processMetrics: true }).text()
    expect(text).toMatch(/^process_resident_memory_bytes \d+$/m)
    expect(text).toMatch(/^nodejs_eventloop_lag_p99_seconds /m)
    expect(await create().text()).not.toContain('process_')
  })
})

describe('labels', () => {
  it('never take a value that is not on a list', async () => {
    const instruments = create()
    instruments.policyLoaded(policy)
    const odd = 'x"\n{}\\ ü'
    for (let index = 0; index < 50; index += 1) {
      const stranger = `${odd}${index}`
      instruments.observeExchange({
        ...exchange,
        operation: stranger,
        team: stranger,
        outcome: stranger,
        status: 600 + index,
        reason: stranger,
        problem: stranger,
      })
      instruments.keyRejected(stranger)
      instruments.keyStates([{ key: stranger, state: stranger, expiresAtMs: null }])
      instruments.issuers([
        {
          issuer: stranger,
          keys: index,
          ageMs: 1,
          lastError: null,
          fetches: { fetched: 1, failed: 0 },
          clockSkewMs: 1,
        },
      ])
      instruments.clockSkew(stranger, 1)
      instruments.recordsLost(stranger, index)
    }
    const text = await instruments.text()
    expect(text).not.toContain('ü')
    expect(await samplesOf(instruments, 'gateway_requests_total')).toEqual([
      'gateway_requests_total{operation="other",team="other",outcome="other",status_class="other"} 50',
    ])
    expect(await samplesOf(instruments, 'gateway_decisions_total')).toEqual([
      'gateway_decisions_total{effect="allow",reason="other"} 50',
    ])
    expect(await samplesOf(instruments, 'gateway_problems_total')).toContain('gateway_problems_total{kind="other"} 50')
    expect(await samplesOf(instruments, 'gateway_key_rejections_total')).toContain(
      'gateway_key_rejections_total{key="other"} 50',
    )
    expect(await samplesOf(instruments, 'gateway_jwks_keys')).toEqual(['gateway_jwks_keys{issuer="other"} 49'])
  })

  it.each([
    [null, 'none'],
    [100, '1xx'],
    [204, '2xx'],
    [307, '3xx'],
    [499, '4xx'],
    [599, '5xx'],
    [600, 'other'],
    [0, 'other'],
    [-1, 'other'],
    [Number.NaN, 'other'],
  ])('count status %s as %s', async (status, statusClass) => {
    const instruments = create()
    instruments.observeExchange({ ...exchange, status })
    expect((await samplesOf(instruments, 'gateway_requests_total')).join()).toContain(
      `status_class="${statusClass}"} 1`,
    )
  })

  it('know new teams and keys after a reload, and keep counting old ones', async () => {
    const instruments = create()
    instruments.observeExchange(exchange)
    instruments.policyLoaded(policy)
    instruments.observeExchange(exchange)
    instruments.policyLoaded({ ...policy, revision: 'r2', teams: ['data'], keys: ['data-reader'] })
    for (const team of ['payments', 'data', 'nobody']) instruments.observeExchange({ ...exchange, team })
    const sample = (team: string, count: number) =>
      `gateway_requests_total{operation="org.sessions.list",team="${team}",outcome="forwarded",status_class="2xx"} ${count}`
    expect(await samplesOf(instruments, 'gateway_requests_total')).toEqual([
      sample('other', 2),
      sample('payments', 2),
      sample('data', 1),
    ])
    expect(await samplesOf(instruments, 'gateway_policy_revision_info')).toEqual([
      'gateway_policy_revision_info{revision="r2"} 1',
    ])
  })

  it('show each key in one state, and only keys there are', async () => {
    const instruments = create()
    instruments.policyLoaded({ ...policy, keys: ['a', 'b'] })
    instruments.keyStates([
      { key: 'a', state: 'ready', expiresAtMs: null },
      { key: 'b', state: 'set-aside', expiresAtMs: null },
    ])
    instruments.keyStates([{ key: 'b', state: 'rejected', expiresAtMs: null }])
    expect(await samplesOf(instruments, 'gateway_key_state')).toEqual([
      'gateway_key_state{key="b",state="ready"} 0',
      'gateway_key_state{key="b",state="rejected"} 1',
      'gateway_key_state{key="b",state="set-aside"} 0',
      'gateway_key_state{key="b",state="unresolved"} 0',
      'gateway_key_state{key="b",state="expired"} 0',
      'gateway_key_state{key="b",state="blocked"} 0',
      'gateway_key_state{key="b",state="quarantined"} 0',
      'gateway_key_state{key="b",state="other"} 0',
    ])
  })
})

describe('two instances', () => {
  it('share nothing, with each other or with the library', async () => {
    const [one, two] = [create(), create()]
    const untouched = await create().text()
    one.exchangeStarted()
    one.observeExchange(exchange)
    one.leakMasked()
    one.policyLoaded(policy)
    one.recordsLost('access', 3)
    expect(await two.text()).toBe(untouched)
    expect(await one.text()).not.toBe(untouched)
    expect(await register.metrics()).toBe('\n')
  })
})
