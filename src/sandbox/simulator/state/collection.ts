// The common case of the API as one table-driven piece: objects on a shelf, listed in pages, created, read, replaced,
// changed and deleted. Families say what is special about theirs.

import { ApiError, notFound } from '../http/answers.ts'
import type { Call, Handler, Handlers } from './call.ts'
import { ENTERPRISE, isoTime, type Item, newId } from './item.ts'
import { page } from '../http/pages.ts'
import type { State } from './state.ts'
import { idMembers, isoKinds, type Kind } from './kinds.ts'

type Verb = 'list' | 'create' | 'get' | 'replace' | 'update' | 'delete'

/** What a family says about its objects. */
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
  readonly change?: (call: Call) => Item
  /** What an answer shows of an object; by default all of it. */
  readonly show?: (call: Call, item: Item) => Item
  /** What the query asks for. */
  readonly filter?: (call: Call, item: Item) => boolean
}

/** The handlers of a collection, one for each verb. */
export function collection(state: State, spec: Collection): Handlers {
  const { kind, make = given, change = given, filter = () => true, show = (_call, item) => item } = spec
  const store = (call: Call, owner: string, id: string, item: Item, createdAt: unknown): Item => {
    const whole = { [idMembers[kind]]: id, ...item, created_at: createdAt, updated_at: timeOf(kind, call) }
    state.shelf(kind, owner).set(id, whole)
    return whole
  }
  const rewrite = (call: Call, rewritten: (before: Item) => Item): Item => {
    const { owner, item } = changeable(findItem(state, spec, call), call)
    return store(call, owner, call.parameter(spec.parameter), rewritten(item), item['created_at'])
  }
  const single: Record<Exclude<Verb, 'list'>, (call: Call) => Item> = {
    create: (call) => store(call, call.owner, newId(singular(kind)), make(call), timeOf(kind, call)),
    get: (call) => findItem(state, spec, call).item,
    replace: (call) =>
      rewrite(call, ({ created_by: author }) => ({
        ...make(call),
        ...(author === undefined ? {} : { created_by: author }),
      })),
    update: (call) => rewrite(call, (before) => ({ ...before, ...change(call) })),
    delete: (call) => {
      const { owner, item } = changeable(findItem(state, spec, call), call)
      state.shelf(kind, owner).delete(call.parameter(spec.parameter))
      return item
    },
  }
  const list: Handler = (call) => {
    const wanted = seen(state, spec, call).filter(({ item }) => filter(call, item))
    return page(
      call,
      wanted.map(({ item }) => show(call, item)),
    )
  }
  const handlers = spec.verbs.map((verb): [string, Handler] => [
    `${spec.operations}.${verb}`,
    verb === 'list' ? list : (call) => show(call, single[verb](call)),
  ])
  return Object.fromEntries(handlers)
}

/** The documented members that the body holds; null and absent differ. */
export function given(call: Call): Item {
  const names = call.operation.body.map((member) => member.name).filter((name) => call.body[name] !== undefined)
  return Object.fromEntries(names.map((name) => [name, call.body[name]]))
}

/** The call's instant in the form that objects of this kind use. */
function timeOf(kind: Kind, call: Call): string | number {
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

function changeable(found: Owned, call: Call): Owned {
  if (call.owner !== ENTERPRISE && found.owner === ENTERPRISE) throw new ApiError(403, 'Belongs to the enterprise')
  return found
}

function singular(kind: Kind): string {
  return kind.replace(/s$/, '')
}
