// Rotation of a key that two instances use, over one real store.

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { RotationView } from '../../src/admin/rotation-views.ts'
import {
  rotationFiles,
  rotationPolicies,
  rotationSessions,
  startRotatedDevin,
  type RotatedDevin,
} from '../support/rotation.ts'
import { startTestGateway, until, type RunningGateway } from '../support/start-gateway.ts'
import { describeWithValkey, startStoreServer, type StoreServer } from '../support/valkey.ts'

describeWithValkey('a key that two instances use', () => {
  let store: StoreServer
  let devin: RotatedDevin
  let one: RunningGateway
  let other: RunningGateway
  beforeAll(async () => {
    store = await startStoreServer()
    devin = await startRotatedDevin()
    const options = {
      policies: rotationPolicies,
      files: rotationFiles,
      upstream: `{ origin: "${devin.simulator.origin}" }`,
      config: `store: { nodes: "${store.address}", timeout: 250ms }\n`,
    }
    one = await startTestGateway(options)
    other = await startTestGateway(options)
  })
  afterAll(async () => {
    await one.close()
    await other.close()
    await devin.simulator.close()
    await store.close()
  })

  const ask = (gateway: RunningGateway, fields: object): Promise<Response> =>
    fetch(`${gateway.adminUrl}/api/rotations`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ key: 'payments-runner', ...fields }),
    })
  const shown = async (gateway: RunningGateway): Promise<RotationView | undefined> => {
    const list = (await (await fetch(`${gateway.adminUrl}/api/rotations`)).json()) as RotationView[]
    return list.find(({ key }) => key === 'payments-runner')
  }

  test('keeps its old value alive until both use the new one, is rotated by one of them at a time, and no request fails', async () => {
    const statuses = new Set<number>()
    const over = new AbortController()
    const load = [one, other].map(async (gateway) => {
      while (!over.signal.aborted) statuses.add((await gateway.call(rotationSessions)).status)
    })
    for (const calls of load) calls.catch(() => {})
    expect((await ask(one, {})).status).toBe(202)
    await until(async () => (await shown(one))?.waiting?.includes(': 1 of 2') === true, 'it to wait')
    // The other one has its own file, which still holds the old value.
    expect((await shown(one))?.waiting).toContain('instances that do not say yet that they use only this value: 1 of 2')
    expect(await devin.activeKeys('payments-runner')).toHaveLength(2)
    const second = await ask(other, {})
    expect([second.status, await second.text()]).toEqual([
      409,
      expect.stringContaining('another instance rotates key \\"payments-runner\\"'),
    ])
    const value = await readFile(join(one.directory, 'payments-runner.key'), 'utf8')
    await writeFile(join(other.directory, 'payments-runner.key'), value)
    await until(async () => (await shown(one))?.state === 'done', 'the end')
    over.abort()
    await Promise.all(load)
    expect([...statuses]).toEqual([200])
    expect(devin.seen.filter(({ status }) => status === 401)).toEqual([])
    expect(await devin.activeKeys('payments-runner')).toHaveLength(1)
  })

  test('is not revoked while the store is away, and goes on when it is back', async () => {
    expect((await ask(one, {})).status).toBe(202)
    await until(async () => (await shown(one))?.waiting?.includes(': 1 of 2') === true, 'it to wait')
    await store.kill()
    await until(async () => (await shown(one))?.waiting?.includes('the shared store is away') === true, 'it to notice')
    const value = await readFile(join(one.directory, 'payments-runner.key'), 'utf8')
    await writeFile(join(other.directory, 'payments-runner.key'), value)
    expect(await devin.activeKeys('payments-runner')).toHaveLength(2)
    await store.restart()
    await until(async () => (await shown(one))?.state !== 'running', 'the end')
    if ((await shown(one))?.state === 'stopped') expect((await ask(one, { action: 'resume' })).status).toBe(202)
    await until(async () => (await shown(one))?.state === 'done', 'the end')
    expect(await devin.activeKeys('payments-runner')).toHaveLength(1)
    expect((await other.call(rotationSessions)).status).toBe(200)
  })
})
