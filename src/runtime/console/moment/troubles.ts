// What is wrong, in sentences with their owner, since when, and what to do. Pure, but for what it remembers of the beginning of each.

import { isoTime } from '../../../admin/views.ts'
import type { TroubleOwner, TroubleSubject, TroubleView } from '../../../admin/console/now-view.ts'

/** A trouble as it is found. */
export interface FoundTrouble {
  readonly severity: TroubleView['severity']
  readonly what: string
  /** Null: since it was first found. */
  readonly sinceMs?: number | null
  readonly owner: TroubleOwner
  readonly contact?: string | null
  readonly do: string
  readonly kind: TroubleSubject
  readonly name?: string | null
  /** Tells it from others about the same subject. */
  readonly aspect: string
}

const gravity = ['outage', 'degraded', 'warning'] as const
/** More would be read by nobody. */
const mostShown = 100

export function createTroubleTracker(now: () => number) {
  let known = new Map<string, number>()
  return {
    /** The gravest first. `found`: all that is wrong now. */
    track(found: readonly FoundTrouble[]): readonly TroubleView[] {
      const nowMs = now()
      const begun = new Map<string, number>()
      const views = found.map((each): TroubleView => {
        const { kind, name = null, aspect, contact = null } = each
        const id = [kind, name, aspect].filter((part) => part !== null).join(':')
        const sinceMs = each.sinceMs ?? known.get(id) ?? nowMs
        begun.set(id, sinceMs)
        const { severity, what, owner, do: advice } = each
        return { id, severity, what, since: isoTime(sinceMs) ?? '', owner, contact, do: advice, about: { kind, name } }
      })
      known = begun
      const first = [...new Map(views.map((each) => [each.id, each])).values()]
      return first
        .sort(
          (a, b) =>
            gravity.indexOf(a.severity) - gravity.indexOf(b.severity) ||
            (a.since < b.since ? -1 : a.since > b.since ? 1 : 0),
        )
        .slice(0, mostShown)
    },
  }
}

/** What is wrong, as one sentence. */
export function summaryOf(troubles: readonly TroubleView[], isReady: boolean): string {
  const [gravest] = troubles
  if (gravest === undefined) return isReady ? 'All is well.' : 'The instance is not ready yet.'
  const others = troubles.length - 1
  const rest = others === 0 ? '' : ` There ${others === 1 ? 'is 1 more' : `are ${others} more`}.`
  return `${gravest.what}${rest}`
}
