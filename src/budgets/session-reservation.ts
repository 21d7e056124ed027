// One session, or one that may come to be, and what it takes from each account. Pure: states and what they cost.

import type { AccountChange, BudgetAccount, BudgetChange, SessionReservation } from './budget-store.ts'
import type { Measure } from './budget.ts'

/** What a reservation takes from an account of a measure. */
export function costOf(reservation: SessionReservation | null, measure: Measure): Omit<BudgetAccount, 'endMs'> {
  if (reservation === null) return { reserved: 0, spent: 0 }
  const { state } = reservation
  const unknown = state === 'pending' || state === 'unclear'
  if (measure === 'sessions') return unknown ? { reserved: 1, spent: 0 } : { reserved: 0, spent: 1 }
  if (measure === 'open_sessions') return { reserved: unknown || state === 'open' ? 1 : 0, spent: 0 }
  const bound = reservation.bound ?? 0
  // Settlement may have matched the wrong session: its figures must not cost more than was reserved.
  const spent =
    reservation.guessed && reservation.bound !== null ? Math.min(reservation.consumed, bound) : reservation.consumed
  if (unknown) return { reserved: bound, spent: 0 }
  return { reserved: state === 'open' ? Math.max(0, bound - spent) : 0, spent }
}

/** The first change of a reservation: everything it may cost is taken, where all of its accounts have room. */
export function reserve(reservation: SessionReservation): BudgetChange {
  return { id: reservation.id, version: 0, after: reservation, steps: stepsOf(null, reservation, true) }
}

/** The same for a session that exists already: it is counted whether there is room or not. */
export function recordSession(reservation: SessionReservation): BudgetChange {
  return { id: reservation.id, version: 0, after: reservation, steps: stepsOf(null, reservation, false) }
}

/** A reservation as it turns out to be. `bounded`: only where its accounts have room for what it takes in addition. */
export function transition(
  before: SessionReservation,
  news: Partial<Pick<SessionReservation, 'state' | 'session' | 'guessed' | 'consumed'>>,
  nowMs: number,
  bounded = false,
): BudgetChange {
  const sinceMs = news.state === undefined || news.state === before.state ? before.sinceMs : nowMs
  const after = { ...before, ...news, sinceMs, version: before.version + 1 }
  return { id: before.id, version: before.version, after, steps: stepsOf(before, after, bounded) }
}

/** A message is sent to an open session: a state that was read before the message must not mark it asleep. */
export function touch(before: SessionReservation, nowMs: number): BudgetChange {
  const after = { ...before, sinceMs: nowMs, version: before.version + 1 }
  return { id: before.id, version: before.version, after, steps: [] }
}

/** The create came to nothing: all that was taken is given back. */
export function release(before: SessionReservation): BudgetChange {
  return { id: before.id, version: before.version, after: null, steps: stepsOf(before, null, false) }
}

/** The outcome is final: the reservation is removed, and its accounts keep what it cost. */
export function removeReservation(before: SessionReservation): BudgetChange {
  return { id: before.id, version: before.version, after: null, steps: [] }
}

function stepsOf(
  before: SessionReservation | null,
  after: SessionReservation | null,
  bounded: boolean,
): AccountChange[] {
  const charges = after?.charges ?? before?.charges ?? []
  return charges.flatMap(({ account, measure, endMs, most }) => {
    const [was, is] = [costOf(before, measure), costOf(after, measure)]
    const step = { account, endMs, reserved: is.reserved - was.reserved, spent: is.spent - was.spent }
    if (step.reserved === 0 && step.spent === 0 && !bounded) return []
    return [{ ...step, most: bounded ? most : null }]
  })
}
