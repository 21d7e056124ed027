// Blueprints and builds: what the machines of sessions are made from. Contents and logs lie behind presigned addresses.

import { ApiError, missing, notFound } from '../http/answers.ts'
import type { Call, Handlers } from '../state/call.ts'
import { ENTERPRISE, text, type Item, newId } from '../state/item.ts'
import { collection } from '../state/collection.ts'
import { readFilePart } from '../http/multipart.ts'
import type { ObjectStore } from '../state/objects.ts'
import { booleanOf, page, passes } from '../http/pages.ts'
import { DAY, mustFind, type State } from '../state/state.ts'

const PRESIGNED_MS = 600_000

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
  const shelf = (call: Call): Map<string, Item> => state.shelf('blueprints', call.owner)
  const make = (call: Call): Item => {
    const repo = text(call.body, 'repo_name')
    const type = call.owner === ENTERPRISE ? 'enterprise' : repo === null ? 'org' : 'repo'
    const existing = [...shelf(call).values()].some((item) => item['repo_name'] === repo && item['type'] === type)
    if (existing) throw new ApiError(409, 'The blueprint already exists')
    return { type, repo_name: repo, contents: text(call.body, 'contents') }
  }
  const verbs = ['create', 'get', 'update', 'delete'] as const
  const spec = {
    operations,
    kind: 'blueprints',
    parameter: 'blueprint_id',
    verbs,
    make,
    show: withoutContents,
  } as const
  return {
    ...collection(state, spec),
    [`${operations}.list`]: (call) => ({ data: [...shelf(call).values()].map((item) => withoutContents(call, item)) }),
    [`${operations}.contents.get`]: (call) => {
      const { contents } = mustFind(shelf(call), call.parameter('blueprint_id'), 'Blueprint')
      return presigned(call, typeof contents === 'string' ? contents : '')
    },
    ...blueprintFiles(state, `${operations}.files`, objects),
  }
}

/** Contents are reached by their presigned address only. */
function withoutContents(_call: Call, { contents: _contents, ...rest }: Item): Item {
  return rest
}

function blueprintFiles(state: State, operations: string, objects: ObjectStore): Handlers {
  const shelf = (call: Call): Map<string, Item> => state.shelf('blueprint-files', call.owner)
  const files = (call: Call): Item[] => {
    const id = call.parameter('blueprint_id')
    mustFind(state.shelf('blueprints', call.owner), id, 'Blueprint')
    return [...shelf(call).values()].filter((file) => file['blueprint_id'] === id)
  }
  return {
    [`${operations}.list`]: (call) => ({ data: files(call) }),
    [`${operations}.upload`]: async (call) => {
      const name = call.query.get('name')
      if (name === null) throw missing('query', 'name')
      const taken = files(call).some((file) => file['name'] === name)
      if (taken) throw new ApiError(409, 'A file of this name already exists')
      const part = await readFilePart(call.request, call.request.headers['content-type'])
      const { bytes } = await objects.put(part.chunks, part.contentType)
      const item = {
        file_id: newId('file'),
        blueprint_id: call.parameter('blueprint_id'),
        name,
        env_var_name: `FILE_${name.toUpperCase().replaceAll(/\W/g, '_')}`,
        size_bytes: bytes,
        created_at: call.seconds,
        updated_at: call.seconds,
      }
      shelf(call).set(item.file_id, item)
      return item
    },
    [`${operations}.delete`]: (call) => {
      const known = files(call).some((file) => file['file_id'] === call.parameter('file_id'))
      if (!known || !shelf(call).delete(call.parameter('file_id'))) throw notFound('File')
      return null
    },
  }
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
      if (buildNow(find(call), call.seconds)['status'] !== 'running') {
        throw new ApiError(409, 'The build is not running')
      }
      return set(call, { ...find(call), status: 'cancelled' })
    },
    'beta.org.builds.pin': (call) => {
      const { status: now, created_at: born } = buildNow(find(call), call.seconds)
      if (now !== 'succeeded' || call.seconds - Number(born) > 7 * DAY) {
        throw new ApiError(409, 'Only a succeeded build of the last 7 days can be pinned')
      }
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
