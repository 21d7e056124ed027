// Where entries are kept, as the rest of the part sees it: opaque bytes under opaque names, changed only by who knows what
// is there. The memory of one instance is in memory-entries.ts. Types only.

/** Every call may reject when the store is away; nothing is known then about what it did. */
export interface EntryStore {
  /**
   * Puts a value in a free place and returns null, or returns what is there. Of any number of callers, on all instances,
   * exactly one gets null. After `ttlMs` the place is free again, whatever `replace` put there meanwhile. Rejects with
   * `StoreFull` when there is no room. A claim that was rejected does not stand, also when the store gets to it later.
   */
  claim(name: string, value: Buffer, ttlMs: number): Promise<Buffer | null>
  /** Puts `value` where `expected` is. False when something else or nothing is there, or there is no room. */
  replace(name: string, expected: Buffer, value: Buffer): Promise<boolean>
  /** Frees a place where `expected` is. */
  release(name: string, expected: Buffer): Promise<void>
  /** Resolves when a call that was rejected is worth repeating. */
  retryWait(): Promise<void>
}

/** There is no room for another entry. */
export class StoreFull extends Error {
  override readonly name = 'StoreFull'
}
