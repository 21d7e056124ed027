// Stage: collects a small body that is not judged, so that it leaves in one write. A larger one streams.

import type { Bodies } from '../../bodies/collect.ts'
import type { Stage } from '../stage.ts'

export function createReadBody(bodies: Bodies): Stage {
  return {
    name: 'read-body',
    run(context) {
      if (context.receivedBody !== null) return undefined
      const body = bodies.small(context)
      if (!(body instanceof Promise)) {
        context.receivedBody = body
        return undefined
      }
      return body.then((read) => {
        context.receivedBody = read
        return undefined
      })
    },
  }
}
