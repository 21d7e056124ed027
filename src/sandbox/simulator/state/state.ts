// Everything the simulator remembers, in memory: built from a world at start, changed by the handlers.

import type { World, WorldConsumption, WorldItem } from '../../world/types.ts'
import { notFound } from '../http/answers.ts'
import { ENTERPRISE, isoTime, type Item } from './item.ts'
import { idMembers, isoKinds, type Kind } from './kinds.ts'
import { createKeyring, type Keyring } from '../company/credentials.ts'
import { createDirectory, type Directory } from '../company/directory.ts'
import type { Session } from '../sessions/session-record.ts'

/** All that can change. */
export interface State {
  readonly directory: Directory
  readonly keyring: Keyring
  /** Organizations as the API shows them, by id. */
  readonly organizations: Map<string, Item>
  readonly sessions: Map<string, Session>
  /** Consumption of days before the start; what sessions consume since then is counted from the sessions. */
  readonly consumption: (Omit<WorldConsumption, 'daysAgo'> & { readonly day: number })[]
  /** Newest last. */
  readonly auditLogs: Item[]
  /** Objects of one kind that belong to an organization or to the enterprise, by id. */
  shelf(kind: Kind, owner: string): Map<string, Item>
  /** The same over all owners, for enterprise lists: each object with its owner. */
  everywhere(kind: Kind): { readonly owner: string; readonly item: Item }[]
  /** Settings that are one value per place (tags, limits), by a name of the family's own. */
  readonly settings: Map<string, Item>
}

/** Builds the state of a world as of an instant (milliseconds). */
export function createState(world: World, nowMs: number): State {
  const seconds = Math.floor(nowMs / 1000)
  const directory = createDirectory(world)
  const shelves = new Map<Kind, Map<string, Map<string, Item>>>()
  const shelf: State['shelf'] = (kind, owner) => {
    const owners = getOrAdd(shelves, kind, () => new Map<string, Map<string, Item>>())
    return getOrAdd(owners, owner, () => new Map<string, Item>())
  }
  for (const seed of world.items) shelf(seed.kind, seed.organization ?? ENTERPRISE).set(seed.id, itemOf(seed, nowMs))
  return {
    directory,
    keyring: createKeyring(world, directory, seconds),
    organizations: new Map(
      world.organizations.map(({ id, name }) => [id, organizationItem(id, name, seconds - 400 * DAY)]),
    ),
    sessions: new Map(),
    consumption: world.consumption.map(({ daysAgo, ...row }) => ({
      ...row,
      day: consumptionDay(seconds - daysAgo * DAY),
    })),
    auditLogs: world.auditLogs.map(({ daysAgo, ...entry }) => ({ ...entry, created_at: seconds - daysAgo * DAY })),
    shelf,
    everywhere: (kind) =>
      [...(shelves.get(kind) ?? [])].flatMap(([owner, items]) => [...items.values()].map((item) => ({ owner, item }))),
    settings: new Map(),
  }
}

/** Seconds of a day. */
export const DAY = 86_400

/** Start of the consumption day an instant (unix seconds) falls in: days begin at 08:00 UTC. */
export function consumptionDay(seconds: number): number {
  return Math.floor((seconds - 8 * 3600) / DAY) * DAY + 8 * 3600
}

/** A new organization without limits, as the API shows it. */
export function organizationItem(id: string, name: string, seconds: number): Item {
  const limits = { max_cycle_acu_limit: null, max_session_acu_limit: null }
  return { org_id: id, name, ...limits, created_at: seconds, updated_at: seconds }
}

/** An object of the world as it is kept. */
export function itemOf(seed: WorldItem, nowMs: number): Item {
  const bornMs = nowMs - seed.daysAgo * DAY * 1000
  const born = isoKinds.has(seed.kind) ? isoTime(bornMs) : Math.floor(bornMs / 1000)
  return { [idMembers[seed.kind]]: seed.id, ...seed.fields, created_at: born, updated_at: born }
}

/** A setting of one place: read with a default, written whole. */
export function setting(
  state: State,
  family: string,
  initial: Item,
): { read: (place: string) => Item; write: (place: string, value: Item) => Item } {
  return {
    read: (place) => state.settings.get(`${family} ${place}`) ?? initial,
    write(place, value) {
      state.settings.set(`${family} ${place}`, value)
      return value
    },
  }
}

/** The object of an id. Throws 404 with the name of what is missing. */
export function mustFind<T>(items: ReadonlyMap<string, T>, id: string, what: string): T {
  const found = items.get(id)
  if (found === undefined) throw notFound(what)
  return found
}

function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const found = map.get(key) ?? make()
  map.set(key, found)
  return found
}
