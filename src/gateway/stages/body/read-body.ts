// Stage: collects a small body that is not judged, so that it leaves in one write. A larger one streams.

import type { Bodies } from '../../bodies/collect.ts'
import { whenReady, type Stage } from '../stage.ts'

export function createReadBody(bodies: Bodies): Stage {
  return {
    name: 'read-body',
    run(context) {
      if (context.receivedBody !== null) return undefined
      return whenReady(bodies.small(context), (body) => {
        context.receivedBody = body
        return undefined
      })
    },
  }
}
