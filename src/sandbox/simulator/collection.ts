// The common case of the API as one table-driven piece: objects on a shelf, listed in pages, created, read, replaced,
// changed and deleted. Families say what is special about theirs.

import { ApiError, notFound } from './answers.ts'
import { ENTERPRISE, isoTime, type Call, type Handler, type Handlers, type Item } from './call.ts'
import { page } from './pages.ts'
import { idMembers, isoKinds, newId, type Kind, type State } from './state.ts'

type Verb = 'list' | 'create' | 'get' | 'replace' | 'update' | 'delete'

export interface Collection {
  /** First part of the operation ids: `org.playbooks` for `org.playbooks.list` and so on. */
  readonly operations: string
  readonly kind: Kind
  /** Path parameter that holds the id. */
  readonly parameter: string
  readonly verbs: readonly Verb[]
  /** Where else a call sees objects besides its own shelf; objects of the enterprise can only be changed there. */
  readonly sees?: 'enterprise' | 'everywhere'
  /** Members of a created or replaced object, without id and times. By default those of the body. */
  readonly make?: (call: Call) => Item
  /** Members that an update changes. By default those of the body. */
  readonly change?: (call: Call, before: Item) => Item
  /** What the query asks for. */
  readonly filter?: (call: Call, item: Item) => boolean
}

/** The handlers of a collection, one for each verb. */
export function collection(state: State, spec: Collection): Handlers {
  const { kind, make = given, change = given, filter = () => true } = spec
  const store = (call: Call, id: string, item: Item, createdAt: unknown = timeOf(kind, call)): Item => {
    const whole = { [idMembers[kind]]: id, ...item, created_at: createdAt, updated_at: timeOf(kind, call) }
    const before = seen(state, spec, call).find(({ item: other }) => other[idMembers[kind]] === id)
    state.shelf(kind, before?.owner ?? call.owner).set(id, whole)
    return whole
  }
  const all: Record<Verb, (call: Call) => unknown> = {
    list: (call) =>
      page(
        call,
        seen(state, spec, call)
          .map(({ item }) => item)
          .filter((item) => filter(call, item)),
      ),
    create: (call) => store(call, newId(singular(kind)), make(call)),
    get: (call) => findItem(state, spec, call).item,
    replace: (call) => {
      const before = changeable(findItem(state, spec, call), call)
      const author = 'created_by' in before ? { created_by: before['created_by'] } : {}
      return store(call, call.parameter(spec.parameter), { ...make(call), ...author }, before['created_at'])
    },
    update: (call) => {
      const before = changeable(findItem(state, spec, call), call)
      return store(call, call.parameter(spec.parameter), { ...before, ...change(call, before) }, before['created_at'])
    },
    delete: (call) => {
      const { owner, item } = findItem(state, spec, call)
      changeable({ owner, item }, call)
      state.shelf(kind, owner).delete(call.parameter(spec.parameter))
      return item
    },
  }
  return Object.fromEntries(spec.verbs.map((verb) => [`${spec.operations}.${verb}`, all[verb]]))
}

/** The same handlers, each within another: for families whose answers differ from what they keep. */
export function wrapAll(wrap: (handler: Handler) => Handler, handlers: Handlers): Handlers {
  return Object.fromEntries(Object.entries(handlers).map(([id, handler]) => [id, wrap(handler)]))
}

/** The documented members that the body holds; null and absent differ. */
export function given(call: Call): Item {
  const names = call.operation.body.map((member) => member.name).filter((name) => call.body[name] !== undefined)
  return Object.fromEntries(names.map((name) => [name, call.body[name]]))
}

/** The call's instant in the form that objects of this kind use. */
export function timeOf(kind: Kind, call: Call): string | number {
  return isoKinds.has(kind) ? isoTime(call.nowMs) : call.seconds
}

interface Owned {
  readonly owner: string
  readonly item: Item
}

function seen(state: State, spec: Collection, call: Call): Owned[] {
  const all = state.everywhere(spec.kind)
  if (spec.sees === 'everywhere') return all
  return all.filter(({ owner }) => owner === call.owner || (spec.sees === 'enterprise' && owner === ENTERPRISE))
}

function findItem(state: State, spec: Collection, call: Call): Owned {
  const id = call.parameter(spec.parameter)
  const found = seen(state, spec, call).find(({ item }) => item[idMembers[spec.kind]] === id)
  if (found === undefined) throw notFound(singular(spec.kind))
  return found
}

function changeable({ owner, item }: Owned, call: Call): Item {
  if (call.owner !== ENTERPRISE && owner === ENTERPRISE) throw new ApiError(403, 'Belongs to the enterprise')
  return item
}

function singular(kind: Kind): string {
  return kind.replace(/s$/, '')
}
