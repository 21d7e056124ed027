// Decides requests under the shadow set, after their exchanges have ended: from what is known of them, a few at a time between
// other work. What waits is bounded; what finds no room is dropped and counted.

import {
  disagreementsOf,
  isComplete,
  type Disagreement,
  type JudgedRequest,
} from '../../policy/comparison/disagreements.ts'
import type { ShadowCounts } from '../../policy/comparison/shadow-counts.ts'
import type { CheckedBody } from '../../policy/decision/checked-body.ts'
import { evaluate, type Evaluation } from '../../policy/decision/evaluate.ts'
import { withoutTeams } from '../../policy/model/blocked-teams.ts'
import type { PolicySet } from '../../policy/model/policy-set.ts'
import { Problem } from '../../problems.ts'
import { smallBodyBytes } from '../bodies/collect.ts'
import { judgeBody } from '../bodies/judge.ts'
import type { RequestContext } from '../context.ts'
import { DisagreementReport } from './disagreement-report.ts'

export interface ShadowMeter {
  shadowDecision(result: 'same' | 'different' | 'undecided' | 'dropped'): void
  shadowDisagreement(team: string | null, operation: string, change: string): void
}

export interface ShadowDecisionsOptions {
  /** The shadow set as it is now; null while there is none. */
  readonly shadow: () => PolicySet | null
  readonly inForce: () => PolicySet
  readonly meter: ShadowMeter
  /** Milliseconds since the epoch. */
  readonly now: () => number
  readonly monotonic: () => number
  /** Largest body that a set may have to read. */
  readonly maxJudgedBytes: number
  readonly onDefect: (error: unknown) => void
}

/** What is kept of an exchange until it is decided. */
type Waiting = Pick<
  RequestContext,
  'decisionId' | 'method' | 'target' | 'fields' | 'receivedBody' | 'devinUser' | 'startedAtMs' | 'policy'
> & { readonly evaluation: Evaluation; readonly problem: string | null }

/** Why nothing can be said. */
type Doubt = 'body' | 'devin-user' | 'unfinished' | 'changed' | 'failed'
type Result = readonly Disagreement[] | Doubt

const mostWaiting = 1000
const mostWaitingBytes = 4 * 1024 * 1024
/** How long it works before other work gets its turn. */
const turnMs = 0.5

export function createShadowDecisions(options: ShadowDecisionsOptions) {
  const { shadow, inForce, meter, now, monotonic, maxJudgedBytes, onDefect } = options
  let waiting: Waiting[] = []
  let waitingBytes = 0
  let isClosed = false
  let turn: NodeJS.Immediate | null = null
  const report = new DisagreementReport()
  /** Results under one snapshot of evaluations that several requests share. They have no body. */
  let known = { policy: shadow(), results: new WeakMap<Evaluation, Result>() }
  let pair = ['', '']
  let sinceMs = now()
  let counts = noCounts()

  function decideWaiting(): void {
    turn = null
    const untilMs = monotonic() + turnMs
    const batch = waiting
    let next = 0
    do {
      const request = batch[next]
      if (request === undefined) break
      next += 1
      waitingBytes -= request.receivedBody?.length ?? 0
      decide(request)
    } while (monotonic() < untilMs)
    waiting = batch.slice(next)
    if (waiting.length > 0) turn = setImmediate(decideWaiting)
  }

  function decide(request: Waiting): void {
    const policy = shadow()
    if (policy === null) return
    beginAnew(policy)
    let result: Result
    try {
      result = resultOf(request, policy)
    } catch (error) {
      onDefect(error)
      result = 'failed'
    }
    count(request, result)
  }

  /** What was counted of other sets says nothing of these. */
  function beginAnew({ revision }: PolicySet): void {
    const present = inForce().revision
    if (pair[0] === present && pair[1] === revision) return
    pair = [present, revision]
    sinceMs = now()
    counts = noCounts()
    report.clear()
  }

  function resultOf(request: Waiting, policy: PolicySet): Result {
    const { evaluation, receivedBody, devinUser } = request
    const nowMs = now()
    const beganAtMs = nowMs - (monotonic() - request.startedAtMs)
    const endedMeanwhile = policy.ends.some((endMs) => endMs > beganAtMs && endMs <= nowMs)
    if (request.policy.revision !== inForce().revision || endedMeanwhile) return 'changed'
    const isShared = receivedBody === null && devinUser === undefined && request.problem === null
    if (!isShared) return compare(request, policy, maxJudgedBytes)
    if (known.policy !== policy) known = { policy, results: new WeakMap() }
    const found = known.results.get(evaluation) ?? compare(request, policy, maxJudgedBytes)
    known.results.set(evaluation, found)
    return found
  }

  function count(request: Waiting, result: Result): void {
    if (typeof result === 'string') {
      counts.undecided[result] += 1
      meter.shadowDecision('undecided')
      return
    }
    const isSame = result.length === 0
    counts[isSame ? 'same' : 'different'] += 1
    meter.shadowDecision(isSame ? 'same' : 'different')
    if (isSame) return
    const { principal, operation, organization } = request.evaluation.facts
    const about = {
      atMs: now(),
      decisionId: request.decisionId,
      method: request.method ?? '',
      path: request.target.path,
      operation: operation.id,
      organization,
      subject: principal.subject,
      app: principal.app,
    }
    for (const disagreement of result) {
      meter.shadowDisagreement(disagreement.team, operation.id, disagreement.change)
      report.add(disagreement, about)
    }
  }

  return {
    /** Keeps what is known of an exchange that has ended. Requests that no policy decided are of no interest. */
    note(context: RequestContext): void {
      const { evaluation, receivedBody, problem } = context
      const shadowed = shadow()
      if (evaluation === null || isClosed || shadowed === null) return
      beginAnew(shadowed)
      const bytes = receivedBody?.length ?? 0
      if (waiting.length >= mostWaiting || waitingBytes + bytes > mostWaitingBytes) {
        counts.dropped += 1
        meter.shadowDecision('dropped')
        return
      }
      waitingBytes += bytes
      const { decisionId, method, target, fields, devinUser, startedAtMs, policy } = context
      waiting.push({
        decisionId,
        method,
        target,
        fields,
        receivedBody,
        devinUser,
        startedAtMs,
        policy,
        evaluation,
        problem: problem?.kind ?? null,
      })
      turn ??= setImmediate(decideWaiting)
    },
    get counts(): ShadowCounts {
      const policy = shadow()
      if (policy !== null) beginAnew(policy)
      const { same, different, undecided, dropped } = counts
      return {
        since: new Date(sinceMs).toISOString(),
        revision: policy?.revision ?? null,
        in_force: inForce().revision,
        decided: same + different,
        same,
        different,
        undecided: { ...undecided },
        dropped,
        disagreements: report.view(),
        not_shown: report.notShown,
      }
    },
    /** Drops what waits. */
    close(): void {
      isClosed = true
      waiting = []
      waitingBytes = 0
      if (turn !== null) clearImmediate(turn)
    },
  }
}

export type ShadowDecisions = ReturnType<typeof createShadowDecisions>

function noCounts() {
  const undecided: Record<Doubt, number> = { body: 0, 'devin-user': 0, unfinished: 0, changed: 0, failed: 0 }
  return { same: 0, different: 0, dropped: 0, undecided }
}

function compare(request: Waiting, policy: PolicySet, maxJudgedBytes: number): Result {
  const { evaluation, problem } = request
  // A body that the policies in force have to read and cannot. Another set may not need it.
  const isUnread = evaluation.needsBody && problem === 'body-unreadable'
  const before: JudgedRequest = { evaluation, refusal: isUnread ? problem : null }
  if (!isComplete(before) || problem === 'body-too-large') return 'unfinished'
  // Operators block a team under any set.
  const { blocked } = request.policy
  const after = judgedUnder(request, blocked.size === 0 ? policy : withoutTeams(policy, blocked), maxJudgedBytes)
  const found = disagreementsOf(before, after)
  if (found !== null) return found
  return after.evaluation.needsBody ? 'body' : 'devin-user'
}

/** The request under another set, as far as what is known of it reaches. */
function judgedUnder(request: Waiting, policy: PolicySet, maxJudgedBytes: number): JudgedRequest {
  const { evaluation, target, fields, devinUser } = request
  const { principal, operation } = evaluation.facts
  const first = evaluate(policy, principal, operation, target, undefined, devinUser)
  if (!first.needsBody) return { evaluation: withoutTrials(first), refusal: null }
  if ((fields.bodyLength ?? 0) > maxJudgedBytes) return { evaluation: first, refusal: 'body-too-large' }
  const body = bodyFor(request, policy)
  if (body === undefined) return { evaluation: first, refusal: null }
  if (body instanceof Problem) return { evaluation: first, refusal: body.kind }
  return { evaluation: withoutTrials(evaluate(policy, principal, operation, target, body, devinUser)), refusal: null }

  /** Guardrails that are only tried may want to know the caller's user: nobody is asked. */
  function withoutTrials(found: Evaluation): Evaluation {
    if (found.needsDevinUser !== 'shadow') return found
    return evaluate(policy, principal, operation, target, found.body, { unknown: 'nobody was asked' })
  }
}

/** The body as it was received; undefined when it was not kept, and the refusal of one that cannot be read. */
function bodyFor(
  { evaluation, policy: inForce, receivedBody, fields }: Waiting,
  policy: PolicySet,
): CheckedBody | null | undefined | Problem {
  const { operation } = evaluation.facts
  if (fields.bodyLength === 0) return null
  if (receivedBody === null) return undefined
  const wasJudgedAsStrictly = inForce.guardrails.boundsBody(operation) || !policy.guardrails.boundsBody(operation)
  const asReceived = evaluation.body?.bytes === receivedBody
  if (asReceived && wasJudgedAsStrictly) return evaluation.body
  // A large one takes too long to be read once more.
  if (receivedBody.length > smallBodyBytes) return undefined
  try {
    return judgeBody(receivedBody, fields, policy.guardrails.boundsBody(operation))
  } catch (error) {
    if (error instanceof Problem) return error
    throw error
  }
}
