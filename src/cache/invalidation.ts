// What a write makes stale (RFC 9111 section 4.4): dropping it, and keeping reads that were under way meanwhile from bringing
// it back.

import type { AnswerHead } from './answer.ts'
import { firstValue } from './field-list.ts'
import type { Flight } from './flight.ts'
import type { Question } from './question.ts'
import { pathOf } from './reading.ts'
import type { Store } from './store.ts'

export interface Invalidation {
  /** Drops all entries with one of these names and bars the reads under way that have one. Returns the count of entries. */
  drop(names: readonly string[]): number
  /** A write has an answer. */
  answered(write: Question, head: AnswerHead): void
  /** A write has none, or one that tells nothing: it may still be going on, so for some time nothing it touches is kept. */
  unclear(write: Question): void
  /** Whether what this flight brings may be kept. */
  allows(flight: Flight): boolean
}

export interface InvalidationOptions {
  readonly store: Store
  readonly underWay: ReadonlySet<Flight>
  /** Takes a flight out of reach for those who come after the write: they must see its effect. */
  readonly close: (flight: Flight) => void
  readonly now: () => number
  readonly unsettledMs: number
  /** Scheme, authority and path prefix of the upstream. */
  readonly upstreamBase: string
}

const maxUnsettled = 1_000
const addressFields = ['location', 'content-location']

export function createInvalidation(options: InvalidationOptions): Invalidation {
  const { store, underWay, close, now, unsettledMs, upstreamBase } = options
  let unsettled: { readonly names: ReadonlySet<string>; readonly untilMs: number }[] = []

  function drop(names: readonly string[]): number {
    let dropped = 0
    for (const name of names) dropped += store.drop(name)
    const barred = new Set(names)
    for (const flight of underWay) {
      if (!flight.plan.names.some((name) => barred.has(name))) continue
      flight.barred = true
      close(flight)
    }
    return dropped
  }

  function unclear({ tags, target }: Question): void {
    const names = [...tags, pathOf(target)]
    drop(names)
    const nowMs = now()
    unsettled = unsettled.filter(({ untilMs }) => untilMs > nowMs).slice(-maxUnsettled + 1)
    unsettled.push({ names: new Set(names), untilMs: nowMs + unsettledMs })
  }

  return {
    drop,
    unclear,
    answered(write, head) {
      if (isUnclear(write, head.status)) unclear(write)
      else if (head.status < 400)
        drop([...write.tags, pathOf(write.target), ...addresses(head, write.target, upstreamBase)])
    },
    allows({ barred, plan }) {
      if (barred) return false
      const nowMs = now()
      return !unsettled.some(({ names, untilMs }) => untilMs > nowMs && plan.names.some((name) => names.has(name)))
    },
  }
}

/** After a 5xx nobody knows how far the upstream came. By RFC 9111 alone an error changes nothing, but for one of a proxy's. */
function isUnclear({ rule }: Question, status: number): boolean {
  return rule.kind === 'rfc9111' ? status === 502 || status === 504 : status >= 500
}

/** Paths that Location and Content-Location of an answer name, where they are the upstream's own. */
function addresses({ fields }: AnswerHead, target: string, base: string): string[] {
  return addressFields.flatMap((name) => {
    const reference = firstValue(fields, name)
    const address = reference === null ? null : URL.parse(reference, base + target)
    if (address === null || !address.href.startsWith(`${base}/`)) return []
    return [pathOf(address.href.slice(base.length)).replace(/#.*$/, '')]
  })
}
