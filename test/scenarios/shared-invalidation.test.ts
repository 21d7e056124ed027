// Four gateway processes with one real store: after a write through one, no other serves an older value, also when
// one of them or the store hangs, crashes or comes back; identical reads cost at most one call per process.

import { readFile, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { runCommand } from '../support/command.ts'
import { startInstances, type Instances } from '../support/instances.ts'
import { until, usualPolicies } from '../support/start-gateway.ts'
import { describeWithValkey, startStoreServer, type StoreServer } from '../support/valkey.ts'

const count = 4
const all = [0, 1, 2, 3]
const playbooks = '/v3/organizations/org-payments/playbooks'
const policies = {
  'teams/payments.yaml': (usualPolicies['teams/payments.yaml'] ?? '')
    .replace('cache: { at_most: 0s }\n', '')
    .replace('org.attachments.*', 'org.playbooks.*, ViewOrgAutomations'),
  'keys.yaml': (usualPolicies['keys.yaml'] ?? '').replaceAll(
    'UseDevinSessions',
    'UseDevinSessions, ManageAccountPlaybooks, ManageOrgPlaybooks, ViewOrgAutomations',
  ),
}

let store: StoreServer
let instances: Instances
/** What Devin holds, by path. */
const values = new Map<string, number>()

async function standing(instance: number): Promise<string> {
  const { cache } = (await (await instances.admin(instance, '/api/status')).json()) as {
    cache: { group: { standing: string } }
  }
  return cache.group.standing
}

/** How often one of them has lost contact with the others, as on a machine that stands still for a moment, and dropped all. */
async function lapses(): Promise<number> {
  const pages = await Promise.all(all.map(async (each) => (await instances.admin(each, '/metrics')).text()))
  const counts = pages.map((page) => Number(/^gateway_cache_lapses_total (\d+)$/m.exec(page)?.[1]))
  expect(counts.every(Number.isInteger)).toBe(true)
  return counts.reduce((sum, count) => sum + count, 0)
}

async function together(): Promise<void> {
  await until(
    async () => (await Promise.all(all.map(standing))).every((each) => each === 'together'),
    'all to be together',
  )
}

async function read(instance: number, path: string): Promise<number> {
  const response = await instances.call(instance, path)
  return ((await response.json()) as { value: number }).value
}

/** Writes the next value; what was acknowledged. */
async function write(instance: number, path: string): Promise<number> {
  const response = await instances.call(instance, path, { method: 'PUT', body: '{}' })
  expect(response.status).toBe(200)
  return ((await response.json()) as { value: number }).value
}

describeWithValkey('four instances', () => {
  beforeAll(async () => {
    store = await startStoreServer()
    instances = await startInstances({
      count,
      store,
      policies,
      storeSettings: ', secret: { env: STORE_SECRET }',
      env: { STORE_SECRET: 'a secret that the store never sees' },
    })
    instances.upstream.respond((request, response) => {
      const path = request.url ?? ''
      const work = (): void => {
        if (request.method === 'PUT') values.set(path, (values.get(path) ?? 0) + 1)
        const body = JSON.stringify({ value: values.get(path) ?? 0 })
        setTimeout(() => response.writeHead(200, { 'content-type': 'application/json' }).end(body), Math.random() * 4)
      }
      setTimeout(work, Math.random() * 4)
    })
    await together()
  })
  beforeEach(() => {
    instances.upstream.seen.length = 0
  })
  afterAll(async () => {
    store.thaw()
    await instances.close()
    await store.close()
  })

  test('a write through one is never followed by an older read through another', async () => {
    const complaints: string[] = []
    let reads = 0
    const acknowledged = new Map<string, number>()
    const paths = [1, 2, 3].map((each) => `${playbooks}/playbook-${each}`)
    const pick = <T>(from: readonly T[]): T => from[Math.floor(Math.random() * from.length)] as T
    const lapsesBefore = await lapses()
    const writers = { left: 2 }
    const reader = async (): Promise<void> => {
      while (writers.left > 0) {
        const [path, instance] = [pick(paths), pick(all)]
        const least = acknowledged.get(path) ?? 0
        const value = await read(instance, path)
        reads += 1
        if (value < least) complaints.push(`${value} after ${least} through ${instance}`)
      }
    }
    const writer = async (): Promise<void> => {
      for (let count = 1; count <= 40; count += 1) {
        const path = pick(paths)
        const value = await write(pick(all), path)
        acknowledged.set(path, Math.max(acknowledged.get(path) ?? 0, value))
        // However fast the machine is, there are many more reads than writes.
        const enough = count * 40
        await until(() => reads >= enough, 'reads')
      }
      writers.left -= 1
    }
    await Promise.all([...Array.from({ length: 12 }, reader), writer(), writer()])
    expect(complaints).toEqual([])
    // It was the caches that answered most of them.
    if ((await lapses()) === lapsesBefore)
      expect(instances.upstream.seen.filter(({ method }) => method === 'GET').length).toBeLessThan(reads * 0.8)
  })

  test('1,000 identical reads at once cost at most four calls', async () => {
    const path = `${playbooks}?first=77`
    const lapsesBefore = await lapses()
    const answers = await Promise.all(
      Array.from({ length: 1_000 }, (_, index) => instances.call(index % count, path).then((each) => each.text())),
    )
    expect(new Set(answers).size).toBe(1)
    // A lapse costs one of them what it had, twice, and the others once.
    const again = ((await lapses()) - lapsesBefore) * (2 + count - 1)
    expect(instances.upstream.seen.length).toBeLessThanOrEqual(count + again)
  })

  test('a purge at one reaches all, and says how much was dropped', async () => {
    const path = `${playbooks}/playbook-purged`
    for (const instance of all) await read(instance, path)
    const args = ['purge', '--resource', 'playbook-purged', '--config']
    const purged = await runCommand([...args, await configOf(3)], { env: instances.env })
    expect(purged).toMatchObject({ code: 0, out: '4 stored answers dropped by 4 instances\n' })
    instances.upstream.seen.length = 0
    await read(0, path)
    expect(instances.upstream.seen).toHaveLength(1)
  })

  test('one that hangs delays a write until its lease has expired, and serves nothing old when it continues', async () => {
    const path = `${playbooks}/playbook-hung`
    await read(1, path)
    expect(await read(1, path)).toBe(0)
    instances.processes[1]?.signal('SIGSTOP')
    // These wait in its sockets until it goes on.
    const waiting = [read(1, path), read(1, path)]
    const value = await write(0, path)
    const late = read(1, path)
    instances.processes[1]?.signal('SIGCONT')
    expect(await late).toBe(value)
    await Promise.all(waiting)
    expect(await read(1, path)).toBe(value)
    await together()
  })

  test('a store that hangs: writes wait until all have noticed; then answers are kept only briefly, until it is back', async () => {
    const path = `${playbooks}/playbook-outage`
    const schemas = '/v3/organizations/org-payments/automations/schemas'
    for (const instance of all) await read(instance, path)
    await instances.call(1, schemas)
    expect((await instances.call(1, schemas)).headers.get('cache-status')).toMatch(/hit; ttl=3[56]\d\d/)
    store.freeze()
    const value = await write(0, path)
    for (const instance of all) expect(await read(instance, path)).toBe(value)
    expect(await Promise.all(all.map(standing))).toEqual(all.map(() => 'alone'))
    // Even what no write could change was dropped, and class `long` is kept like `short` now.
    expect((await instances.call(1, schemas)).headers.get('cache-status')).toContain('fwd=uri-miss')
    expect((await instances.call(1, schemas)).headers.get('cache-status')).toMatch(/hit; ttl=(30|29)$/)
    const ready = (await (await instances.admin(1, '/readyz')).json()) as { ready: boolean; notes: string[] }
    expect(ready).toMatchObject({ ready: true })
    expect(ready.notes.join()).toContain('the cache hears of no other instance')
    expect(await (await instances.admin(1, '/metrics')).text()).toContain('gateway_cache_standing{standing="alone"} 1')
    const purge = await fetch(`http://127.0.0.1:${instances.processes[1]?.adminPort}/api/purge?resource=x`, {
      method: 'POST',
    })
    expect(await purge.json()).toMatchObject({ dropped: 0, everywhere: false })
    store.thaw()
    await together()
    expect((await instances.call(1, schemas)).headers.get('cache-status')).toContain('fwd=uri-miss')
    expect((await instances.call(1, schemas)).headers.get('cache-status')).toMatch(/hit; ttl=3[56]\d\d/)
    const lines = (instances.processes[1]?.err ?? '').split('\n').filter((line) => line.includes('cache-standing'))
    const standings = lines.map((line) => (JSON.parse(line) as { standing: string }).standing)
    // On a slow machine another instance may be late at any time.
    expect([standings[0], standings.includes('alone'), standings.at(-1)]).toEqual(['together', true, 'together'])
  })

  test('a store that was started again, empty, lets nobody read an older value', async () => {
    const path = `${playbooks}/playbook-restart`
    for (const instance of all) await read(instance, path)
    await store.kill()
    await store.restart()
    const value = await write(0, path)
    for (const instance of all) expect(await read(instance, path)).toBe(value)
    await together()
  })

  test('one that crashes makes the others drop what they have, and keep answers only briefly', async () => {
    const path = `${playbooks}/playbook-crash`
    await read(0, path)
    await instances.processes[3]?.kill()
    await until(async () => (await standing(0)) === 'cautious', 'the crash to be noticed')
    expect((await instances.call(0, path)).headers.get('cache-status')).not.toContain('; hit; ttl')
    expect((await instances.call(0, path)).headers.get('cache-status')).toMatch(/hit; ttl=(30|29)$/)
    const value = await write(0, path)
    expect(await read(1, path)).toBe(value)
  })
})

/** `purge` reads the address of the operators' listener from the configuration; here the port was a free one. */
async function configOf(instance: number): Promise<string> {
  const file = instances.configFiles[instance] ?? ''
  const text = await readFile(file, 'utf8')
  const other = file.replace('.yaml', '-purge.yaml')
  await writeFile(
    other,
    text.replace('admin: "127.0.0.1:0"', `admin: "127.0.0.1:${instances.processes[instance]?.adminPort}"`),
  )
  return other
}
