// Classifies failures of a call for the callers who wait for its answer. Pure.

import type { ProblemKindName } from '../problem-kinds.ts'
import { Problem } from '../problems.ts'
import type { ResponseHead } from './response-stream.ts'
import { restMs } from '../http/retry-after.ts'

/** Without an answer for these reasons the gateway is disconnected (RFC 9111 section 4.2.4). A rejected key is not one. */
const silences: ReadonlySet<ProblemKindName> = new Set(['upstream-unreachable', 'upstream-timeout', 'overloaded'])
/** Refusals by the asking caller's own limits: they say nothing about other callers. */
const ofTheAsker: ReadonlySet<ProblemKindName> = new Set([
  'rate-limit-exceeded',
  'concurrency-exceeded',
  'budget-exceeded',
])

const unsent: ReadonlySet<ProblemKindName> = new Set([...ofTheAsker, 'overloaded', 'key-unavailable'])

/** Whether the upstream surely got nothing of the request. */
export function isUnsent({ kind }: Problem): boolean {
  return unsent.has(kind)
}

/** Whether there is no answer at all, so that a stored one may stand in; also while the upstream asks to back off. */
export function isSilence({ kind, reason }: Problem): boolean {
  return silences.has(kind) || reason === 'upstream-throttled'
}

/** Whether the failure is about the asking caller's limits, and not about the request. */
export function isOfTheAsker({ kind, reason }: Problem): boolean {
  return ofTheAsker.has(kind) && reason !== 'upstream-throttled'
}

/** Failures after which a retry could succeed. When a key was rejected, its secret has been read again. */
const passing: ReadonlySet<ProblemKindName> = new Set([
  ...ofTheAsker,
  'upstream-unreachable',
  'upstream-timeout',
  'upstream-credential-rejected',
])

/** Whether a retry could succeed. */
export function mayPass({ kind }: Problem): boolean {
  return passing.has(kind)
}

/** Whether an answer is not about what was asked for: an error of the upstream's, or that it has had too many requests. */
export function tellsNothing(status: number): boolean {
  return status >= 500 || status === 429
}

export function restProblem({ fields }: ResponseHead): Problem {
  const seconds = Math.max(1, Math.ceil(restMs(fields) / 1000))
  return new Problem(
    'rate-limit-exceeded',
    'The Devin API has answered the same request of another caller with 429, so this one was not sent. Try again after Retry-After.',
    { reason: 'upstream-throttled', fields: { 'retry-after': String(seconds) } },
  )
}
