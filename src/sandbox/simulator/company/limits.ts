// Limits of consumption: of groups of organizations, of organizations, of users.

import { notFound } from '../http/answers.ts'
import type { Call, Handlers } from '../state/call.ts'
import { ENTERPRISE, number, type Item } from '../state/item.ts'
import { given } from '../state/collection.ts'
import { page } from '../http/pages.ts'
import { mustFind, setting, type State } from '../state/state.ts'

/** Handlers of all ACU limits. */
export function limitHandlers(state: State): Handlers {
  const groups = setting(state, 'group limits', { groups: {} })
  const devin = new Map<string, Item>()
  const agent = setting(state, 'local agent', { local_agent: null })
  const local = setting(state, 'local agent default', { cycle_acu_limit: null })
  const users = new Map<string, Item>()
  const user = (call: Call): string => mustFind(state.directory.users, call.parameter('user_id'), 'User').id
  /** The same three operations for an organization, a user and the default of all users. */
  const limits = (operations: string, place: (call: Call) => string): Handlers => ({
    [`${operations}.get`]: (call) => agent.read(place(call)),
    [`${operations}.update`]: (call) => {
      agent.write(place(call), given(call))
      return null
    },
    [`${operations}.delete`]: (call) => {
      agent.write(place(call), { local_agent: null })
      return null
    },
  })
  return {
    'ent.org-group-limits.get': () => groups.read(ENTERPRISE),
    'ent.org-group-limits.replace': (call) => groups.write(ENTERPRISE, given(call)),
    'ent.consumption.acu-limits.devin.list': (call) => page(call, [...devin.values()]),
    'ent.consumption.acu-limits.devin.organizations.set': (call) => {
      devin.set(call.owner, {
        scope: 'org',
        cycle_acu_limit: number(call.body, 'cycle_acu_limit'),
        org_id: call.owner,
        user_id: null,
      })
      return null
    },
    'ent.consumption.acu-limits.devin.organizations.delete': (call) => {
      if (!devin.delete(call.owner)) throw notFound('ACU limit')
      return null
    },
    ...limits('beta.ent.acu-limits.organizations', (call) => call.owner),
    ...limits('beta.ent.acu-limits.users.item', user),
    ...limits('beta.ent.acu-limits.users.default', () => 'every user'),
    'beta.ent.acu-limits.local-agent.list': () => ({ default: local.read(ENTERPRISE), users: [...users.values()] }),
    'beta.ent.acu-limits.local-agent.set-default': (call) => local.write(ENTERPRISE, given(call)),
    'beta.ent.acu-limits.local-agent.set-user': (call) => {
      const limit = { user_id: user(call), ...given(call) }
      users.set(limit.user_id, limit)
      return limit
    },
    'beta.ent.acu-limits.local-agent.delete-user': (call) => {
      const limit = mustFind(users, user(call), 'ACU limit')
      users.delete(user(call))
      return limit
    },
    'beta.ent.usage-policies.tiers.users.set': (call) => ({ tier_id: call.parameter('tier_id'), user_id: user(call) }),
  }
}
