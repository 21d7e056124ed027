// Stage: answers from the cache, or goes on with a lease to ask the upstream, or waits for another caller's call.

import { followAcquired } from '../../../cache/acquired.ts'
import { createWallTime } from '../../../cache/clocks.ts'
import type { ResponseCache } from '../../../cache/response-cache.ts'
import { lookAgain, type Blocks } from '../../blocking/refusals.ts'
import { cacheRequestOf } from '../../cache-request.ts'
import { sinksToClient, type SinkSettings } from '../../responses/sinks.ts'
import type { Forwarding } from './forward.ts'
import type { RequestContext } from '../../context.ts'
import { whenReady, type Stage } from '../stage.ts'

export interface AnswerFromCacheParts extends SinkSettings {
  readonly cache: ResponseCache
  readonly blocks: Blocks
}

/** `forwarding` fetches anew, in the background, what was answered from a stale entry. */
export function createAnswerFromCache(parts: AnswerFromCacheParts, forwarding: Forwarding): Stage {
  const { blocks, cache } = parts
  const wallTime = createWallTime(parts)
  // Monotonic, so that setting the clock forward closes no window early.
  const earliest = (): number => wallTime().earliestMs

  function answer(context: RequestContext): void {
    const { decided, memo, fields, policy, method } = context
    const request = cacheRequestOf(decided, memo, policy.catalogue, method ?? '', fields, earliest)
    const acquired = cache.acquire(request)
    if (acquired.kind === 'answer') followAcquired(acquired, sinksToClient(context, parts), forwarding.askFor(context))
    else context.acquired = acquired
  }

  return {
    name: 'answer-from-cache',
    run: (context) =>
      // The caller may have been blocked since its request began.
      whenReady(lookAgain(context, blocks), (refusal) => {
        if (refusal === undefined && context.isOpen) answer(context)
        return refusal
      }),
  }
}
