// Organizations and what the enterprise sets for them: tags, git access, the IP access list; and its machines.

import { ApiError, notFound } from '../http/answers.ts'
import type { Call, Handlers } from '../state/call.ts'
import { ENTERPRISE, objects, text, texts, type Item, newId } from '../state/item.ts'
import { collection, given } from '../state/collection.ts'
import { page, passes } from '../http/pages.ts'
import { mustFind, organizationItem, setting, type State } from '../state/state.ts'
import { idMembers } from '../state/kinds.ts'

/** Handlers of organizations, their tags and git access, and of the enterprise's machines. */
export function organizationHandlers(state: State): Handlers {
  const { organizations } = state
  const store = (call: Call, before: Item): Item => {
    const after = { ...before, ...given(call), updated_at: call.seconds }
    organizations.set(String(before['org_id']), after)
    return after
  }
  return {
    'ent.organizations.list': (call) => page(call, [...organizations.values()]),
    'ent.organizations.create': (call) => store(call, organizationItem(newId('org'), '', call.seconds)),
    'ent.organizations.get': (call) => organizations.get(call.owner),
    'ent.organizations.update': (call) => store(call, mustFind(organizations, call.owner, 'Organization')),
    'ent.organizations.delete': (call) => {
      const gone = organizations.get(call.owner)
      organizations.delete(call.owner)
      return gone
    },
    ...tagHandlers(state),
    ...gitHandlers(state),
    ...accessHandlers(state),
    'ent.queue.get': () => ({ queue_size: state.shelf('outpost-devins', ENTERPRISE).size, status: 'normal' }),
    'ent.hypervisors.list': (call) => {
      const machines = [...state.shelf('hypervisors', ENTERPRISE).values()].filter((item) =>
        passes(call, 'status', [text(item, 'status')]),
      )
      return page(
        call,
        machines.map(({ created_at: _c, updated_at: _u, ...item }) => ({ ...item, last_heartbeat: call.seconds })),
      )
    },
  }
}

function tagHandlers(state: State): Handlers {
  const tags = setting(state, 'tags', { tags: [] })
  const fallback = setting(state, 'default tag', { tag: null })
  const set = (call: Call, list: readonly string[]): Item => tags.write(call.owner, { tags: [...new Set(list)] })
  const of = (call: Call): string[] => texts(tags.read(call.owner), 'tags')
  return {
    'ent.organizations.tags.get': (call) => tags.read(call.owner),
    'ent.organizations.tags.append': (call) => set(call, [...of(call), ...texts(call.body, 'tags')]),
    'ent.organizations.tags.replace': (call) => set(call, texts(call.body, 'tags')),
    'ent.organizations.tags.clear': (call) => set(call, []),
    'ent.organizations.tags.delete': (call) => {
      const tag = call.parameter('tag')
      if (!of(call).includes(tag)) throw notFound('Tag')
      return set(
        call,
        of(call).filter((other) => other !== tag),
      )
    },
    'ent.organizations.tags.default.get': (call) => fallback.read(call.owner),
    'ent.organizations.tags.default.set': (call) => fallback.write(call.owner, { tag: text(call.body, 'tag') }),
    'ent.organizations.tags.default.clear': (call) => fallback.write(call.owner, { tag: null }),
  }
}

function gitHandlers(state: State): Handlers {
  const permissions = 'ent.organizations.git-providers.permissions'
  const add = (call: Call): Item[] =>
    objects(call.body, 'permissions').map((wanted) => {
      const connection = mustFind(
        state.shelf('git-connections', ENTERPRISE),
        text(wanted, 'git_connection_id') ?? '',
        'Git connection',
      )
      const empty = { repo_path: null, prefix_path: null, group_prefix: null, read_only: false }
      const id = newId('git-permission')
      const item = {
        git_permission_id: id,
        ...empty,
        ...wanted,
        git_connection_id: connection['git_connection_id'],
        created_at: call.seconds,
      }
      state.shelf('git-permissions', call.owner).set(id, item)
      return item
    })
  const clear = (call: Call): Item[] => {
    const shelf = state.shelf('git-permissions', call.owner)
    const all = [...shelf.values()]
    shelf.clear()
    return all
  }
  return {
    ...collection(state, {
      operations: permissions,
      kind: 'git-permissions',
      parameter: idMembers['git-permissions'],
      verbs: ['list', 'update', 'delete'],
    }),
    [`${permissions}.create`]: add,
    [`${permissions}.replace`]: (call) => {
      clear(call)
      return add(call)
    },
    [`${permissions}.clear`]: clear,
    ...collection(state, {
      operations: 'ent.git-providers.connections',
      kind: 'git-connections',
      parameter: 'connection_id',
      verbs: ['list'],
    }),
    'ent.git-providers.connections.repositories.list': (call) => {
      mustFind(state.shelf('git-connections', ENTERPRISE), call.parameter('connection_id'), 'Git connection')
      const names = state.everywhere('repositories').map(({ item }) => String(item['repository_path']))
      const wanted = names.filter((name) => name.includes(call.query.get('filter_name') ?? ''))
      return page(
        call,
        wanted.map((name) => ({ repository_path: name, default_branch: 'main' })),
        100,
      )
    },
  }
}

/** The list is kept and not enforced: a demonstration that locks itself out helps nobody. */
function accessHandlers(state: State): Handlers {
  const list = setting(state, 'ip access list', { ip_ranges: [] })
  const set = (ranges: readonly string[]): Item => {
    const bad = ranges.find((range) => !/^[0-9a-f.:]+(\/\d{1,3})?$/i.test(range))
    if (bad !== undefined) throw new ApiError(400, `Not an IP range: ${bad}`)
    return list.write(ENTERPRISE, { ip_ranges: [...new Set(ranges)] })
  }
  return {
    'ent.ip-access-list.get': () => list.read(ENTERPRISE),
    'ent.ip-access-list.merge': (call) =>
      set([...texts(list.read(ENTERPRISE), 'ip_ranges'), ...texts(call.body, 'ip_ranges')]),
    'ent.ip-access-list.replace': (call) => set(texts(call.body, 'ip_ranges')),
    'ent.ip-access-list.clear': () => set([]),
  }
}
