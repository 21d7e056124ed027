// Stage: reserves what a create may cost before the upstream sees it. It is given back in two places, once:
// responses/reservation.ts, by the answer or when the caller leaves; and here, when the request ends without a call.

import type { CreateReservation } from '../../budgets/budgets.ts'
import type { Budgeting } from '../budgeting.ts'
import type { RequestContext } from '../context.ts'
import type { Stage } from './stage.ts'

export function createReserveBudget(budgeting: Budgeting): Stage {
  return {
    name: 'reserve-budget',
    run(context) {
      const reserving = budgeting.reserve(context, context.decided)
      if (reserving === null) return undefined
      return reserving.then((reservation) => {
        if (reservation !== null) hold(context, reservation)
        return undefined
      })
    },
  }
}

/** However the request ends, its reservation is settled once. */
function hold(context: RequestContext, reservation: CreateReservation): void {
  let isSettled = false
  const once = (settle: () => void): void => {
    if (isSettled) return
    isSettled = true
    settle()
  }
  const held: CreateReservation = {
    opened: (session) => once(() => reservation.opened(session)),
    unclear: () => once(() => reservation.unclear()),
    released: () => once(() => reservation.released()),
  }
  context.reservation = held
  // The answer of a call settles it before the request ends.
  context.whenEnded(() => held.released())
}
