// Stage: refuses requests while the event loop lags, by the load and the priority of their team, before they hold any resources.

import type { Overload } from '../load/overload.ts'
import { ofNoTeam } from '../../limits/precedence.ts'
import { Problem } from '../../problems.ts'
import type { Stage } from './stage.ts'

export function createShedLoad(overload: Overload): Stage {
  return {
    name: 'shed-load',
    run(context) {
      const owner = context.decided.decision.team?.precedence ?? ofNoTeam
      const admitted = overload.admit(owner, context.fields.bodyLength)
      if (admitted instanceof Problem) return admitted
      context.whenEnded(admitted)
      return undefined
    },
  }
}
