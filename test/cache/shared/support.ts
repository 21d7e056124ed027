// Caches of several instances in one process, each with a connection of its own to a real store.

import { groupView, type GroupView } from '../../../src/cache/shared/group-view.ts'
import {
  createInvalidationBroadcast,
  type InvalidationBroadcast,
} from '../../../src/cache/shared/invalidation-broadcast.ts'
import { createStore } from '../../../src/store/client.ts'
import type { Store } from '../../../src/store/store.ts'
import { until } from '../../support/start-gateway.ts'
import type { StoreServer } from '../../support/valkey.ts'
import { classRule, Setting } from '../support.ts'

export interface Instance {
  readonly store: Store
  readonly group: Pick<InvalidationBroadcast, 'broadcast' | 'check'> & { readonly state: GroupView }
  /** The cache, its clock, its upstream. */
  readonly setting: Setting
  readonly changes: GroupView[]
  close(): Promise<void>
}

export interface InstanceOptions {
  readonly prefix?: string
  /** Name of a user of the server, without a password. */
  readonly user?: string | null
  /** Added to the clock of this process. */
  readonly ahead?: () => number
}

/** With one server, or with the nodes of a cluster. */
export function startInstance(servers: StoreServer | readonly StoreServer[], options: InstanceOptions = {}): Instance {
  const { prefix = 'test', user = null, ahead = () => 0 } = options
  const monotonic = (): number => performance.now() + ahead()
  const store = createStore({
    settings: {
      kind: 'port' in servers ? 'single' : 'cluster',
      nodes: [servers].flat().map(({ port }) => ({ host: '127.0.0.1', port })),
      tls: null,
      sentinel: null,
      user,
      password: user === null ? null : () => 'none',
      database: 0,
      prefix,
      timeoutMs: 250,
    },
    now: Date.now,
    monotonic,
  })
  const changes: GroupView[] = []
  const broadcast = createInvalidationBroadcast({ store, monotonic })
  const view = (): GroupView => groupView(store.membership.state, broadcast.counts)
  store.membership.onChange(() => changes.push(view()))
  const group = {
    broadcast: broadcast.broadcast,
    check: broadcast.check,
    get state() {
      return view()
    },
  }
  const setting = new Setting(classRule, { peers: broadcast })
  return {
    store,
    group,
    setting,
    changes,
    close: store.close,
  }
}

export async function together(...instances: readonly Instance[]): Promise<void> {
  await until(() => instances.every(({ group }) => group.state.standing === 'together'), 'the instances to be together')
}
