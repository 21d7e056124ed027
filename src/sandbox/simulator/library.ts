// What an organization teaches its sessions: knowledge notes and folders, playbooks, secrets, schedules and automations.
// What belongs to the enterprise shows in every organization and is changed only at enterprise scope.

import { randomBytes } from 'node:crypto'
import { ApiError, invalid } from './answers.ts'
import { ENTERPRISE, isItem, isoTime, objects, text, type Call, type Handler, type Handlers, type Item } from './call.ts'
import { collection, given, wrapAll } from './collection.ts'
import { integerOf, passes } from './pages.ts'
import { mayActAs } from './sessions.ts'
import { mustFind, type State } from './state.ts'

export function libraryHandlers(state: State): Handlers {
  const changing = ['create', 'get', 'replace', 'delete'] as const
  const note = {
    kind: 'notes',
    parameter: 'note_id',
    verbs: ['list', ...changing],
    make: (call: Call) => noteOf(state, call),
    filter: isWantedNote,
  } as const
  const playbook = {
    kind: 'playbooks',
    parameter: 'playbook_id',
    verbs: ['list', ...changing],
    make: playbookOf,
  } as const
  const folders = (call: Call): Item => folderTree(state, call.owner)
  return {
    ...collection(state, { ...note, operations: 'org.knowledge.notes', sees: 'enterprise' }),
    ...collection(state, { ...note, operations: 'ent.knowledge.notes', sees: 'everywhere' }),
    'org.knowledge.folders.get': folders,
    'ent.knowledge.folders.get': folders,
    ...collection(state, { ...playbook, operations: 'org.playbooks', sees: 'enterprise' }),
    ...collection(state, { ...playbook, operations: 'ent.playbooks' }),
    ...collection(state, {
      operations: 'org.secrets',
      kind: 'secrets',
      parameter: 'secret_id',
      verbs: ['list', 'create', 'delete'],
      make: secretOf,
    }),
    ...collection(state, {
      operations: 'org.schedules',
      kind: 'schedules',
      parameter: 'schedule_id',
      verbs: ['create', 'get', 'update', 'delete'],
      make: (call) => scheduleOf(state, call),
      change: (call) => scheduleChange(state, call),
    }),
    'org.schedules.list': (call) => schedulePage(state, call),
    ...wrapAll(
      withWebhook,
      collection(state, {
        operations: 'org.automations',
        kind: 'automations',
        parameter: 'automation_id',
        verbs: ['list', 'create', 'get', 'update', 'delete'],
        make: automationOf,
        change: (call) => (text(call.body, 'run_as') === null ? given(call) : automationOf(call)),
      }),
    ),
    'org.automations.schemas.get': () => ({
      sources: { webhook: ['incoming'], schedule: ['cron'] },
      update_semantics: 'replace_groups',
    }),
  }
}

function belonging(owner: string): Item {
  return owner === ENTERPRISE ? { org_id: null, access_type: 'enterprise' } : { org_id: owner, access_type: 'org' }
}

function noteOf(state: State, call: Call): Item {
  const folder = text(call.body, 'folder_id')
  const place = folder === null ? null : mustFind(state.shelf('folders', call.owner), folder, 'Folder')
  return {
    name: call.body['name'],
    body: call.body['body'],
    trigger: call.body['trigger'],
    macro: null,
    folder_id: folder,
    folder_path: place === null ? '' : place['path'],
    pinned_repo: text(call.body, 'pinned_repo'),
    is_enabled: call.body['is_enabled'] ?? true,
    ...belonging(call.owner),
  }
}

function isWantedNote(call: Call, item: Item): boolean {
  const search = call.query.get('search')?.toLowerCase()
  const named = (name: string): boolean => passes(call, name, [text(item, name)])
  const found = search === undefined || `${text(item, 'name')} ${text(item, 'body')}`.toLowerCase().includes(search)
  return found && named('access_type') && named('folder_path') && named('pinned_repo')
}

function folderTree(state: State, owner: string): Item {
  const notes = [...state.shelf('notes', owner).values()]
  const count = (folder: string | null): number => notes.filter((note) => text(note, 'folder_id') === folder).length
  const folders = [...state.shelf('folders', owner).values()]
  return {
    folders: folders.map(({ folder_id, name, path, parent_folder_id }) => ({
      folder_id,
      name,
      path,
      parent_folder_id,
      note_count: count(String(folder_id)),
    })),
    root_note_count: count(null),
  }
}

function playbookOf(call: Call): Item {
  return {
    title: call.body['title'],
    body: call.body['body'],
    macro: text(call.body, 'macro'),
    ...belonging(call.owner),
    structured_output_schema: call.body['structured_output_schema'] ?? null,
    created_by: call.caller.id,
    updated_by: call.caller.id,
  }
}

/** The value goes nowhere: not even the simulator keeps it. The request says `type`, the answer `secret_type`. */
function secretOf({ body, caller }: Call): Item {
  return {
    created_by: caller.id,
    key: body['key'],
    note: text(body, 'note'),
    secret_type: body['type'],
    is_sensitive: body['is_sensitive'] ?? true,
    access_type: 'org',
  }
}

function scheduleOf(state: State, call: Call): Item {
  const { body, owner, caller } = call
  if (text(body, 'schedule_type') === 'one_time' && text(body, 'scheduled_at') === null) {
    throw invalid([{ loc: ['body', 'scheduled_at'], msg: 'Field required', type: 'missing' }])
  }
  return {
    org_id: owner,
    enabled: true,
    agent: 'devin',
    schedule_type: 'recurring',
    frequency: null,
    scheduled_at: null,
    notify_on: 'failure',
    interval_count: 1,
    tags: [],
    playbook: null,
    consecutive_failures: 0,
    last_error_message: null,
    last_executed_at: null,
    last_error_at: null,
    created_by: caller.id,
    ...scheduleChange(state, call),
  }
}

/** Members as the answer names them: the playbook as an object, the user to run as in `created_by`. */
function scheduleChange(state: State, call: Call): Item {
  const {
    playbook_id: playbook,
    create_as_user_id: creator,
    run_as_user_id: runner,
    scheduled_at: at,
    ...rest
  } = given(call)
  const user = creator ?? runner
  if (typeof user === 'string') mayActAs(state, user, call.owner)
  const time = typeof at === 'string' ? Date.parse(at) : null
  if (Number.isNaN(time))
    throw invalid([
      { loc: ['body', 'scheduled_at'], msg: 'Input should be a valid datetime', type: 'datetime_parsing' },
    ])
  return {
    ...rest,
    last_edited_by: call.caller.id,
    ...(at === undefined ? {} : { scheduled_at: time === null ? null : isoTime(time) }),
    ...(playbook === undefined
      ? {}
      : { playbook: typeof playbook === 'string' ? playbookStub(state, call.owner, playbook) : null }),
    ...(typeof user === 'string' ? { created_by: user } : {}),
  }
}

function playbookStub(state: State, owner: string, id: string): Item {
  const shared = state.shelf('playbooks', ENTERPRISE).get(id)
  const { playbook_id, title } = shared ?? mustFind(state.shelf('playbooks', owner), id, 'Playbook')
  return { playbook_id, title }
}

/** The one list that pages by `limit` and `offset`, in the usual envelope. */
function schedulePage(state: State, call: Call): Item {
  const all = [...state.shelf('schedules', call.owner).values()]
  const offset = integerOf(call, 'offset', 0) ?? 0
  const items = all.slice(offset, offset + (integerOf(call, 'limit', 1, 200) ?? 100))
  return { items, end_cursor: null, has_next_page: offset + items.length < all.length, total: all.length }
}

/** A service user cannot run an automation as a person. */
function automationOf(call: Call): Item {
  const creator = text(call.body, 'run_as') === 'creator'
  if (creator) throw new ApiError(403, 'run_as=creator needs a person with UsePersonalAutomations')
  const initial = { enabled: true, limits: null, concurrency: null, notifications: null, metadata: null }
  return { org_id: call.owner, ...initial, ...given(call), created_by: call.caller.id }
}

/** An answer that brings in a webhook trigger carries its inbox address and a secret, this once. */
function withWebhook(handler: Handler): Handler {
  return (call) => {
    const answer = handler(call)
    const incoming = objects(call.body, 'triggers').some((trigger) => Object.values(trigger).includes('webhook:incoming'))
    if (!incoming || !isItem(answer)) return answer
    const url = `https://hooks.devin.ai/${randomBytes(8).toString('hex')}`
    return { ...answer, webhook: { url, secret: randomBytes(16).toString('hex') } }
  }
}
