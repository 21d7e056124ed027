// The request's way from its first line to the upstream, as one straight function. Everything that can refuse a request
// does so here, in this order; sending.ts opens the key, after everything else has said yes.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { addressOf, readTarget, type Target } from '../catalogue/target.ts'
import type { Principal } from '../identity/principal.ts'
import { authorizationField } from '../identity/token-form.ts'
import type { TokenVerifier } from '../identity/token-verifier.ts'
import type { Verification } from '../identity/verified-tokens.ts'
import type { Keyring } from '../keys/keyring.ts'
import { budgetView } from '../budgets/standing.ts'
import type { ResponseCache } from '../cache/response-cache.ts'
import { idempotencyKeyIn } from '../idempotency/key-field.ts'
import type { Claim, SafeCreates } from '../idempotency/safe-creates.ts'
import type { Limiter } from '../limits/limiter.ts'
import { evaluate, evaluateBody, findOperation, type Evaluation } from '../policy/evaluate.ts'
import type { JudgedBody } from '../policy/judged-body.ts'
import { Problem } from '../problems.ts'
import type { Budgeting } from './budgeting.ts'
import { collectBody, judgeBody, smallBodyBytes, tooLarge } from './body.ts'
import { Caller, type OnFail } from './caller.ts'
import type { DevinUsers } from './devin-users.ts'
import type { Exchange } from './exchange.ts'
import { declareJson, readCallerFields } from './fields.ts'
import type { Upstream } from './upstream/upstream.ts'
import { keyMissing } from './key-opening.ts'
import { applyLimits, countsUpstreamOnly, type Judgement } from './limiting.ts'
import type { Overload } from './overload.ts'
import { answerOwnPage, answerPublicPage, isOwn } from './own-pages.ts'
import { bodyOfRead, checkVersion, holdsToken, refusalOf, tokenInQuery } from './refusals.ts'
import { answerAgain, callerOf } from './safe-create.ts'
import { createSending, noExtras, type Extras } from './sending.ts'
import type { Visit } from './visit.ts'

export interface AdmissionParts {
  readonly tokens: TokenVerifier
  readonly keyring: Keyring
  readonly devinUsers: DevinUsers
  readonly overload: Overload
  readonly limiter: Limiter
  readonly budgeting: Budgeting
  readonly cache: ResponseCache
  readonly safeCreates: SafeCreates
  /** How long the upstream may take for a create with an Idempotency-Key, with or without its caller. */
  readonly safeCreateMs: number
  readonly upstream: Upstream
  readonly maxBodyBytes: number
  readonly maxJudgedBytes: number
  readonly now: () => number
  /** The clock that nobody sets. */
  readonly monotonic: () => number
  /** How long a caller may leave an answer unread. */
  readonly callerIdleMs: number
  /** Also after the request was sent. */
  readonly onFail: OnFail
}

export interface Admission {
  /** Takes a request to its answer. Throws or rejects with a Problem; a promise only where something must be waited for. */
  admit(exchange: Exchange, request: IncomingMessage, response: ServerResponse): Promise<void> | undefined
}

export function createAdmission(parts: AdmissionParts): Admission {
  const { tokens, devinUsers, limiter, budgeting, safeCreates, maxBodyBytes, maxJudgedBytes, now } = parts
  const send = createSending(parts)

  function admit(exchange: Exchange, request: IncomingMessage, response: ServerResponse): Promise<void> | undefined {
    checkVersion(request)
    const fields = readCallerFields(request)
    if (fields.requestId !== null) exchange.requestId = fields.requestId
    exchange.traceId = fields.traceId
    const target = readTarget(exchange.target, fields.host)
    exchange.path = target.path
    if (fields.bodyLength !== 0 && (request.method === 'GET' || request.method === 'HEAD')) throw bodyOfRead()
    if (isOwn(target) && answerPublicPage(exchange, response, target)) return undefined

    const credentials = authorizationField(request.rawHeaders)
    if (holdsToken(target.query, credentials)) throw tokenInQuery()
    const visit: Visit = { exchange, request, response, fields, target }
    const verified = tokens.verify(credentials)
    return verified instanceof Promise
      ? verified.then((settled) => decideFor(visit, settled))
      : decideFor(visit, verified)
  }

  function decideFor(visit: Visit, principal: Verification): Promise<void> | undefined {
    const { exchange, target, fields } = visit
    if (principal instanceof Problem) return refuse(visit, principal)
    exchange.principal = principal
    // The token may have taken a while to verify.
    if (exchange.over) return undefined
    if (isOwn(target))
      return answerOwnPage(
        exchange,
        visit.response,
        target,
        principal,
        (limits) => limiter.peek(limits),
        devinUsers,
        async (budgets) => (await budgeting.standings(budgets))?.map((standing) => budgetView(standing, now())) ?? null,
      )
    const evaluation = evaluateFirst(exchange, principal, target)
    const { operation } = evaluation.facts
    exchange.evaluation = evaluation
    const refusal = refusalOf(evaluation)
    if (refusal !== null) return refuse(visit, refusal)
    const busy = parts.overload.refusal(evaluation.decision.team?.precedence.priority ?? 'normal')
    if (busy !== null) return refuse(visit, busy)
    if (fields.bodyLength !== null && fields.bodyLength > maxBodyBytes) throw tooLarge(maxBodyBytes)
    const key = operation.idempotent ? idempotencyKeyIn(fields.forward) : null
    if (evaluation.needsBody || evaluation.needsDevinUser !== null) return judge(visit, evaluation, key)
    if (key !== null) return createOnce(visit, evaluation, key, null)
    if (countsUpstreamOnly(evaluation, exchange)) return send(visit, evaluation, noBody, lateLimits(visit, evaluation))
    const judged = limit(visit, evaluation)
    return judged instanceof Promise
      ? judged.then((problem) => proceed(visit, evaluation, problem))
      : proceed(visit, evaluation, judged)
  }

  /** As far as it goes without the body. Made once for a request that its caller repeats: a tenth of an answer from the cache. */
  function evaluateFirst(exchange: Exchange, principal: Principal, target: Target): Evaluation {
    const { policy } = exchange
    const method = exchange.method ?? ''
    const known = policy.repeated.find(principal, method, exchange.target)
    exchange.operation = known === null ? findOperation(policy, method, target) : known.facts.operation
    if (known !== null) return known
    const evaluation = evaluate(policy, principal, exchange.operation, target)
    policy.repeated.note(principal, method, exchange.target, evaluation)
    return evaluation
  }

  /** Handed on, not thrown: a refusal is an everyday answer, and throwing it took a tenth of its time. */
  function refuse({ exchange, response }: Visit, problem: Problem): undefined {
    parts.onFail(exchange, response, problem)
  }

  /** Nobody judges the body: a small one is collected, so that it leaves in one write; others are streamed. */
  function proceed(visit: Visit, evaluation: Evaluation, problem: Problem | null): Promise<void> | undefined {
    const { fields, exchange } = visit
    if (problem !== null) return refuse(visit, problem)
    // The limits may have taken a while to judge.
    if (exchange.over) return undefined
    if (fields.bodyLength === 0) return send(visit, evaluation, noBody)
    if (fields.bodyLength !== null && fields.bodyLength <= smallBodyBytes) {
      const body = collect(visit, smallBodyBytes)
      return body instanceof Promise
        ? body.then((read) => send(visit, evaluation, read))
        : send(visit, evaluation, body)
    }
    return send(visit, evaluation, null)
  }

  /**
   * The policy has to look into the body, or to know the caller's user at Devin: the body is read once, and what was
   * judged is what is sent. `evaluation.body` holds it for everything that follows.
   */
  async function judge(visit: Visit, first: Evaluation, key: string | null): Promise<void> {
    const { exchange, fields, target } = visit
    const { principal, operation } = first.facts
    let evaluation = first
    let received: Buffer | null = null
    let body: JudgedBody | null | undefined
    if (evaluation.needsBody) {
      received = await collectWhole(visit)
      if (exchange.over) return
      body = judgeBody(received, fields, exchange.policy.guardrails.boundsBody(operation))
      evaluation = evaluateBody(exchange.policy, first, body)
    }
    if (evaluation.needsDevinUser !== null) {
      const required = evaluation.needsDevinUser === 'enforced'
      const devinUser = await devinUsers.find(exchange.policy, principal, evaluation.facts.organization, required)
      if (exchange.over) return
      evaluation = evaluate(exchange.policy, principal, operation, target, body, devinUser)
    }
    exchange.evaluation = evaluation
    const refusal = refusalOf(evaluation)
    if (refusal !== null) throw refusal
    if (key !== null) return await createOnce(visit, evaluation, key, received)
    if (countsUpstreamOnly(evaluation, exchange))
      return send(visit, evaluation, evaluation.body?.bytes ?? noBody, lateLimits(visit, evaluation))
    const exceeded = await limit(visit, evaluation)
    if (exceeded !== null) throw exceeded
    await sendJudged(visit, evaluation)
  }

  /**
   * With an Idempotency-Key: done by whoever comes first, and answered again to whoever repeats it. What makes two requests
   * the same is what was received, before a guardrail changed it.
   */
  async function createOnce(visit: Visit, evaluation: Evaluation, key: string, read: Buffer | null): Promise<void> {
    const { exchange, response, target } = visit
    const body = read ?? (await collectWhole(visit))
    if (exchange.over) return
    const caller = callerOf(evaluation)
    const request = { caller, key, method: exchange.method ?? '', target: addressOf(target), body }
    const beginning = await safeCreates.begin(request)
    if (beginning.kind === 'repeated') {
      if (exchange.over) return
      answerAgain(beginning.answer, exchange, new Caller(exchange, response, parts.callerIdleMs, parts.onFail))
      return
    }
    const { claim } = beginning
    try {
      const exceeded = exchange.over ? null : await limit(visit, evaluation)
      if (exceeded !== null) throw exceeded
      if (exchange.over) return await claim.release()
      await sendJudged(visit, evaluation, body, claim)
    } catch (error) {
      await claim.release()
      throw error
    }
  }

  /** A body in memory: for rules that look into it, and to know a repetition by it. */
  function collectWhole(visit: Visit): Buffer | Promise<Buffer> {
    const { bodyLength } = visit.fields
    if (bodyLength !== null && bodyLength > maxJudgedBytes) throw tooLarge(maxJudgedBytes)
    return bodyLength === 0 ? noBody : collect(visit, maxJudgedBytes)
  }

  /** Only what a key can serve is counted, and a refused request is counted nowhere. A promise where a store is asked. */
  function limit({ exchange }: Visit, evaluation: Evaluation): Judgement {
    const { decision, facts, key, requirement } = evaluation
    if (key === null) return keyMissing(facts.operation, requirement?.organization ?? null)
    if (decision.team === null) return null
    const limits = decision.team.limitsFor(facts.principal, facts.operation)
    return applyLimits(limiter, decision.team, limits, exchange)
  }

  function lateLimits(visit: Visit, evaluation: Evaluation): Extras {
    return { ...noExtras, lateLimits: () => limit(visit, evaluation) }
  }

  function collect({ request, response, fields }: Visit, maxBytes: number): Buffer | Promise<Buffer> {
    if (fields.expectsContinue) response.writeContinue()
    return collectBody(request, fields.bodyLength, maxBytes)
  }

  /**
   * Sends what was judged, once what it may cost is reserved; where nothing was judged, what was read, or else what is still
   * to come.
   */
  async function sendJudged(
    visit: Visit,
    evaluation: Evaluation,
    read: Buffer | null = null,
    claim: Claim | null = null,
  ): Promise<void> {
    const { body } = evaluation
    const reserving = visit.exchange.over ? null : budgeting.reserve(visit.exchange, evaluation)
    const reserved = reserving === null ? null : await reserving
    if (visit.exchange.over) {
      reserved?.cancel()
      return await claim?.release()
    }
    if (body !== undefined && body !== null) declareJson(visit.fields.forward)
    const unjudged = visit.fields.bodyLength === 0 ? noBody : read
    send(visit, evaluation, body === undefined ? unjudged : (body?.bytes ?? noBody), { ...noExtras, claim, reserved })
  }

  return { admit }
}

const noBody = Buffer.alloc(0)
