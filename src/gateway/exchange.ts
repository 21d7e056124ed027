// What is known about one request so far. Each field is written once, by the stage that learns it, and read by later
// stages and by recording. Never a token, a key value or a body.

import type { CacheOutcome } from '../cache/question.ts'
import type { Operation } from '../catalogue/operation.ts'
import type { Principal } from '../identity/principal.ts'
import type { KeyVersion } from '../keys/keyring.ts'
import type { Evaluation } from '../policy/evaluate.ts'
import type { Problem } from '../problems.ts'
import type { PolicySet } from '../policy/policy-set.ts'

export interface Exchange {
  /** The caller's own request id where it is short and plain, else the decision id. */
  requestId: string
  readonly decisionId: string
  /** By the monotonic clock, as are the other times of an exchange. */
  readonly startedAtMs: number
  readonly method: string | null
  /** The request target as it was received. Never recorded: a query can hold anything. */
  readonly target: string
  /** The snapshot that the whole request sees. */
  readonly policy: PolicySet
  /** Raw path for requests that match no operation. */
  path: string | null
  traceId: string | null
  principal: Principal | null
  operation: Operation | null
  evaluation: Evaluation | null
  keyVersion: KeyVersion | null
  /** How the cache came to the answer, and its Cache-Status; null when it was not asked. */
  cache: CacheOutcome['result'] | null
  cacheStatus: string | null
  /** RateLimit fields of the answer, name and value alternating; empty before the limits were judged and without limits. */
  limitFields: readonly string[]
  /** The limit that refused the request, or in shadow mode would have. */
  limitExceeded: string | null
  /** The answer is complete or the caller has left: nothing may be begun for it any more. */
  over: boolean
  /** The answer is complete, and leaves at the end of the turn at the latest: nothing may be put in its place any more. */
  answered: boolean
  /** Answered with the kept answer of an earlier request with the same Idempotency-Key. */
  replayed: boolean
  /** What is left to do when the exchange is over, in this order. One listener for all: each of its own costs a microsecond. */
  readonly endings: (() => void)[]
  /** Answered by the gateway itself: a page under `/gateway/`. */
  ownPage: string | null
  problem: Problem | null
  upstreamStatus: number | null
  upstreamRequestId: string | null
  /** How long it waited in line before the upstream; null when it did not have to. */
  waitedMs: number | null
  upstreamStartedAtMs: number | null
  upstreamEndedAtMs: number | null
  /** Status of the answer; null when the caller left before there was one. */
  status: number | null
  /** The answer was cut off after its head was sent: too late for a problem document. */
  brokenOff: boolean
  bytesIn: number
  bytesOut: number
}

export function openExchange(
  decisionId: string,
  method: string | null,
  target: string,
  policy: PolicySet,
  nowMs: number,
): Exchange {
  return {
    requestId: decisionId,
    decisionId,
    startedAtMs: nowMs,
    method,
    target,
    policy,
    path: null,
    traceId: null,
    principal: null,
    operation: null,
    evaluation: null,
    keyVersion: null,
    cache: null,
    cacheStatus: null,
    limitFields: [],
    limitExceeded: null,
    over: false,
    answered: false,
    replayed: false,
    endings: [],
    ownPage: null,
    problem: null,
    upstreamStatus: null,
    upstreamRequestId: null,
    waitedMs: null,
    upstreamStartedAtMs: null,
    upstreamEndedAtMs: null,
    status: null,
    brokenOff: false,
    bytesIn: 0,
    bytesOut: 0,
  }
}
