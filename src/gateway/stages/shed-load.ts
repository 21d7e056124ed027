// Stage: refuses requests by the priority of their team while the event loop lags, before they hold any resources.

import type { Overload } from '../overload.ts'
import type { Stage } from './stage.ts'

export function createShedLoad(overload: Overload): Stage {
  return {
    name: 'shed-load',
    run: ({ decided }) => overload.refusal(decided.decision.team?.precedence.priority ?? 'normal') ?? undefined,
  }
}
