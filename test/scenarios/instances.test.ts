// Several gateways as processes of their own, side by side over one store: what callers see of their limits, whichever
// instance they reach, while all is well, while the store is away, and after one of them has crashed.

import { afterAll, beforeAll, expect, test } from 'vitest'
import { startGatewayProcess, type StartedGateway } from '../support/command.ts'
import { startIssuer, type Issuer } from '../support/issuer.ts'
import { createSite, type Site } from '../support/site.ts'
import { until, usualKeys } from '../support/start-gateway.ts'
import { startUpstream, type RecordingUpstream } from '../support/upstream.ts'
import { describeWithValkey, startStoreServer, type StoreServer } from '../support/valkey.ts'

const sessions = '/v3/organizations/org-payments/sessions'

let store: StoreServer
let upstream: RecordingUpstream
let issuer: Issuer
let sites: Site[] = []
let gateways: StartedGateway[] = []

/** A team of its own for each test, whose limits nobody else uses up. */
const team = (name: string, limits: string): string => `team: ${name}
members: [{ groups: [${name}] }]
organizations: [org-payments]
grants: [{ id: sessions, allow: [ViewOrgSessions, ManageOrgSessions] }]
cache: { at_most: 0s }
limits: ${limits}
`

const policies = {
  'teams/window.yaml': team('window', '{ requests: 40/s }'),
  'teams/shares.yaml': team('shares', '{ requests: 400/h }'),
  'teams/emptied.yaml': team('emptied', '{ requests: 200/h }'),
  'teams/crash.yaml': team('crash', '{ concurrent: 2, sessions: 5/day }'),
}

async function status({ adminPort }: StartedGateway): Promise<{ away: boolean; instances: number }> {
  const answer = await fetch(`http://127.0.0.1:${adminPort}/api/status`)
  return ((await answer.json()) as { store: { away: boolean; instances: number } }).store
}

const all = async (fits: (state: { away: boolean; instances: number }) => boolean): Promise<boolean> =>
  (await Promise.all(gateways.map(status))).every(fits)

/** What `/gateway/v1/me` says of limits, by team. */
interface Described {
  readonly limits: Readonly<Record<string, readonly { readonly remaining: number }[]>>
}

type Call = (gateway: StartedGateway, init?: RequestInit & { readonly path?: string }) => Promise<Response>

async function callsOf(name: string): Promise<Call> {
  const token = await issuer.sign({ sub: 'ann', groups: [name] })
  return ({ port }, { path = sessions, ...init } = {}) =>
    fetch(`http://127.0.0.1:${port}${path}`, { ...init, headers: { authorization: `Bearer ${token}` } })
}

/** What is left of the first limit of a team, as this gateway tells it. */
async function leftOf(call: Call, gateway: StartedGateway, name: string): Promise<number | undefined> {
  const { limits } = (await (await call(gateway, { path: '/gateway/v1/me' })).json()) as Described
  return limits[name]?.[0]?.remaining
}

/** So many calls at each of them, all at once; how many were let through. */
async function storm(call: Call, each: number): Promise<number> {
  const answers = await Promise.all(gateways.flatMap((gateway) => Array.from({ length: each }, () => call(gateway))))
  await Promise.all(answers.map((answer) => answer.arrayBuffer()))
  return answers.filter(({ status: code }) => code === 200).length
}

describeWithValkey('several gateways over one store', () => {
  beforeAll(async () => {
    store = await startStoreServer()
    upstream = await startUpstream()
    issuer = await startIssuer()
    // The deadline is one that a busy machine meets.
    const config = `store: { nodes: "${store.address}", timeout: 2s }`
    const site = { upstream: upstream.origin, issuer, policies, config }
    sites = await Promise.all(Array.from({ length: 4 }, () => createSite(site)))
    gateways = await Promise.all(sites.map(({ configFile }) => startGatewayProcess(configFile, { env: usualKeys })))
    await until(() => all(({ away, instances }) => !away && instances === 4), 'all instances to know each other')
  })
  afterAll(async () => {
    await Promise.all(gateways.map((gateway) => gateway.kill()))
    await Promise.all(sites.map((site) => site.remove()))
    await store.close()
    await upstream.close()
    await issuer.stop()
  })

  test('never let more than the limit through in any window of its length, by the clock of the store', async () => {
    const call = await callsOf('window')
    const seen = await store.watch()
    let granted = 0
    await Promise.all(
      gateways.map(async (gateway) => {
        while (granted < 130) {
          const answer = await call(gateway)
          await answer.arrayBuffer()
          if (answer.ok) granted += 1
        }
      }),
    )
    // What is written for the uses of a call begins with their time. The times of the lines are taken later, after a pause
    // at worst.
    const counted = (): number[] => {
      let before = 0
      return seen.lines().flatMap((line) => {
        const write = / lua\] "(RPUSH|LSET)" .*"([\d.]+):(\d+):\d+"/.exec(line)
        if (write === null) return []
        const [, command, time, count] = write
        const uses = Number(count) - (command === 'LSET' ? before : 0)
        before = Number(count)
        return Array.from({ length: uses }, () => Number(time))
      })
    }
    await until(() => counted().length === granted, 'the store to have every use')
    seen.close()
    const times = counted()
    const most = Math.max(...times.map((from) => times.filter((time) => time >= from && time < from + 1000).length))
    expect(most).toBe(40)
  })

  test('hold one limit together, exactly; fall back to their shares without the store, and come back to it', async () => {
    const call = await callsOf('shares')
    const [first, , , last] = gateways
    if (first === undefined || last === undefined) throw new Error('no gateways')
    const before = upstream.seen.length
    const left = (): Promise<number | undefined> => leftOf(call, last, 'shares')
    expect(await storm(call, 50)).toBe(200)
    expect(await left()).toBe(200)

    store.freeze()
    await until(() => all(({ away }) => away), 'the outage')
    const ready = await fetch(`http://127.0.0.1:${first.adminPort}/readyz`)
    expect(ready.status).toBe(200)
    expect(await ready.json()).toMatchObject({
      ready: true,
      notes: expect.arrayContaining([expect.stringContaining('the shared store is away')]),
    })
    const metrics = await (await fetch(`http://127.0.0.1:${first.adminPort}/metrics`)).text()
    expect(metrics).toContain('gateway_store_away 1')
    expect(metrics).toContain('gateway_store_instances 4')
    // A share is a hundred, half of which is used.
    expect(await storm(call, 30)).toBe(120)

    store.thaw()
    await until(
      async () => (await Promise.all(gateways.map(status))).every(({ away }) => !away),
      'the store to be back',
    )
    await until(async () => (await left()) === 80, 'what was let through meanwhile to be known')
    expect(await storm(call, 40)).toBe(80)
    expect(upstream.seen.length - before).toBe(400)
    for (const gateway of gateways) {
      const events = gateway.err
        .split('\n')
        .filter((line) => line.includes('"event":"store-'))
        .map((line) => (JSON.parse(line) as { event: string }).event)
      // A slow machine may miss the deadline of the store more often.
      expect(events.slice(0, 3)).toEqual(['store-back', 'store-away', 'store-back'])
      expect(events).toEqual(events.map((_, index) => (index % 2 === 0 ? 'store-back' : 'store-away')))
      expect(events.at(-1)).toBe('store-back')
    }
  })

  test('let no more than the limit through when the store comes back empty, and tell it what counts still', async () => {
    const call = await callsOf('emptied')
    let granted = await storm(call, 30)
    expect(granted).toBe(120)
    await store.kill()
    granted += await storm(call, 5)
    await store.restart()
    await until(async () => {
      granted += await storm(call, 2)
      const states = await Promise.all(gateways.map(status))
      const more = await storm(call, 1)
      granted += more
      return states.every(({ away }) => !away) && more === 0 && granted >= 200
    }, 'the limit to be used up')
    expect(granted).toBe(200)
  })

  test('free the slots of one that has crashed, and refuse session creates while the store is away', async () => {
    const call = await callsOf('crash')
    const before = upstream.seen.length
    const [first, second] = gateways
    if (first === undefined || second === undefined) throw new Error('no gateways')
    await until(async () => (await leftOf(call, first, 'crash')) === 2, 'the limit of all together')
    upstream.takeOver((incoming) => void incoming.resume())
    const held = [call(first), call(first)]
    for (const each of held) each.catch(() => {})
    await until(() => upstream.seen.length === before + 2, 'both requests')
    expect((await call(second)).status).toBe(429)
    await first.kill()
    upstream.takeOver(null)
    await until(async () => (await call(second)).status === 200, 'the slots of the crashed one')

    const create = { method: 'POST', body: '{"prompt":"x"}' }
    expect((await call(second, create)).status).toBe(200)
    await store.kill()
    await until(async () => (await status(second)).away, 'the outage')
    const sent = upstream.seen.length
    const refused = await call(second, create)
    expect(refused.status).toBe(503)
    expect(refused.headers.get('retry-after')).toBe('5')
    expect(await refused.json()).toMatchObject({
      type: '/gateway/v1/problems/budget-unavailable',
      detail: expect.stringContaining('The gateway cannot read what is left of the budget at the moment'),
    })
    expect(upstream.seen.length).toBe(sent)
    expect((await call(second)).status).toBe(200)
  })
})
