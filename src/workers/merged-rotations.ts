// The rotations of keys as several workers show them: they share the journals, and one of them runs a rotation. Pure.

type Shown = Readonly<Record<string, unknown>>

/** One row a key: that of the worker that runs its rotation, else of whoever says it. Takes the answers of `GET /api/rotations`. */
export function mergeRotations(lists: readonly string[]): readonly Shown[] {
  const merged = new Map<unknown, Shown>()
  for (const text of lists) {
    const list: unknown = JSON.parse(text)
    // The listener of a worker made them.
    for (const rotation of Array.isArray(list) ? (list as Shown[]) : [])
      if (!merged.has(rotation['key']) || rotation['state'] === 'running') merged.set(rotation['key'], rotation)
  }
  return [...merged.values()]
}
