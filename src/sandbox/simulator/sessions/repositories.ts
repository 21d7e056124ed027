// Repositories of an organization and their indexing.

import { notFound } from '../http/answers.ts'
import type { Call, Handlers } from '../state/call.ts'
import { objects, text, texts, type Item } from '../state/item.ts'
import { booleanOf, page, passes } from '../http/pages.ts'
import { mustFind, type State } from '../state/state.ts'

/** Handlers of repositories and indexing. */
export function repositoryHandlers(state: State): Handlers {
  const shelf = (call: Call): Map<string, Item> => state.shelf('repositories', call.owner)
  const find = (call: Call, path: string): Item => mustFind(shelf(call), path, `Repository ${path}`)
  const set = (call: Call, path: string, branches: readonly string[]): Item => {
    const item = { ...find(call, path), indexing_enabled: branches.length > 0, branches, updated_at: call.seconds }
    shelf(call).set(path, item)
    return indexing(item)
  }
  const path = (call: Call): string => call.parameter('repository_path')
  return {
    'beta.org.repositories.list': (call) => {
      const wanted = (item: Item): boolean => {
        const name = String(item['repository_path'])
        const excluded = call.query.getAll('exclude_repo_paths').includes(name)
        return (
          name.includes(call.query.get('filter_name') ?? '') && passes(call, 'only_repo_paths', [name]) && !excluded
        )
      }
      const load = booleanOf(call, 'load_indexing_status') ?? false
      return page(
        call,
        [...shelf(call).values()]
          .filter(wanted)
          .map((item) => ({ ...indexing(item), indexing_status: load ? status(item) : null })),
      )
    },
    'beta.org.repositories.indexing.list': (call) =>
      page(call, [...shelf(call).values()].filter((item) => item['indexing_enabled'] === true).map(indexing)),
    'beta.org.repositories.indexing.get': (call) => status(find(call, path(call))),
    'beta.org.repositories.indexing.enable': (call) => set(call, path(call), branchesOf(call.body)),
    'beta.org.repositories.indexing.remove': (call) => set(call, path(call), []),
    'beta.org.repositories.indexing.branches.remove': (call) => {
      const branches = texts(find(call, path(call)), 'branches')
      if (!branches.includes(call.parameter('branch_name'))) throw notFound('Branch')
      return set(
        call,
        path(call),
        branches.filter((name) => name !== call.parameter('branch_name')),
      )
    },
    'beta.org.repositories.indexing.bulk-enable': (call) =>
      objects(call.body, 'repositories').map((wanted) =>
        set(call, text(wanted, 'repository_path') ?? '', branchesOf(wanted)),
      ),
    'beta.org.repositories.indexing.bulk-remove': (call) => {
      const paths = texts(call.body, 'repository_paths')
      // All or nothing: an unknown path refuses the whole list.
      for (const name of paths) find(call, name)
      return paths.map((name) => set(call, name, []))
    },
  }
}

function branchesOf(item: Item): string[] {
  const names = texts(item, 'branch_names')
  return names.length === 0 ? ['main'] : names
}

function indexing({ repository_path, indexing_enabled, branches }: Item): Item {
  return { repository_path, indexing_enabled, branches }
}

function status(item: Item): Item {
  const job = {
    job_id: 'job-1',
    branch_name: texts(item, 'branches')[0] ?? 'main',
    commit: '4f5c2d1',
    status: 'completed',
    created_at: item['updated_at'],
  }
  const latest = item['indexing_enabled'] === true ? job : null
  return {
    indexing_enabled: item['indexing_enabled'],
    latest_indexes: latest === null ? [] : [latest],
    latest_completed_search_index_job: latest,
    latest_completed_wiki_index_job: latest,
  }
}
