// Builds the upstream client, for callers and for the gateway's own reads, the memory for bodies on their way, and the turns of long
// answers.

import { createBodies } from '../gateway/bodies/collect.ts'
import { createBodyMemory } from '../gateway/bodies/memory.ts'
import { admittedRequests } from '../gateway/event-loop-batch.ts'
import { createUpstream } from '../gateway/upstream/upstream.ts'
import { betweenTurns, StreamTurns } from '../gateway/stream-turns.ts'
import { createOwnCalls } from '../gateway/own-calls/own-calls.ts'
import { parseHttpDate } from '../http/date.ts'
import type { Core } from './core.ts'

/** For all bodies together; and always for some that are as large as may be. */
const mostHeldBytes = 64 * 1024 * 1024
const mostHeldBodies = 4

/** Opens the pool; nothing is connected before the first request. */
export function openUpstream(core: Core) {
  const { config, guard, instruments, keyring, log, monotonic, now, policies, sinks } = core
  const { maxBytes, maxJudgedBytes } = config.bodies
  const { bodyMs } = config.listen.timeouts
  const bodyMemory = createBodyMemory(Math.max(mostHeldBytes, mostHeldBodies * maxJudgedBytes))
  const isReadLater = core.shadow !== null
  const bodies = createBodies({ memory: bodyMemory, maxJudgedBytes, bodyMs, monotonic, isReadLater })
  const turns = new StreamTurns(betweenTurns(admittedRequests, monotonic))
  const upstream = createUpstream({
    // A caller waits for the queue no longer than for the head of an answer.
    settings: { ...config.upstream, maxWaitMs: config.upstream.timeouts.headersMs },
    maxBodyBytes: maxBytes,
    bodyMemory,
    bodyMs,
    guard,
    turns,
    events: {
      now: monotonic,
      accepted: (keyVersion) => keyring.accepted(keyVersion),
      rejected: (keyVersion, isCheck) => keyring.rejected(keyVersion, isCheck),
      throttled(keyVersion, waitMs) {
        instruments.upstreamThrottled(keyVersion.handle.id)
        log.warn(
          { event: 'upstream-throttled', key: keyVersion.handle.id, wait_ms: waitMs },
          'the upstream has had too many requests with this key and asked to wait',
        )
      },
      leaked(context) {
        instruments.leakMasked()
        log.error(
          { event: 'key-in-answer', decision_id: context.decisionId, operation: context.operation?.id },
          "the upstream's answer held one of the gateway's keys; it was masked",
        )
      },
      trouble: (context, error) =>
        log.warn({ event: 'upstream', decision_id: context.decisionId, error }, 'the upstream failed'),
      held: instruments.held,
      shareReached: instruments.shareReached,
      breaker(key, event) {
        instruments.breaker(key, event)
        if (event === 'opened')
          log.warn({ event: 'upstream-breaker', key, state: event }, 'the upstream does not answer and is left alone')
        if (event === 'closed') log.info({ event: 'upstream-breaker', key, state: event }, 'the upstream answers again')
      },
      dated(date) {
        const dateMs = parseHttpDate(date, now())
        // A date is cut off to whole seconds: half of one is what is missing on average.
        if (dateMs !== null) instruments.clockSkew('upstream', dateMs + 500 - now())
      },
      defect: (error) => log.error({ event: 'defect', error }, 'an answer of the upstream was not handled'),
    },
  })
  const ownCalls = createOwnCalls({
    policy: () => policies.current,
    keyring,
    upstream,
    now,
    monotonic,
    record: (entry) => sinks.access(entry),
    onTrouble: (operation, error) =>
      log.warn({ event: 'own-call', operation, error }, "a read of the gateway's own failed"),
  })
  return { upstream, ownCalls, bodies, turns }
}
