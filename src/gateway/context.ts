// What is known about one request so far, and where it is on its way. Each field is written once, by the stage that learns
// it, and read by later stages and by recording. None holds a key value, and nothing here is written down as a whole.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { CreateReservation } from '../budgets/budgets.ts'
import type { CacheWait, FetchLease } from '../cache/acquired.ts'
import type { CacheOutcome } from '../cache/cache-request.ts'
import type { Operation } from '../catalogue/operation.ts'
import type { Target } from '../catalogue/target.ts'
import type { Claim } from '../idempotency/idempotency-service.ts'
import type { Principal } from '../identity/principal.ts'
import type { KeyVersion } from '../keys/keyring.ts'
import type { LimitStatus } from '../limits/limiter.ts'
import type { Evaluation } from '../policy/decision/evaluate.ts'
import type { PolicySet } from '../policy/model/policy-set.ts'
import { asProblem, type Problem } from '../problems.ts'
import type { RequestTrace } from '../telemetry/trace.ts'
import type { DevinUser } from '../policy/guardrails/attributes.ts'
import type { DecisionMemo } from './evaluation-memo.ts'
import type { ConnectionHistory } from './load/connection-history.ts'
import type { CallerFields } from './fields.ts'
import type { StageName } from './stages/names.ts'

/**
 * The life cycle of an exchange; it only moves forward. `deciding`: stages run. `answering`: the head of the answer
 * is written. `answered`: all of it is handed over, and leaves at the end of the event-loop batch at the latest.
 * `closed`: the caller has it, or has left. `ended`: no call to the upstream is left either.
 */
const phases = { deciding: 0, answering: 1, answered: 2, closed: 3, ended: 4 } as const

export interface ContextEvents {
  /** A refusal or failure is about to be answered, or has cut the answer off. */
  failed(context: RequestContext, problem: Problem): void
  /** The answer to a write that was sent upstream is about to leave: the whole of it, or a beginning. */
  leaving(context: RequestContext, isWhole: boolean): void
  /** Called exactly once, when nothing is left to do. */
  ended(context: RequestContext): void
}

export class RequestContext {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly decisionId: string
  /** By the monotonic clock, as are the other times of an exchange. */
  readonly startedAtMs: number
  /** Null for what could not be parsed. */
  readonly method: string | null
  /** The request target as it was received. Never recorded: a query can hold anything. */
  readonly rawTarget: string
  readonly policy: PolicySet
  history: ConnectionHistory | null = null
  /** Where it is, or where it has ended. */
  stage: StageName = 'open'

  /** The caller's own request id where it is short and plain, else the decision id. */
  requestId: string
  traceId: string | null = null
  /** Null without telemetry. */
  trace: RequestTrace | null = null
  /** Raw path for requests that match no operation. */
  path: string | null = null
  principal: Principal | null = null
  operation: Operation | null = null
  evaluation: Evaluation | null = null
  /** The caller's user at Devin, where a guardrail asked for it. */
  devinUser: DevinUser | undefined = undefined
  /** The body as it was received; null while it was not collected. */
  receivedBody: Buffer | null = null
  /** The Idempotency-Key that this request has claimed. */
  claim: Claim | null = null
  reservation: CreateReservation | null = null
  /** What the cache gave in place of an answer: a lease or a place behind another caller. */
  acquired: CacheWait | FetchLease | null = null
  keyVersion: KeyVersion | null = null
  /** How the cache came to the answer, and its Cache-Status; null when it was not asked. */
  cache: CacheOutcome['result'] | null = null
  cacheStatus: string | null = null
  /** RateLimit fields of the answer, name and value alternating; empty before the limits were judged and without limits. */
  limitFields: readonly string[] = []
  /** What those fields say, one for each limit. */
  limitStatuses: readonly LimitStatus[] = []
  /** The limit that refused the request, or in shadow mode would have. */
  limitExceeded: string | null = null
  /** Answered with the kept answer of an earlier request with the same Idempotency-Key. */
  replayed = false
  /** Answered by the gateway itself: a page under `/gateway/`. */
  ownPage: string | null = null
  problem: Problem | null = null
  upstreamStatus: number | null = null
  upstreamRequestId: string | null = null
  /** How long it waited in the queue before the upstream; null when it did not have to. */
  waitedMs: number | null = null
  upstreamStartedAtMs: number | null = null
  upstreamEndedAtMs: number | null = null
  /** Status of the answer; null when the caller left before there was one. */
  status: number | null = null
  /** The caller left before it had the whole answer. */
  aborted = false
  /** The gateway has cut it off when it was too late for a problem document: its answer had begun, or the process ends. */
  brokenOff = false
  bytesIn = 0
  bytesOut = 0
  /** Which records are written. */
  isDecisionRecorded = false
  isAccessRecorded = false
  /** What its decision record says, as JSON; empty until it was made. */
  decisionText = ''

  #memo: DecisionMemo | null = null
  #fields: CallerFields | null = null
  #target: Target | null = null
  #phase: number = phases.deciding
  #complete = false
  #calls = 0
  readonly #events: ContextEvents
  /** What it holds until its caller has the answer, and until no call is left; null once it was released. */
  #ofCaller: (() => void)[] | null = []
  #ofCall: (() => void)[] | null = []

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    opening: {
      readonly decisionId: string
      readonly method: string | null
      readonly rawTarget: string
      readonly policy: PolicySet
      readonly nowMs: number
    },
    events: ContextEvents,
  ) {
    this.request = request
    this.response = response
    this.decisionId = this.requestId = opening.decisionId
    this.method = opening.method
    this.rawTarget = opening.rawTarget
    this.policy = opening.policy
    this.startedAtMs = opening.nowMs
    this.#events = events
  }

  /** An answer can still be begun: stages go on. */
  get isOpen(): boolean {
    return this.#phase === phases.deciding
  }

  /** The answer is complete or the caller has left: nothing more can be written. */
  get isAnswered(): boolean {
    return this.#phase >= phases.answered
  }

  get isComplete(): boolean {
    return this.#complete
  }

  /** The caller has the answer, or has left. */
  get isClosed(): boolean {
    return this.#phase >= phases.closed
  }

  get isEnded(): boolean {
    return this.#phase === phases.ended
  }

  get isRead(): boolean {
    return this.method === 'GET' || this.method === 'HEAD'
  }

  /** What the caller's header fields say, from the stage `read-request` on. */
  get fields(): CallerFields {
    return this.#fields ?? tooEarly('fields')
  }

  /** The request target as it was received; a guardrail may have it sent otherwise. From `read-request` on. */
  get target(): Target {
    return this.#target ?? tooEarly('target')
  }

  wasRead(fields: CallerFields, target: Target): void {
    this.#fields = fields
    this.#target = target
  }

  /** The evaluation of the policy, from the stage `authorize` on. */
  get decided(): Evaluation {
    return this.evaluation ?? tooEarly('decided')
  }

  /** Values derived from the evaluation; shared with other requests that have the same one. */
  get memo(): DecisionMemo {
    return this.#memo ?? tooEarly('memo')
  }

  wasEvaluated(evaluation: Evaluation, memo: DecisionMemo): void {
    this.evaluation = evaluation
    this.#memo = memo
  }

  /** From here on the answer's head cannot be taken back. */
  beginAnswer(status: number): void {
    this.status = status
    this.#advance(phases.answering)
  }

  /** The answer leaves in parts. */
  partLeaves(): void {
    if (this.#isSentWrite) this.#events.leaving(this, false)
  }

  /** Nothing more comes for this answer; `bytesOut` is counted. It leaves with the event-loop batch. */
  completeAnswer(): void {
    this.#complete = true
    this.#advance(phases.answered)
    if (this.#isSentWrite) this.#events.leaving(this, true)
  }

  /** The caller has the answer (`aborted`: or has left before). */
  close(aborted: boolean): void {
    if (this.isClosed) return
    this.aborted = aborted
    this.#advance(phases.closed)
    const held = this.#ofCaller
    this.#ofCaller = null
    this.#release(held)
    this.#endWhenDone()
  }

  /** The reservation, to be settled by who takes it: there is none any more after that. */
  takeReservation(): CreateReservation | null {
    const { reservation } = this
    this.reservation = null
    return reservation
  }

  /** A failure was answered, or has cut the answer off. */
  fail(problem: Problem): void {
    this.problem ??= problem
    this.#events.failed(this, problem)
  }

  /** A call to the upstream is under way, until the function is called that this returns. There may be several. */
  beginCall(): () => void {
    this.#calls += 1
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      this.#calls -= 1
      this.#endWhenDone()
    }
  }

  /** Released when the caller has its answer or has left. */
  whenClosed(release: () => void): void {
    if (this.#ofCaller === null) release()
    else this.#ofCaller.push(release)
  }

  /** Released when the exchange is over and so is every call to the upstream that was made for it. */
  whenEnded(release: () => void): void {
    if (this.#ofCall === null) release()
    else this.#ofCall.push(release)
  }

  /** Nothing is waited for any more, also not what is under way at the upstream. */
  end(): void {
    if (this.isEnded) return
    this.#phase = phases.ended
    const held = this.#ofCall
    this.#ofCall = null
    this.#release(held)
    this.#events.ended(this)
  }

  get #isSentWrite(): boolean {
    return !this.isRead && this.upstreamStartedAtMs !== null
  }

  #endWhenDone(): void {
    if (this.#phase === phases.closed && this.#calls === 0) this.end()
  }

  /** In reverse order, also after a failure: no caller is left on the stack to catch an error. */
  #release(held: (() => void)[] | null): void {
    for (let release = held?.pop(); release !== undefined; release = held?.pop())
      try {
        release()
      } catch (error) {
        this.#events.failed(this, asProblem(error))
      }
  }

  #advance(phase: number): void {
    if (phase > this.#phase) this.#phase = phase
  }
}

function tooEarly(field: string): never {
  throw new Error(`a stage reads "${field}" before it is known: the order of the stages is wrong`)
}
