// Compares what two sets decide of one request: the effect, or, where both allow it, the key, what guardrails add to it, and
// what is taken out of its answer. Pure.

import { byGrant } from '../model/remarks.ts'
import { plainJson } from '../../json/value.ts'
import type { Evaluation } from '../decision/evaluate.ts'
import { chosenKeyText, keyIdentity, shownText, type ChangeKind } from './words.ts'

/** Limits are counted and not decided, so they are not compared. */
export type DecisionChange = Exclude<ChangeKind, 'limit'>

export interface Disagreement {
  readonly change: DecisionChange
  /** The team it is counted for; null when the caller is in none. */
  readonly team: string | null
  /** What the first set decides, and the second, in words. */
  readonly from: string
  readonly to: string
  /** False: the second set still had to look into the body or for the caller's user, and could refuse. */
  readonly isFinal: boolean
}

/** What one set made of a request. */
export interface JudgedRequest {
  readonly evaluation: Evaluation
  /** Reason of a refusal that is no decision of the evaluation, such as a body that cannot be read; else null. */
  readonly refusal: string | null
}

/** Whether everything that the set wanted to know was known. */
export function isComplete({ evaluation: { needsBody, needsDevinUser }, refusal }: JudgedRequest): boolean {
  return refusal !== null || (!needsBody && needsDevinUser === null)
}

/** The differences; empty for two alike. Null: it cannot be said, since one of them had not decided to its end. */
export function disagreementsOf(one: JudgedRequest, other: JudgedRequest): readonly Disagreement[] | null {
  if (!isComplete(one)) return null
  const isFinal = isComplete(other)
  const [before, after] = [refusalOf(one), refusalOf(other)]
  const teamBefore = one.evaluation.decision.team?.id ?? null
  const teamAfter = other.evaluation.decision.team?.id ?? null
  const team = teamBefore ?? teamAfter
  const differ = (change: DecisionChange, from: string, to: string, of = team): Disagreement => ({
    change,
    team: of,
    from,
    to,
    isFinal,
  })
  if (before !== null && after !== null) return []
  if (before !== null) return [differ('gained', `denied (${before})`, allowedText(other), teamAfter ?? teamBefore)]
  if (after !== null) return [differ('lost', allowedText(one), `denied (${after})`)]
  if (!isFinal) return null
  const [from, to] = [one.evaluation, other.evaluation]
  const found: Disagreement[] = []
  if (keyIdentity(from.key) !== keyIdentity(to.key))
    found.push(differ('key', chosenKeyText(from.key), chosenKeyText(to.key)))
  const [added, addedThen] = [addedBy(from), addedBy(to)]
  if (added !== addedThen) found.push(differ('guardrail', added, addedThen))
  const [filter, filterThen] = [from.decision.response, to.decision.response]
  if (filter?.digest !== filterThen?.digest) found.push(differ('filter', shownText(filter), shownText(filterThen)))
  return found
}

/** Why a request goes no further; null when it is allowed as far as it was decided. */
function refusalOf(judged: JudgedRequest): string | null {
  const { evaluation, refusal } = judged
  if (refusal !== null) return refusal
  if (evaluation.decision.effect === 'deny') return evaluation.decision.reason
  return isComplete(judged) && evaluation.key === null ? 'key-unavailable' : null
}

function allowedText(judged: JudgedRequest): string {
  const { decision, key } = judged.evaluation
  const by = byGrant(decision.grant)
  const rest = isComplete(judged) ? `, with ${chosenKeyText(key)}` : ', before guardrails and body are judged'
  return `allowed ${by} of team ${decision.team?.id ?? ''}${rest}`
}

/** What guardrails have added, whichever did: `body max_acu_limit: 10`. */
function addedBy({ verdict }: Evaluation): string {
  const texts = (verdict?.changes ?? []).map(
    ({ in: site, place, value }) => `${site} ${place}: ${JSON.stringify(plainJson(value))}`,
  )
  return texts.length === 0 ? 'nothing added' : `added ${texts.sort().join('; ')}`
}
