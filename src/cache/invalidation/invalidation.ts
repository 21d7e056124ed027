// What a write makes stale (RFC 9111 section 4.4): dropped here and at the peers, and not brought back by reads under way.

import type { ResponseHead } from '../response-stream.ts'
import { firstValue } from '../../http/field-list.ts'
import type { BarredFetch } from '../fetch-plan.ts'
import type { Drop, Peers, BroadcastResult } from './peers.ts'
import type { CacheRequest } from '../cache-request.ts'
import type { ResponseStore } from '../memory/response-store.ts'
import { pathTag } from './tags.ts'

export interface InvalidationOptions {
  readonly store: ResponseStore
  readonly peers: Peers | null
  readonly underWay: { items(): readonly BarredFetch[] }
  readonly monotonic: () => number
  /** Scheme, authority and path prefix of the upstream. */
  readonly upstreamBase: string
}

/** How long nothing is kept of what a write of unknown outcome touched. */
const unsettledMs = 30_000
/** Names of unclear writes that are remembered; beyond them nothing at all is kept for as long. */
const maxUnsettled = 10_000
const addressFields = ['location', 'content-location']

export function createInvalidation(options: InvalidationOptions) {
  const { store, peers, underWay, monotonic, upstreamBase } = options
  /** Until when nothing is kept under a name, in the order of these times. */
  const unsettledUntil = new Map<string, number>()
  let allUnsettledUntil = 0

  function drop({ names, unsettled }: Drop): number {
    let dropped = 0
    for (const name of names) dropped += store.drop(name)
    const barred = new Set(names)
    for (const fetch of underWay.items()) if (fetch.plan.names.some((name) => barred.has(name))) fetch.bar()
    if (unsettled) unsettle(names)
    return dropped
  }

  function unsettle(names: readonly string[]): void {
    const nowMs = monotonic()
    for (const name of names) {
      unsettledUntil.delete(name)
      unsettledUntil.set(name, nowMs + unsettledMs)
    }
    for (const [name, untilMs] of unsettledUntil) {
      const isOver = untilMs <= nowMs
      if (!isOver && unsettledUntil.size <= maxUnsettled) break
      unsettledUntil.delete(name)
      if (!isOver) allUnsettledUntil = untilMs
    }
  }

  function dropAll(): void {
    store.clear()
    for (const fetch of underWay.items()) fetch.bar()
  }

  /** Here at once; null when there are no peers to wait for. */
  function spread(names: readonly string[], unsettled: boolean): Promise<unknown> | null {
    drop({ names, unsettled })
    return peers === null ? null : peers.broadcast({ names, unsettled })
  }

  function unclear({ tags, target }: CacheRequest): Promise<unknown> | null {
    return spread([...tags, pathTag(target)], true)
  }

  return {
    /** Drops all entries with one of these names and bars the reads under way that have one. Returns the count of entries. */
    drop,
    dropAll,
    async dropEverywhere(what: Drop): Promise<BroadcastResult> {
      const dropped = drop(what)
      if (peers === null) return { dropped, instances: 1, silent: 0, reached: true }
      const result = await peers.broadcast(what)
      return { ...result, dropped: dropped + result.dropped }
    },
    /** A write has no answer, or an unclear one: it may still be running, so for some time nothing it touches is kept. */
    unclear,
    /** A write has an answer. A promise when its caller has to wait until the peers have dropped what it made stale. */
    answered(write: CacheRequest, head: ResponseHead): Promise<unknown> | null {
      if (isUnclear(write, head.status)) return unclear(write)
      if (head.status >= 400) return null
      return spread([...write.tags, pathTag(write.target), ...addresses(head, write.target, upstreamBase)], false)
    },
    allows({ barred, plan }: BarredFetch): boolean {
      if (barred) return false
      const nowMs = monotonic()
      return allUnsettledUntil <= nowMs && plan.names.every((name) => (unsettledUntil.get(name) ?? 0) <= nowMs)
    },
  }
}

/** After a 5xx it is unknown how far the upstream came. RFC 9111 invalidates only on success. */
function isUnclear({ rule }: CacheRequest, status: number): boolean {
  return rule.kind === 'rfc9111' ? status === 502 || status === 504 : status >= 500
}

/** Paths that Location and Content-Location of an answer name, where they are the upstream's own. */
function addresses({ fields }: ResponseHead, target: string, base: string): string[] {
  return addressFields.flatMap((name) => {
    const reference = firstValue(fields, name)
    const address = reference === null ? null : URL.parse(reference, base + target)
    if (address === null || !address.href.startsWith(`${base}/`)) return []
    return [pathTag(address.href.slice(base.length)).replace(/#.*$/, '')]
  })
}
