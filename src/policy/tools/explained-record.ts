// Explains a recorded decision again, under a policy set of now, and says what differs. Pure.

import type { PolicySet } from '../model/policy-set.ts'
import type { DevinUser } from '../guardrails/attributes.ts'
import type { RecordedDecision } from '../replay/recorded-decision.ts'
import { missingFacts, replayOf, type Replay } from '../replay/replay.ts'
import { explain } from './explain.ts'
import type { Explanation } from './explanation.ts'

export interface ExplainedRecord {
  readonly replay: Replay
  readonly explanation: Explanation
  /** What the record does not hold; a phrase each. */
  readonly missing: readonly string[]
}

/** A sentence where the request cannot be decided again. */
export function explainRecord(
  policy: PolicySet,
  record: RecordedDecision,
  devinUser?: DevinUser,
): ExplainedRecord | string {
  const replay = replayOf(policy, record)
  if (typeof replay === 'string') return replay
  const explanation = explain(policy, replay.principal, {
    method: replay.operation.method,
    target: replay.address,
    body: replay.body ?? null,
    devinUser: devinUser ?? replay.devinUser,
  })
  return { replay, explanation, missing: missingFacts(policy, record, replay) }
}

/** How an explanation of now differs from what was recorded. */
export function differencesOf(record: RecordedDecision, found: Explanation): readonly string[] {
  // Records of decisions say nothing of keys that are missing; of blocked ones they do.
  const isKeyMissing = found.problem === 'key-unavailable' && found.reason !== 'key-blocked'
  if (record.effect !== found.effect && !isKeyMissing)
    return [`${record.effect} (${record.reason}) then, ${found.effect} (${found.reason}) now`]
  return (['reason', 'team', 'grant', 'key'] as const).flatMap((name) => {
    const [then, now] = [record[name] ?? null, found[name]]
    if (then === now || (name === 'reason' && isKeyMissing)) return []
    return [`${name} ${then ?? 'none'} then, ${now ?? 'none'} now`]
  })
}
