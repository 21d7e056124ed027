// The inventories of keys of several workers as one: each worker counts what it uses itself.

type Key = Readonly<Record<string, unknown>>

/** From good to bad; a key is as bad as its worst worker says. */
const states = ['ready', 'rejected', 'set-aside', 'unresolved', 'expired', 'quarantined', 'blocked']

/**
 * One row a key, in the order of the first inventory: the row of the worker that says the worst state, with the permissions that no worker
 * has used and the last use of all of them. Takes the answers of `GET /api/keys` as they came.
 */
export function mergeKeys(inventories: readonly string[]): readonly Key[] {
  const merged = new Map<unknown, Key>()
  for (const text of inventories) {
    const list: unknown = JSON.parse(text)
    // The listener of a worker made them.
    for (const key of Array.isArray(list) ? (list as Key[]) : []) {
      const known = merged.get(key['id'])
      merged.set(key['id'], known === undefined ? key : mergeTwo(known, key))
    }
  }
  return [...merged.values()]
}

function mergeTwo(known: Key, key: Key): Key {
  const unused = new Set(textsOf(key['unused_permissions']))
  return {
    ...(rankOf(key) > rankOf(known) ? key : known),
    unused_permissions: textsOf(known['unused_permissions']).filter((permission) => unused.has(permission)),
    // Instants of one format: the later one sorts behind the earlier one.
    last_used_at: textsOf([known['last_used_at'], key['last_used_at']]).toSorted().at(-1) ?? null,
  }
}

function rankOf(key: Key): number {
  return states.indexOf(String(key['state']))
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : []
}
