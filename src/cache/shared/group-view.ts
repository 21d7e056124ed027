// The cache's membership as operators see it: in the log, in `/readyz`, in `/api/status`, in metrics.

import type { MembershipState, MembershipStatus } from '../../store/membership/types.ts'

/** Broadcasts: all members answered, some were silent until their lease was over, or the store could not be reached. */
export interface BroadcastCounts {
  readonly answered: number
  readonly silent: number
  readonly unreached: number
}

export interface GroupView extends Omit<MembershipState, 'status'> {
  readonly standing: string
  readonly broadcasts: BroadcastCounts
}

interface Log {
  info(fields: object, text: string): void
  warn(fields: object, text: string): void
}

/** The names that operators know, and what they mean. */
const shown: Readonly<Record<MembershipStatus, { readonly standing: string; readonly text: string }>> = {
  joined: { standing: 'together', text: 'the cache hears of the writes of all instances' },
  degraded: {
    standing: 'cautious',
    text: 'instances went missing and may be cut off: the cache has dropped everything, and keeps answers 30 s at most until they are back or ten minutes have passed',
  },
  isolated: {
    standing: 'alone',
    text: 'the cache hears of no other instance: it has dropped everything, and keeps answers 30 s at most until it does again',
  },
}

export function groupView({ status, ...state }: MembershipState, broadcasts: BroadcastCounts): GroupView {
  return { ...state, standing: shown[status].standing, broadcasts: { ...broadcasts } }
}

export function reportMembership(log: Log, { status, members, missing, reason }: MembershipState): void {
  const { standing, text } = shown[status]
  const fields = { event: 'cache-standing', standing, members, missing, reason }
  if (status === 'joined') log.info(fields, text)
  else log.warn(fields, text)
}

/** What is not as it should be, as a sentence; null when all is well. */
export function groupNote({ status, reason }: MembershipState): string | null {
  if (status === 'joined') return null
  const { text } = shown[status]
  return reason === null ? text : `${text} (${reason})`
}
