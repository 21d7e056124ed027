// A thousand creates at once, at gateways that are processes of their own and are killed in between: together they never
// spend more than the budget, and forget nothing of what they have let through.

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import type { BudgetView } from '../../src/budgets/budget-status.ts'
import { callCommand, startGatewayProcess, type StartedGateway } from '../support/command.ts'
import { startIssuer, type Issuer } from '../support/issuer.ts'
import { createSite, type Site } from '../support/site.ts'
import { paymentsGroups, until, usualKeys, usualPolicies } from '../support/start-gateway.ts'
import { startUpstream, type RecordingUpstream } from '../support/upstream.ts'
import { describeWithValkey, startStoreServer } from '../support/valkey.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const budget = 600
const team = `${usualPolicies['teams/payments.yaml'] ?? ''}limits: { acus: ${budget}/month, open_sessions: 1000, attempts: 100000/min }\n`

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

interface Company {
  readonly upstream: RecordingUpstream
  readonly issuer: Issuer
  /** Sessions that the upstream has started; each may cost an ACU. */
  started(): number
  site(config?: string): Promise<Site>
  start(site: Site): Promise<StartedGateway>
}

async function company(): Promise<Company> {
  const upstream = await startUpstream()
  const issuer = await startIssuer()
  closers.push(
    () => upstream.close(),
    () => issuer.stop(),
  )
  let count = 0
  // Sessions work on and have cost a little, so that nothing is given back.
  const running = (id: string): object => ({ session_id: id, status: 'running', acus_consumed: 0.25, created_at: 1 })
  upstream.respond((request, response) => {
    const ids = new URL(request.url ?? '', 'http://upstream').searchParams.getAll('session_ids')
    const answer = request.method === 'POST' ? running(`devin-${count++}`) : { items: ids.map(running) }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
  })
  return {
    upstream,
    issuer,
    started: () => count,
    async site(config = '') {
      const site = await createSite({
        upstream: upstream.origin,
        issuer,
        policies: { 'teams/payments.yaml': team },
        config: `budgets: { poll: 100ms }\n${config}`,
      })
      closers.push(() => site.remove())
      return site
    },
    async start(site) {
      const gateway = await startGatewayProcess(site.configFile, { env: usualKeys })
      closers.push(() => gateway.kill())
      return gateway
    },
  }
}

/** So many creates at once; the status of each, 0 where the gateway was gone. */
async function creates(token: string, count: number, gateways: readonly StartedGateway[]): Promise<number[]> {
  const create = async (index: number): Promise<number> => {
    try {
      const response = await fetch(`http://127.0.0.1:${gateways[index % gateways.length]?.port}${sessions}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}` },
        body: JSON.stringify({ prompt: 'x', max_acu_limit: 1 }),
      })
      await response.arrayBuffer()
      return response.status
    } catch {
      return 0
    }
  }
  return await Promise.all(Array.from({ length: count }, (_, index) => create(index)))
}

async function acus({ adminPort }: StartedGateway): Promise<BudgetView> {
  const views = (await (await fetch(`http://127.0.0.1:${adminPort}/api/budgets`)).json()) as BudgetView[]
  const found = views.find(({ name }) => name === 'acus')
  if (found === undefined) throw new Error('no budget')
  return found
}

describe('one instance with a journal', () => {
  test('spends no more than the budget in a thousand creates, though it is killed three times in between', async () => {
    const { started, issuer, site: newSite, start } = await company()
    const site = await newSite()
    const token = await issuer.sign({ sub: 'ann', groups: paymentsGroups })
    let gateway = await start(site)
    for (let kill = 1; kill <= 3; kill++) {
      const storm = creates(token, 250, [gateway])
      const before = started()
      await until(() => started() > before + 20, 'creates under way')
      await gateway.kill()
      await storm
      gateway = await start(site)
      const { spent, reserved } = await acus(gateway)
      // Whatever the upstream was asked for was on the disk before.
      expect(spent + reserved).toBeGreaterThanOrEqual(started())
    }
    // How far each storm came before its end is the machine's affair: go on until the budget is used up.
    for (let more = 0, refused = false; !refused; more++) {
      refused = (await creates(token, 250, [gateway])).includes(429)
      expect(more * 250).toBeLessThanOrEqual(budget)
    }
    expect(started()).toBeLessThanOrEqual(budget)
    expect(started()).toBeGreaterThan(60)
    expect(await acus(gateway)).toMatchObject({ left: 0, used_percent: 100 })

    // The command asks the gateway that runs the configuration.
    const asking = join(site.directory, 'asking.yaml')
    const text = await readFile(site.configFile, 'utf8')
    await writeFile(asking, text.replace(/^listen:.*$/m, `listen: { admin: "127.0.0.1:${gateway.adminPort}" }`))
    const shown = await callCommand(['budget', '--team', 'payments', '--config', asking])
    expect(shown.code).toBe(0)
    expect(shown.out).toContain('acus of team payments  600 per month  100 %\n    spent ')
    expect(shown.out).toContain('open_sessions of team payments  1000 at once')
    const json = await callCommand(['budget', '--json', '--team', 'nobody', '--config', asking])
    expect([json.code, json.out]).toEqual([2, ''])
    expect(json.err).toContain('devin-gateway budget: unknown team "nobody": there is ')
    const near = await callCommand(['budget', '--team', 'paymnts', '--config', asking])
    expect([near.code, near.err.split('\n')[0]]).toEqual([
      2,
      'devin-gateway budget: unknown team "paymnts"; did you mean "payments"?',
    ])
    await gateway.kill()
    const gone = await callCommand(['budget', '--config', asking])
    expect([gone.code, gone.err]).toEqual([1, expect.stringContaining('the running gateway could not be asked at')])
  })

  test('does not start beside another one with the same journal, nor with a damaged one', async () => {
    const { site: newSite, start } = await company()
    const site = await newSite()
    const gateway = await start(site)
    const another = () => callCommand(['start', '--config', site.configFile], usualKeys)
    expect(await another()).toMatchObject({
      code: 1,
      err: expect.stringContaining('two gateways cannot count in one journal'),
    })
    await gateway.kill()
    await writeFile(join(site.directory, 'budgets.journal'), 'nonsense')
    expect(await another()).toMatchObject({ code: 1, err: expect.stringContaining('does not begin with a snapshot') })
  })
})

describeWithValkey('two instances over one store', () => {
  test('spend no more than the budget in a thousand creates, though they are killed and restarted in between', async () => {
    const store = await startStoreServer()
    closers.push(() => store.close())
    const { started, issuer, site: newSite, start } = await company()
    const config = `store: { nodes: "${store.address}", timeout: 2s }`
    const sites = [await newSite(config), await newSite(config)] as const
    const token = await issuer.sign({ sub: 'ann', groups: paymentsGroups })
    let [first, second] = [await start(sites[0]), await start(sites[1])]
    const statuses: number[] = []
    for (let round = 1; round <= 4; round++) {
      const storm = creates(token, 250, [first, second])
      const before = started()
      if (round < 3) await until(() => started() > before + 20, 'creates under way')
      if (round === 1) await first.kill()
      if (round === 2) await second.kill()
      statuses.push(...(await storm))
      if (round === 1) first = await start(sites[0])
      if (round === 2) second = await start(sites[1])
      const { spent, reserved } = await acus(round === 2 ? second : first)
      expect(spent + reserved).toBeGreaterThanOrEqual(started())
      expect(spent + reserved).toBeLessThanOrEqual(budget)
    }
    expect(statuses).toHaveLength(1000)
    expect(statuses.filter((status) => status === 429).length).toBeGreaterThan(100)
    expect(started()).toBeLessThanOrEqual(budget)
    expect(started()).toBeGreaterThan(100)
    expect(await acus(first)).toMatchObject({ left: 0 })
    expect(await acus(second)).toMatchObject({ left: 0 })

    // Nobody knows what is left while the store is away.
    await store.kill()
    expect(new Set(await creates(token, 4, [first, second]))).toEqual(new Set([503]))
  })
})
