// Stage: reserves what a create may cost before the upstream sees it. It is given back in two places, once:
// responses/reservation.ts, by the answer or when the caller leaves; and here, when the request ends without a call.

import type { Budgeting } from '../budgeting.ts'
import type { Stage } from './stage.ts'

export function createReserveBudget(budgeting: Budgeting): Stage {
  return {
    name: 'reserve-budget',
    run(context) {
      const reserving = budgeting.reserve(context, context.decided)
      if (reserving === null) return undefined
      return reserving.then((reservation) => {
        context.reservation = reservation
        // The answer of a call settles it before the request ends.
        context.whenEnded(() => context.takeReservation()?.released())
        return undefined
      })
    },
  }
}
