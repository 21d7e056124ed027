// Repositories of an organization, their indexing, and the blueprints and builds its machines are made from.

import { ApiError, invalid, notFound } from './answers.ts'
import { ENTERPRISE, objects, text, texts, type Call, type Handlers, type Item } from './call.ts'
import { collection } from './collection.ts'
import { readFilePart } from './multipart.ts'
import type { ObjectStore } from './objects.ts'
import { booleanOf, page, passes } from './pages.ts'
import { DAY, mustFind, newId, type State } from './state.ts'

const PRESIGNED_MS = 600_000

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

/** Blueprints at both scopes with contents and files behind presigned addresses, and the builds made from them. */
export function snapshotHandlers(state: State, objects: ObjectStore, origin: () => string): Handlers {
  const presigned = async (call: Call, contents: string): Promise<Item> => {
    const { id } = await objects.put(chunk(contents), 'text/plain')
    const until = call.nowMs + PRESIGNED_MS
    return { url: origin() + objects.presign(id, until), expires_at: Math.floor(until / 1000) }
  }
  return {
    ...blueprints(state, 'beta.org.blueprints', objects, presigned),
    ...blueprints(state, 'beta.ent.blueprints', objects, presigned),
    ...builds(state, presigned),
  }
}

type Presign = (call: Call, contents: string) => Promise<Item>

async function* chunk(contents: string): AsyncGenerator<Buffer> {
  yield Buffer.from(contents)
}

function blueprints(state: State, operations: string, objects: ObjectStore, presigned: Presign): Handlers {
  const make = (call: Call): Item => {
    const repo = text(call.body, 'repo_name')
    const type = call.owner === ENTERPRISE ? 'enterprise' : repo === null ? 'org' : 'repo'
    const twin = [...state.shelf('blueprints', call.owner).values()].some(
      (item) => item['repo_name'] === repo && item['type'] === type,
    )
    if (twin) throw new ApiError(409, 'The blueprint already exists')
    return { type, repo_name: repo, contents: text(call.body, 'contents') }
  }
  const plain = collection(state, {
    operations,
    kind: 'blueprints',
    parameter: 'blueprint_id',
    verbs: ['create', 'get', 'update', 'delete'],
    make,
  })
  const find = (call: Call): Item =>
    mustFind(state.shelf('blueprints', call.owner), call.parameter('blueprint_id'), 'Blueprint')
  const files = (call: Call): Item[] =>
    [...state.shelf('blueprint-files', call.owner).values()].filter(
      (file) => file['blueprint_id'] === find(call)['blueprint_id'],
    )
  const shown = Object.entries(plain).map(
    ([id, handler]) => [id, async (call: Call) => withoutContents(await handler(call))] as const,
  )
  return {
    ...Object.fromEntries(shown),
    [`${operations}.list`]: (call) => ({
      data: [...state.shelf('blueprints', call.owner).values()].map(withoutContents),
    }),
    [`${operations}.contents.get`]: (call) => presigned(call, text(find(call), 'contents') ?? ''),
    [`${operations}.files.list`]: (call) => ({ data: files(call) }),
    [`${operations}.files.upload`]: async (call) => {
      const name = call.query.get('name')
      if (name === null) throw invalid([{ loc: ['query', 'name'], msg: 'Field required', type: 'missing' }])
      if (files(call).some((file) => file['name'] === name))
        throw new ApiError(409, 'A file of this name already exists')
      const part = await readFilePart(call.request, call.request.headers['content-type'])
      const { bytes } = await objects.put(part.chunks, part.contentType)
      const id = newId('file')
      const item = {
        file_id: id,
        blueprint_id: call.parameter('blueprint_id'),
        name,
        env_var_name: `FILE_${name.toUpperCase().replaceAll(/\W/g, '_')}`,
        size_bytes: bytes,
        created_at: call.seconds,
        updated_at: call.seconds,
      }
      state.shelf('blueprint-files', call.owner).set(id, item)
      return item
    },
    [`${operations}.files.delete`]: (call) => {
      if (!files(call).some((file) => file['file_id'] === call.parameter('file_id'))) throw notFound('File')
      state.shelf('blueprint-files', call.owner).delete(call.parameter('file_id'))
      return null
    },
  }
}

/** Contents are reached by their presigned address only; an answer without a blueprint (204) stays one. */
function withoutContents(item: unknown): Item {
  const { contents: _contents, ...rest } = item as Item // handlers of the collection return objects
  return rest
}

function builds(state: State, presigned: Presign): Handlers {
  const shelf = (call: Call): Map<string, Item> => state.shelf('builds', call.owner)
  const find = (call: Call): Item => mustFind(shelf(call), call.parameter('build_id'), 'Build')
  const set = (call: Call, item: Item): Item => {
    shelf(call).set(String(item['build_id']), { ...item, updated_at: call.seconds })
    return buildNow(item, call.seconds)
  }
  const all = (call: Call): Item[] => [...shelf(call).values()].reverse().map((item) => buildNow(item, call.seconds))
  return {
    'beta.org.builds.list': (call) => {
      const wanted = all(call).filter((item) => passes(call, 'status', [text(item, 'status')]))
      const active = booleanOf(call, 'active') === true
      return page(call, active ? wanted.filter((item) => item['status'] === 'succeeded').slice(0, 1) : wanted)
    },
    'beta.org.builds.trigger': (call) =>
      set(call, {
        build_id: newId('build'),
        status: 'running',
        trigger: 'manual',
        pinned: false,
        triggered_by_user_id: null,
        created_at: call.seconds,
      }),
    'beta.org.builds.get': (call) => buildNow(find(call), call.seconds),
    'beta.org.builds.logs.get': (call) => presigned(call, `build ${String(find(call)['build_id'])}: done\n`),
    'beta.org.builds.cancel': (call) => {
      if (buildNow(find(call), call.seconds)['status'] !== 'running')
        throw new ApiError(409, 'The build is not running')
      return set(call, { ...find(call), status: 'cancelled' })
    },
    'beta.org.builds.pin': (call) => {
      const { status: now, created_at: born } = buildNow(find(call), call.seconds)
      if (now !== 'succeeded' || call.seconds - Number(born) > 7 * DAY)
        throw new ApiError(409, 'Only a succeeded build of the last 7 days can be pinned')
      return set(call, { ...find(call), pinned: true })
    },
    'beta.org.builds.unpin': (call) => set(call, { ...find(call), pinned: false }),
  }
}

/** A build runs for a minute. */
function buildNow(item: Item, now: number): Item {
  const born = Number(item['created_at'])
  const done = item['status'] === 'running' && now - born >= 60
  return {
    ...item,
    status: done ? 'succeeded' : item['status'],
    started_at: born,
    completed_at: done || item['status'] !== 'running' ? born + 60 : null,
  }
}
