// Refusals of requests with an Idempotency-Key.

import { Problem } from '../problems.ts'

/** The key stands for another request. */
export function keyReused(): Problem {
  const detail =
    'This Idempotency-Key was used for another request: path, query and body have to be the same byte for byte. Send each create under a key of its own.'
  return new Problem('idempotency-key-reused', detail, { fields: { 'x-should-retry': 'false' } })
}

/** The first request is under way. */
export function inProgress(): Problem {
  const detail =
    'The first request under this Idempotency-Key is still under way. Repeat it after Retry-After; you get its answer then.'
  return new Problem('idempotency-in-progress', detail, { fields: { 'retry-after': '1' } })
}

/** The outcome of the first request is unknown; `status` of its answer, where there was one. */
export function outcomeUnclear(status: number | null): Problem {
  const found =
    status === null
      ? 'The first request under this Idempotency-Key got no answer, so nobody knows whether it was done'
      : status >= 500
        ? `The first request under this Idempotency-Key was answered with ${status}, so nobody knows whether it was done`
        : `The first request under this Idempotency-Key was done (status ${status}), and its answer could not be kept`
  const next =
    status === null || status >= 500
      ? 'Look whether it is there; if it is not, send it under a new key'
      : 'Look it up; do not send it again'
  const reason = status === null || status >= 500 ? 'idempotency-unclear' : 'answer-not-kept'
  return new Problem('idempotency-unclear', `${found}. ${next}.`, { reason, fields: { 'x-should-retry': 'false' } })
}

/** Whether the key is free cannot be found out: the team has used its share of the memory, or the store does not answer. */
export function keysUnavailable(isFull: boolean, cause: unknown): Problem {
  const why = isFull
    ? 'your team has used its share of the memory for keys, which are kept for 24 hours'
    : 'the store of the keys cannot be reached'
  const detail = `Nothing was sent: ${why}, so a repetition could not be told from a second create. Try again with the same key after Retry-After.`
  const reason = isFull ? 'idempotency-full' : 'idempotency-unavailable'
  const wait = isFull ? '60' : '5'
  return new Problem('idempotency-unavailable', detail, { reason, fields: { 'retry-after': wait }, cause })
}
