// One concrete request for each difference: the values that guardrails and budgets want are in it, and those by which a bound
// shows. Pure.

import { sessionCreate } from '../../catalogue/operation.ts'
import { placesBoundOtherwise } from '../cells/bounds.ts'
import {
  boundsAt,
  isExact,
  passingRequest,
  tellingRequest,
  type FieldPlace,
  type Guard,
} from '../cells/guarded-request.ts'
import { sampleDevinUser, type SampleRequest } from '../cells/requests.ts'
import { brokenPlaces, type TeamView } from '../cells/right.ts'
import type { Cells } from '../cells/walk.ts'
import type { Principal } from '../../identity/principal.ts'
import { budgetNeedingBound, chargedFor } from '../decision/session-bound.ts'
import { CallerAttributes } from '../guardrails/attributes.ts'
import { keyIdentity, type ChangeKind } from './words.ts'

/** The request of a cell with values by which the change shows; null where no request of the cell differs so. */
export function exampleOf(
  change: ChangeKind,
  { callers: [{ principal }], views, team }: Cells,
  request: SampleRequest,
): SampleRequest | null {
  const [before, after] = views
  if (before === undefined || after === undefined) return request
  const { operation } = request
  const isFree = views.every(({ policy }) => policy.guardrails.on(operation) === undefined)
  if (isFree && operation.id !== sessionCreate) return request
  const guards = [before, after].map((view) => guardOf(view, principal, request))
  const [guardBefore, guardAfter] = guards
  if (guardBefore === undefined || guardAfter === undefined) return request
  const caller = new CallerAttributes(principal, team, request.organization, sampleDevinUser)
  if (change !== 'guardrail') {
    const asked = change === 'gained' ? [guardAfter] : change === 'lost' ? [guardBefore] : guards
    const passing = passingRequest(asked, request, caller)
    if (passing === 'impossible') return null
    if (passing === 'unknown') return request
    // Each set was asked for a request that its own guardrails let through; one that passes both may be served alike.
    const [one, other] = [before, after].map((view) => view.evaluationOf(principal, passing))
    const isAlike =
      (change === 'key' && keyIdentity(one?.key ?? null) === keyIdentity(other?.key ?? null)) ||
      (change === 'filter' && one?.decision.response?.digest === other?.decision.response?.digest)
    return isAlike ? null : passing
  }
  const bases = [guards, [guardBefore], [guardAfter]].flatMap((asked) => {
    const passing = passingRequest(asked, request, caller)
    return typeof passing === 'string' ? [] : [passing]
  })
  const places = placesBoundOtherwise([before, after], request.operation, principal.app)
  const isTelling = (each: SampleRequest): boolean => sentAs(before, principal, each) !== sentAs(after, principal, each)
  const found = tellingRequest([...bases, request], places, guards, caller, isTelling)
  if (found !== null) return found
  return places.every((place) => isExact(boundsAt(guards, place))) ? null : (bases[0] ?? request)
}

function guardOf(view: TeamView, principal: Principal, { operation }: SampleRequest): Guard {
  const brokenBy = (request: SampleRequest): readonly FieldPlace[] => {
    const evaluation = view.evaluationOf(principal, request)
    const broken = brokenPlaces(evaluation)
    if (broken.length > 0 || evaluation.decision.effect === 'deny') return broken
    const budget = budgetNeedingBound(chargedFor(view.policy, evaluation), evaluation.body)
    return budget === null ? [] : [{ in: 'body', field: 'max_acu_limit', isNumber: true }]
  }
  return { layer: view.guardrailsOn(operation, principal.app), brokenBy }
}

/** What reaches the upstream, as far as guardrails are concerned. */
function sentAs(view: TeamView, principal: Principal, request: SampleRequest): string {
  const { decision, target, body } = view.evaluationOf(principal, request)
  return decision.effect === 'deny' ? '' : `${target.query} ${body?.bytes.toString() ?? ''} ${decision.effect}`
}
