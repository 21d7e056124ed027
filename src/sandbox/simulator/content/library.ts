// What an organization teaches its sessions: knowledge notes and folders, playbooks, secrets.
// What belongs to the enterprise shows in every organization and is changed only at enterprise scope.

import type { Call, Handlers } from '../state/call.ts'
import { ENTERPRISE, text, type Item } from '../state/item.ts'
import { collection } from '../state/collection.ts'
import { passes } from '../http/pages.ts'
import { mustFind, type State } from '../state/state.ts'

/** Handlers of notes, folders, playbooks (at both scopes) and secrets. */
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
