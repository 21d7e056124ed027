// Where entries are kept: two LRU lists on lru-cache, the only file that knows it. New keys enter the first list and move to
// the second when they have served a hit, so a scan of many keys pushes out only what was never asked for twice.
// Bounded by bytes with keys, fields and the index counted. Names (tags and paths) lead to the keys to drop.

import { LRUCache } from 'lru-cache'
import { entryBytes, type StoredResponse } from '../rfc9111/stored-response.ts'

export interface Slot {
  readonly key: string
  readonly names: readonly string[]
  entry: StoredResponse
  bytes: number
  proven: boolean
}

const provenShare = 0.8
/** Slot, list and index, as measured on Node 24; a name in the index takes its characters twice at worst. */
const slotOverheadBytes = 480
const nameOverheadBytes = 160
/** No slot is smaller, so the entry cap follows from the bytes. */
const leastSlotBytes = 1_024

/** `onEvict` is called for each evicted entry. */
export function createResponseStore(maxBytes: number, onEvict: (entry: StoredResponse) => void) {
  const maxSlots = Math.max(1, Math.ceil(maxBytes / leastSlotBytes))
  // Bounded by size and not by `max`: for `max` a list reserves all its room at once.
  const bound = { maxSize: maxSlots + 1, sizeCalculation: () => 1 }
  const probation = new LRUCache<string, Slot>(bound)
  const proven = new LRUCache<string, Slot>(bound)
  const index = new Map<string, Slot | Set<Slot>>()
  const bytesOf = new Map<string, number>()
  let bytes = 0
  let provenBytes = 0

  function find(key: string): Slot | undefined {
    return proven.get(key) ?? probation.get(key)
  }

  function prove(slot: Slot): void {
    if (slot.proven || !probation.delete(slot.key)) return
    slot.proven = true
    proven.set(slot.key, slot)
    provenBytes += slot.bytes
    relegate()
  }

  function relegate(): void {
    while (provenBytes > maxBytes * provenShare) {
      const slot = proven.pop()
      if (slot === undefined) return
      slot.proven = false
      provenBytes -= slot.bytes
      probation.set(slot.key, slot)
    }
  }

  function put(key: string, names: readonly string[], entry: StoredResponse): boolean {
    const known = find(key)
    if (known === undefined) open(key, names, entry)
    else {
      if (known.entry.sequence > entry.sequence) return false
      replace(known, entry)
    }
    makeRoom()
    return true
  }

  function open(key: string, names: readonly string[], entry: StoredResponse): void {
    const slot: Slot = { key, names, entry, bytes: 0, proven: false }
    slot.bytes = slotBytes(slot)
    account(slot, slot.bytes)
    probation.set(key, slot)
    for (const name of names) enlist(name, slot)
  }

  function replace(slot: Slot, entry: StoredResponse): void {
    const before = slot.bytes
    slot.entry = entry
    slot.bytes = slotBytes(slot)
    account(slot, slot.bytes - before)
    if (slot.proven) relegate()
  }

  function makeRoom(): void {
    let excess = isFull()
    while (excess) {
      const slot = probation.pop() ?? proven.pop()
      if (slot === undefined) return
      onEvict(slot.entry)
      forget(slot)
      excess = isFull()
    }
  }

  function isFull(): boolean {
    return bytes > maxBytes || probation.size + proven.size > maxSlots
  }

  function remove(key: string, entry: StoredResponse): void {
    const slot = find(key)
    if (slot?.entry === entry) close(slot)
  }

  function drop(name: string): number {
    const found = index.get(name)
    if (found === undefined) return 0
    const slots = found instanceof Set ? [...found] : [found]
    for (const slot of slots) close(slot)
    return slots.length
  }

  function close(slot: Slot): void {
    if (!probation.delete(slot.key)) proven.delete(slot.key)
    forget(slot)
  }

  /** Takes a slot that is in neither list any more out of counts and index. */
  function forget(slot: Slot): void {
    account(slot, -slot.bytes)
    for (const name of slot.names) strike(name, slot)
  }

  function account(slot: Slot, added: number): void {
    const { operation } = slot.entry
    bytesOf.set(operation, (bytesOf.get(operation) ?? 0) + added)
    bytes += added
    if (slot.proven) provenBytes += added
  }

  function enlist(name: string, slot: Slot): void {
    const found = index.get(name)
    if (found === undefined) index.set(name, slot)
    else if (found instanceof Set) found.add(slot)
    else index.set(name, new Set([found, slot]))
  }

  function strike(name: string, slot: Slot): void {
    const found = index.get(name)
    if (found instanceof Set) {
      found.delete(slot)
      if (found.size === 0) index.delete(name)
    } else if (found === slot) index.delete(name)
  }

  function clear(): void {
    probation.clear()
    proven.clear()
    index.clear()
    bytesOf.clear()
    bytes = provenBytes = 0
  }

  return {
    /** The slot of a key, if any; asking counts as use. */
    find,
    /** It has served a hit. */
    prove,
    /** Keeps an entry, in place of an older one. False when a newer one is there. */
    put,
    remove,
    /** Drops everything that has the name. Returns how many entries there were. */
    drop,
    clear,
    /** The same by operation. */
    bytesOf,
    get bytes(): number {
      return bytes
    },
    get entries(): number {
      return probation.size + proven.size
    },
  }
}

export type ResponseStore = ReturnType<typeof createResponseStore>

function slotBytes({ key, names, entry }: Slot): number {
  let bytes = slotOverheadBytes + key.length + entryBytes(entry)
  for (const name of names) bytes += name.length * 2 + nameOverheadBytes
  return bytes
}
