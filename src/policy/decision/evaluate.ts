// From a request (method, target, body) to operation, decision and key: the same steps for requests, `explain`,
// policy tests and replays. Pure but for the memos of the snapshot.

import type { Decision, Facts } from '../model/decision.ts'
import type { Mismatch } from '../../catalogue/matcher.ts'
import type { Operation } from '../../catalogue/operation.ts'
import type { Target } from '../../catalogue/target.ts'
import type { Principal } from '../../identity/principal.ts'
import type { KeyChoice, Requirement } from '../../keys/select.ts'
import { Problem } from '../../problems.ts'
import { decide, type WarnGrants } from './decide.ts'
import { decidesAlike, factsOf, readsBody } from './facts.ts'
import { applyGuardrails, type GuardedDecision } from './guarded-decision.ts'
import { reliesOnWarn, warningsOf, type Warning } from './warnings.ts'
import type { GuardrailVerdict, WantsDevinUser } from '../guardrails/apply.ts'
import type { DevinUser } from '../guardrails/attributes.ts'
import type { CheckedBody } from './checked-body.ts'
import type { PolicySet } from '../model/policy-set.ts'

export interface Evaluation {
  readonly facts: Facts
  readonly decision: Decision
  /** The body has to be read and the request evaluated again with it; the decision so far is an allow. */
  readonly needsBody: boolean
  /** Who wants the caller's user at Devin to be looked up, and the request evaluated again with it; as above. */
  readonly needsDevinUser: WantsDevinUser
  /** What a key must hold; null unless allowed. */
  readonly requirement: Requirement | null
  /** The key that would be used; null when denied or when no key suffices. */
  readonly key: KeyChoice | null
  /** As it is sent: the caller's own, or with a query that guardrails changed. */
  readonly target: Target
  /** As it is sent: the caller's own, or as guardrails changed it. Undefined when it was not read, null when there is none. */
  readonly body: CheckedBody | null | undefined
  /** What the guardrails said; null where none binds the request, and while something is needed. */
  readonly verdict: GuardrailVerdict | null
  /** What would be different without the rules in mode `warn`; empty while something is needed. */
  readonly warnings: readonly Warning[]
}

const none: readonly never[] = []

/**
 * Finds the operation. Throws `ambiguous-path` or `unknown-operation` with a sentence that says what to do, naming the
 * v3 operation for an old path.
 */
export function findOperation(policy: PolicySet, method: string, target: Target): Operation {
  const found = policy.catalogue.match(method, target.segments)
  if ('why' in found) throw unknownOperation(policy, method, target, found)
  return found
}

/** The body of a read is not judged, so an upstream that reads it could do more than was decided. */
export function bodyOfRead(): Problem {
  return new Problem('malformed-request', 'A GET has no body. Send its parameters in the query.', {
    reason: 'body-of-read',
  })
}

/**
 * Evaluates a request. `body` is undefined while it has not been read, null when the request has none; `devinUser` is
 * undefined while it has not been looked up, and the policies' own word is taken where there is one.
 */
export function evaluate(
  policy: PolicySet,
  principal: Principal,
  operation: Operation,
  target: Target,
  body?: CheckedBody | null,
  devinUser?: DevinUser,
): Evaluation {
  return withWarnings(policy, { facts: factsOf(principal, operation, target, body), target, body, devinUser })
}

/** What is evaluated: `target` and `body` as they came. */
interface Asked {
  readonly facts: Facts
  readonly target: Target
  readonly body: CheckedBody | null | undefined
  readonly devinUser?: DevinUser | undefined
}

/** The evaluation, and beside it the one that there would be without the grants in mode `warn`. */
function withWarnings(policy: PolicySet, asked: Asked, first = evaluateFacts(policy, asked, 'applied')): Evaluation {
  if (first.decision.effect === 'deny' || first.needsBody || first.needsDevinUser !== null) return first
  const { teams } = first.decision
  const without = reliesOnWarn(teams, first.facts) ? evaluateFacts(policy, asked, 'ignored') : null
  const warnings = warningsOf(teams, first, without)
  if (without?.needsDevinUser !== undefined && without.needsDevinUser !== null)
    return { ...first, warnings, needsDevinUser: 'shadow' }
  return warnings.length === 0 ? first : { ...first, warnings }
}

function evaluateFacts(policy: PolicySet, { facts, target, body, devinUser }: Asked, warn: WarnGrants): Evaluation {
  const { principal, operation } = facts
  const decision = decide(policy, facts, policy.teamsOf(principal), warn)
  if (decision.effect === 'deny' || policy.guardrails.on(operation) === undefined) {
    const needs = body === undefined && readsBody(operation) ? 'body' : null
    return conclude(policy, { facts, decision, request: { target, body }, needs, verdict: null })
  }
  const mapped = devinUser === undefined ? policy.devinUserOf(principal) : null
  const user = mapped === null ? devinUser : { id: mapped }
  return conclude(policy, applyGuardrails(policy, facts, decision, { target, body }, user, warn))
}

/**
 * Evaluates a request again, whose body was read; null: it has none. Where no guardrail looks into it and it adds nothing to
 * the facts, facts and decision are those of `first`, the same objects.
 */
export function evaluateBody(policy: PolicySet, first: Evaluation, body: CheckedBody | null): Evaluation {
  const { facts, decision, target } = first
  const { principal, operation } = facts
  const known = factsOf(principal, operation, target, body)
  const asked = { facts: known, target, body }
  if (policy.guardrails.on(operation) === undefined && decidesAlike(facts, known))
    return withWarnings(
      policy,
      asked,
      conclude(policy, { facts, decision, request: { target, body }, needs: null, verdict: null }),
    )
  return withWarnings(policy, asked)
}

function conclude(policy: PolicySet, { facts, decision, request, needs, verdict }: GuardedDecision): Evaluation {
  const { operation } = facts
  const allowed = decision.effect === 'allow'
  const requirement: Requirement | null = allowed
    ? {
        operation,
        organization: operation.scope === 'any' ? (decision.team?.defaultOrganization ?? null) : facts.organization,
        extra: facts.extra.length === 0 ? none : facts.extra.map((extra) => extra.permission),
      }
    : null
  return {
    facts,
    decision,
    needsBody: allowed && needs === 'body',
    needsDevinUser: allowed && needs !== 'body' ? needs : null,
    requirement,
    key: requirement === null || needs !== null ? null : policy.selectKey(requirement),
    target: request.target,
    body: request.body,
    verdict,
    warnings: none,
  }
}

function unknownOperation(
  policy: PolicySet,
  method: string,
  target: Target,
  found: Mismatch | { why: 'unserved'; operation: Operation },
): Problem {
  if (found.why === 'ambiguous') {
    return new Problem(
      'ambiguous-path',
      'The path is refused because an escaped slash or letter in it makes it another path for a server that decodes first. Only parameters that hold repository paths, branch, group and file names may hold %2F.',
    )
  }
  const unknown = (detail: string, reason = 'unknown-operation'): Problem =>
    new Problem('unknown-operation', detail, { reason })
  if (found.why === 'unserved') {
    const { id, stability } = found.operation
    const detail =
      stability === 'unreviewed'
        ? `${id} is not served until it is reviewed. Ask the operator to remove "served: false" from its entry in the extension file.`
        : `${id} is of stability class ${stability}, which this gateway does not serve. Ask the operator to add it to catalogue.stability.`
    return unknown(detail, 'operation-not-served')
  }
  const replacement = policy.catalogue.replacementOf(method, target.segments)
  if (replacement !== null)
    return unknown(
      `This is an old address of the API. Use ${replacement.method} ${replacement.template} (${replacement.id}) instead.`,
      'legacy-path',
    )
  const other = sameUnderOtherPrefix(policy, method, target)
  if (other !== null)
    return unknown(
      `The operation is served under another prefix. Use ${other.method} ${other.template} (${other.id}) instead.`,
      'other-prefix',
    )
  if (found.why === 'method')
    return unknown(`This path does not know ${plainMethod(method)}; it knows ${found.methods.join(', ')}.`)
  return unknown(
    target.segments[0] === 'v1' || target.segments[0] === 'v2'
      ? "The v1 and v2 addresses of the API are not served. Use the v3 operation; see the API's migration guide."
      : 'No operation of the API has this path. Check it against the API reference; paths are case-sensitive and have no final slash. /gateway/v1/explain?path=… names the nearest operation.',
  )
}

/**
 * The same operation under the other prefix. Most v3 operations were once under /v3beta1, some still are, and clients
 * confuse them.
 */
function sameUnderOtherPrefix(policy: PolicySet, method: string, { segments }: Target): Operation | null {
  const [prefix, ...rest] = segments
  const other = prefix === 'v3beta1' ? 'v3' : prefix === 'v3' ? 'v3beta1' : null
  if (other === null) return null
  const found = policy.catalogue.match(method, [other, ...rest])
  return 'why' in found ? null : found
}

function plainMethod(method: string): string {
  return /^[A-Z]{1,20}$/.test(method) ? method : 'this method'
}
