// Stage: while the event loop lags, requests are refused by the priority of their teams, before anything is held for them.

import type { Overload } from '../overload.ts'
import type { Stage } from './stage.ts'

export function createShedLoad(overload: Overload): Stage {
  return {
    name: 'shed-load',
    run: ({ decided }) => overload.refusal(decided.decision.team?.precedence.priority ?? 'normal') ?? undefined,
  }
}
