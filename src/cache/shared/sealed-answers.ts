// The second level: answers in the store, sealed. The store, and whoever reads or writes it, cannot read an answer, cannot make
// one up, cannot pass one off for another, and cannot bring one back that was dropped: an answer counts only for those who have
// seen every message of the group up to the one at which it was asked for. Made by runtime.ts.

import type { Sealing } from '../../store/sealing.ts'
import type { Store } from '../../store/store.ts'
import type { Entry } from '../entry.ts'
import type { Place, SecondLevel } from '../second-level.ts'
import { readEntry, writeEntry } from './entry-bytes.ts'
import type { Group } from './group.ts'

export interface SealedAnswersOptions {
  readonly store: Store
  readonly group: Pick<Group, 'head' | 'allows'>
  readonly sealing: Sealing
  readonly now: () => number
  /** Keeps answers of different upstreams apart. */
  readonly upstreamBase: string
}

/** What was found and what was written, since the start. */
export interface SealedAnswersCounts {
  /** `rejected`: it was not sealed by one of ours for this place. `outdated`: dropped, or asked for before this instance joined. */
  readonly hit: number
  readonly miss: number
  readonly outdated: number
  readonly rejected: number
  readonly failed: number
  readonly kept: number
  /** Not written, because too much was being written. */
  readonly spared: number
}

export interface SealedAnswers extends SecondLevel {
  readonly counts: SealedAnswersCounts
}

/** What is left of less than this is not worth a call. */
const leastMs = 1_000
const longestMs = 24 * 3_600_000
/** A longer body would hold up the other calls to the store. */
const maxBytes = 256 * 1024
/** Bytes of bodies that may be on their way to the store at a time. */
const maxWaitingBytes = 2 * 1024 * 1024

export function createSealedAnswers(options: SealedAnswersOptions): SealedAnswers {
  const { store, group, sealing, now, upstreamBase } = options
  const counts = { hit: 0, miss: 0, outdated: 0, rejected: 0, failed: 0, kept: 0, spared: 0 }
  let waitingBytes = 0

  function nameOf({ key }: Place): string {
    return sealing.name(upstreamBase, key)
  }

  function storeKey(name: string): string {
    return store.key('answer', name)
  }

  function count(what: keyof typeof counts): null {
    counts[what] += 1
    return null
  }

  function open(place: Place, name: string, sealed: Buffer): Entry | null {
    const bytes = sealing.open(sealed, contextOf(name, place))
    if (bytes === null) return count('rejected')
    const { entry, position } = readEntry(bytes)
    if (!group.allows(position, place.names)) return count('outdated')
    if (entry.freshUntilMs <= now()) return count('miss')
    counts.hit += 1
    return byThisClock(entry)
  }

  /** An answer that was received in the future is as old as one that was received now. */
  function byThisClock(entry: Entry): Entry {
    const aheadMs = entry.receivedAtMs - now()
    if (aheadMs <= 0) return entry
    return { ...entry, receivedAtMs: entry.receivedAtMs - aheadMs, freshUntilMs: entry.freshUntilMs - aheadMs }
  }

  return {
    counts,
    position: () => group.head,
    async find(place) {
      if (store.away || group.head === null) return null
      const name = nameOf(place)
      try {
        const sealed = await store.get(storeKey(name))
        return sealed === null ? count('miss') : open(place, name, sealed)
      } catch {
        return count('failed')
      }
    },
    keep(place, entry, position) {
      const leftMs = Math.min(entry.freshUntilMs - now(), longestMs)
      const size = entry.body.length
      if (leftMs < leastMs || size > maxBytes || store.away) return
      if (waitingBytes + size > maxWaitingBytes) {
        counts.spared += 1
        return
      }
      waitingBytes += size
      const name = nameOf(place)
      const sealed = sealing.seal(writeEntry({ entry, position }), contextOf(name, place))
      store
        .set(storeKey(name), sealed, leftMs)
        .then(
          () => counts.kept++,
          () => counts.failed++,
        )
        .finally(() => (waitingBytes -= size))
    },
  }
}

/** Names belong to the context: an answer must be dropped by the same ones wherever it is used. */
function contextOf(name: string, { names }: Place): string {
  return JSON.stringify(['answer', 1, name, ...names])
}
