// The same over a cluster, and over a store that has no room left.

import { afterEach, expect, it } from 'vitest'
import { until } from '../../support/start-gateway.ts'
import { describeWithValkey, startCluster, startStoreServer } from '../../support/valkey.ts'
import { startInstance, together, type Instance } from './support.ts'

const things = { tags: ['things'] }
const drop = { names: ['things'], unsettled: false }
const closing: (() => Promise<void>)[] = []

function store({ setting }: Instance, body = 'old'): void {
  setting.ask('/things', things)
  setting.call.answer(200, {}, body)
  expect(setting.cache.stats().entries).toBe(1)
}

function remember(...instances: readonly Instance[]): void {
  closing.push(...instances.map((instance) => () => instance.close()))
}

describeWithValkey('instances that share', () => {
  afterEach(async () => {
    for (const close of closing.splice(0).toReversed()) await close()
  })

  it('a cluster drop together, and drop everything when the part with their group is gone', async () => {
    const cluster = await startCluster()
    closing.push(() => cluster.close())
    const [first, second, third] = cluster.nodes
    if (first === undefined || second === undefined || third === undefined) throw new Error('a node is missing')
    // They listen at different nodes.
    const one = startInstance([first, second, third])
    const other = startInstance([third, first, second])
    remember(one, other)
    await together(one, other)
    store(one)
    store(other)
    expect(await one.group.broadcast(drop)).toEqual({ dropped: 2, instances: 2, silent: 0, reached: true })
    expect(one.setting.cache.stats().entries + other.setting.cache.stats().entries).toBe(0)

    const slot = await first.command('CLUSTER', 'KEYSLOT', 'test:{limits}:group')
    const owner = cluster.nodes[Number(slot.slice(1)) < 5461 ? 0 : Number(slot.slice(1)) < 10_923 ? 1 : 2]
    store(other, 'new')
    await owner?.kill()
    await until(() => [one, other].every(({ group }) => group.state.standing === 'alone'), 'both to notice')
    expect(other.setting.cache.stats().entries).toBe(0)
  })

  it('a store without room go on, or fall out and serve nothing old', async () => {
    const server = await startStoreServer()
    closing.push(() => server.close())
    const [one, other] = [startInstance(server), startInstance(server)]
    remember(one, other)
    await together(one, other)
    store(other)
    await server.command('CONFIG', 'SET', 'maxmemory', '1')
    await one.group.broadcast(drop)
    other.group.check()
    expect(other.setting.cache.stats().entries).toBe(0)
    await server.command('CONFIG', 'SET', 'maxmemory', '0')
    // An instance that was slow to acknowledge leaves the group and joins it again.
    await until(async () => {
      await together(one, other)
      const { instances, silent, reached } = await one.group.broadcast(drop)
      return instances === 2 && silent === 0 && reached
    }, 'both to acknowledge')
  })
})
