// Stage: answers from the cache, or goes on with a lease to ask the upstream, or waits for another caller's call.

import { followAcquired } from '../../../cache/acquired.ts'
import { createWallTime } from '../../../cache/clocks.ts'
import type { ResponseCache } from '../../../cache/response-cache.ts'
import { cacheRequestOf } from '../../cache-request.ts'
import { sinksToClient, type SinkSettings } from '../../responses/sinks.ts'
import type { Forwarding } from './forward.ts'
import type { Stage } from '../stage.ts'

export interface AnswerFromCacheParts extends SinkSettings {
  readonly cache: ResponseCache
}

/** `forwarding` fetches anew, in the background, what was answered from a stale entry. */
export function createAnswerFromCache(parts: AnswerFromCacheParts, forwarding: Forwarding): Stage {
  const { cache } = parts
  const wallTime = createWallTime(parts)
  // Monotonic, so that setting the clock forward closes no window early.
  const earliest = (): number => wallTime().earliestMs
  return {
    name: 'answer-from-cache',
    run(context) {
      const { decided, memo, fields, policy, method } = context
      const request = cacheRequestOf(decided, memo, policy.catalogue, method ?? '', fields, earliest)
      const acquired = cache.acquire(request)
      if (acquired.kind === 'answer')
        followAcquired(acquired, sinksToClient(context, parts), forwarding.askFor(context))
      else context.acquired = acquired
      return undefined
    },
  }
}
