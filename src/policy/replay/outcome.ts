// What becomes of a recorded decision under another policy set: the same, another right, key or guardrail effect, or nothing that
// can be said, because the record lacks a fact. Pure.

import { without } from '../comparison/words.ts'
import { byGrant } from '../model/remarks.ts'
import { plainJson, type StrictJson } from '../../json/value.ts'
import type { Evaluation } from '../decision/evaluate.ts'
import { PolicyInTime } from '../model/policy-in-time.ts'
import type { PolicySet } from '../model/policy-set.ts'
import type { RecordedDecision } from './recorded-decision.ts'
import { redecide, replayOf, type Replay } from './replay.ts'

export const outcomeKinds = [
  'same',
  'newly-allowed',
  'newly-denied',
  'other-key',
  'other-guardrail',
  'not-replayable',
] as const
export type OutcomeKind = (typeof outcomeKinds)[number]

export interface Outcome {
  readonly kind: OutcomeKind
  readonly team: string | null
  readonly operation: string | null
  /** What is different, in words; null for the same. */
  readonly from: string | null
  readonly to: string | null
  /** Null where no policy decided the request: a refused token, an unknown path. */
  readonly replay: Replay | null
  /** Null where nothing was decided again. */
  readonly evaluation: Evaluation | null
}

/** Decides a record again and compares. */
export function outcomeOf(whole: PolicySet, record: RecordedDecision): Outcome {
  const policy = policyThen(whole, record)
  const replay = replayOf(policy, record)
  const none = { team: record.team ?? null, operation: record.operation ?? null, replay: null, evaluation: null }
  // What no policy decided is as it was under every set; blocks are of operators.
  if (record.reason === 'blocked') return { kind: 'same', from: null, to: null, ...none }
  if (typeof replay === 'string') {
    if (typeof record.subject !== 'string' || typeof record.operation !== 'string')
      return { kind: 'same', from: null, to: null, ...none }
    return { kind: 'not-replayable', from: recordedText(record), to: replay, ...none }
  }
  const redecided = redecide(policy, record, replay)
  const { evaluation } = redecided
  // Null is no key; a record that does not speak of one may have had any.
  const lacksKey = record.effect === 'allow' && record.key === undefined
  const missing = [...new Set([...redecided.missing, ...(lacksKey ? ['the key that served it'] : [])])]
  const about = {
    team: record.team ?? evaluation.decision.team?.id ?? null,
    operation: replay.operation.id,
    replay,
    evaluation,
  }
  if (missing.length > 0) return { kind: 'not-replayable', from: recordedText(record), to: listed(missing), ...about }
  return { ...difference(record, evaluation), ...about }
}

const inTime = new WeakMap<PolicySet, PolicyInTime>()

/** The set as it is at the time of the record: a right that has ended since still counts. */
function policyThen(policy: PolicySet, { time }: RecordedDecision): PolicySet {
  const ms = Date.parse(time)
  if (policy.ends.length === 0 || Number.isNaN(ms)) return policy
  const known = inTime.get(policy) ?? new PolicyInTime(policy, () => ms)
  inTime.set(policy, known)
  return known.at(ms)
}

type Difference = Pick<Outcome, 'kind' | 'from' | 'to'>
const same: Difference = { kind: 'same', from: null, to: null }

function difference(record: RecordedDecision, evaluation: Evaluation): Difference {
  const isPending = evaluation.needsBody || evaluation.needsDevinUser !== null
  const [was, is] = [record.effect === 'allow', evaluation.decision.effect === 'allow']
  // The request ended before everything was known, and so it does now.
  if (was && is && isPending) return same
  const keyBefore = record.key ?? null
  const keyAfter = evaluation.key?.key.id ?? null
  const [had, has] = [was && keyBefore !== null, is && keyAfter !== null]
  if (had !== has)
    return {
      kind: has ? 'newly-allowed' : 'newly-denied',
      from: recordedText(record),
      to: decisionText(evaluation),
    }
  if (!has) return same
  if (keyBefore !== keyAfter) return { kind: 'other-key', from: `key ${keyBefore}`, to: `key ${keyAfter}` }
  const [effectBefore, effectAfter] = [recordedEffects(record), effectsOf(record, evaluation)]
  if (effectBefore.join('; ') === effectAfter.join('; ')) return same
  return {
    kind: 'other-guardrail',
    from: without(effectBefore, effectAfter, noEffect),
    to: without(effectAfter, effectBefore, noEffect),
  }
}

function listed(facts: readonly string[]): string {
  return facts.length < 2 ? facts.join() : `${facts.slice(0, -1).join(', ')} and ${facts.at(-1) ?? ''}`
}

/** What was recorded, in words: `allowed by grant run of team payments, with key runner`. */
function recordedText({ effect, reason, grant, team, key }: RecordedDecision): string {
  if (effect !== 'allow') return `denied (${reason})`
  if (key === null) return 'denied (key-unavailable)'
  const by = grant === null || grant === undefined ? 'as a member' : `by grant ${grant}`
  return `allowed ${by}${team === null || team === undefined ? '' : ` of team ${team}`}${key === undefined ? '' : `, with key ${key}`}`
}

function decisionText({ decision, key }: Evaluation): string {
  if (decision.effect === 'deny') return `denied (${decision.reason})`
  if (key === null) return 'denied (key-unavailable)'
  const by = byGrant(decision.grant)
  return `allowed ${by} of team ${decision.team?.id ?? ''}, with key ${key.key.id}`
}

/** What guardrails did, one text each. */
function recordedEffects({ guardrails, request }: RecordedDecision): readonly string[] {
  const changed = (guardrails?.changed ?? []).map(({ in: site = '', place = '', bound = '' }) =>
    changeText(site, place, bound, (bound === 'add' ? request?.added : guardrails?.read)?.[`${site}.${place}`]),
  )
  const filtered = guardrails?.filtered
  return sorted([
    ...changed,
    ...(filtered === null || filtered === undefined
      ? []
      : [filterText(filtered.organizations ?? 'all', filtered.fields ?? [])]),
  ])
}

function effectsOf(
  { guardrails, request }: RecordedDecision,
  { decision, verdict, body }: Evaluation,
): readonly string[] {
  const changes = verdict?.changes ?? []
  const changed = changes.map(({ in: site, place, bound, value }) => {
    const recorded = (bound === 'add' ? request?.added : guardrails?.read)?.[`${site}.${place}`]
    const beside = changes.filter((each) => each.in === site && each.place === place && each.bound === 'add')
    const sent = site === 'body' ? (body?.valuesAt(place)[0] as StrictJson | undefined) : value
    const after = bound === 'add' ? beside.map((each) => each.value) : sent
    // Compared as far as the record holds it.
    return changeText(site, place, bound, recorded === undefined ? undefined : comparable(after, recorded))
  })
  const { response } = decision
  return sorted([...changed, ...(response === null ? [] : [filterText(response.organizations, response.drop)])])
}

/** The value, or what the record says in place of one that it withholds. */
function comparable(value: StrictJson | undefined, recorded: unknown): unknown {
  const texts = JSON.stringify(recorded)
  if (texts.includes('(text of ') || texts.includes('(list of ') || texts.includes('[masked]')) return recorded
  const plain = value === undefined ? undefined : plainJson(value)
  // A parameter is a text, and a record says one value without its list.
  return typeof recorded === 'string' && typeof plain !== 'string' ? String(plain) : plain
}

function changeText(site: string, place: string, bound: string, value: unknown): string {
  const shown = value === undefined ? '' : ` ${JSON.stringify(value)}`
  return `${site} ${place}: ${bound === 'add' ? 'added' : 'put in as'}${shown}`
}

const noEffect = 'no such effect of guardrails'

function filterText(organizations: 'all' | readonly string[], fields: readonly string[]): string {
  const kept = organizations === 'all' ? 'items of all organizations' : `items of ${sorted(organizations).join(', ')}`
  return `answer filtered: ${kept}${fields.length === 0 ? '' : ` without ${sorted(fields).join(', ')}`}`
}

function sorted(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)].sort()
}
