// The storage interface for entries: opaque bytes under opaque names, changed by compare-and-set. The memory of one
// instance is in memory-entries.ts, a store of several in shared-entries.ts.

/** A stored value. */
export interface Occupied {
  readonly value: Buffer
  /** How long ago the place was claimed, regardless of later changes. */
  readonly ageMs: number
}

/** Every call may reject when the store is away; nothing is known then about what it did. */
export interface EntryStore {
  /**
   * Puts a value of a team in a free place and returns null, or returns what is there. Of any number of callers, on all
   * instances, exactly one gets null. After `ttlMs` the place is free again, whatever `replace` put there meanwhile. Rejects
   * with `NoRoom` when the team has used its share. A claim that was rejected does not stand, also when the store gets to it
   * later.
   */
  claim(name: string, team: string, value: Buffer, ttlMs: number): Promise<Occupied | null>
  /** Puts `value` where `expected` is. False when something else or nothing is there, or there is no room. */
  replace(name: string, expected: Buffer, value: Buffer): Promise<boolean>
  /** Frees a place where `expected` is. */
  release(name: string, expected: Buffer): Promise<void>
  /** Resolves when a call that was rejected is worth repeating. */
  retryWait(): Promise<void>
  /** What the entries of this instance take in memory, or were given in the store. */
  readonly bytes: number
  /** Teams that have used their share: their creates with a new key are refused. */
  readonly fullTeams: readonly string[]
}

/** There is no room for another entry of this team. */
export class NoRoom extends Error {
  override readonly name = 'NoRoom'
}
