// Caches of several instances in one process, each with a connection of its own to a real store.

import { createGroup, type Group } from '../../../src/cache/shared/group.ts'
import type { GroupState } from '../../../src/cache/shared/standing.ts'
import { createStore } from '../../../src/store/client.ts'
import type { Store } from '../../../src/store/store.ts'
import { until } from '../../support/start-gateway.ts'
import type { StoreServer } from '../../support/valkey.ts'
import { classRule, Setting } from '../support.ts'

export interface Instance {
  readonly store: Store
  readonly group: Group
  /** The cache, its clock, its upstream. */
  readonly setting: Setting
  readonly changes: GroupState[]
  close(): Promise<void>
}

export interface InstanceOptions {
  readonly prefix?: string
  /** Added to the clock of this process. */
  readonly ahead?: () => number
}

/** With one server, or with the nodes of a cluster. */
export function startInstance(servers: StoreServer | readonly StoreServer[], options: InstanceOptions = {}): Instance {
  const { prefix = 'test', ahead = () => 0 } = options
  const store = createStore({
    settings: {
      kind: 'port' in servers ? 'single' : 'cluster',
      nodes: [servers].flat().map(({ port }) => ({ host: '127.0.0.1', port })),
      tls: null,
      sentinel: null,
      user: null,
      password: null,
      database: 0,
      prefix,
      timeoutMs: 250,
    },
    now: Date.now,
  })
  const changes: GroupState[] = []
  const group = createGroup({
    store,
    monotonic: () => performance.now() + ahead(),
    now: Date.now,
    onChange: (state) => changes.push(state),
  })
  const setting = new Setting(classRule, { peers: group })
  return {
    store,
    group,
    setting,
    changes,
    async close() {
      await group.close()
      await store.close()
    },
  }
}

export async function together(...instances: readonly Instance[]): Promise<void> {
  await until(() => instances.every(({ group }) => group.state.standing === 'together'), 'the instances to be together')
}
