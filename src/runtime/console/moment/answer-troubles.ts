// What is wrong by the statuses that callers got lately: errors of Devin, keys that may do less than declared, rights without
// a key, and callers who are not recognized. Pure.

import { counted } from '../../../config/plural.ts'
import { safeText } from '../../../records/safe-text.ts'
import type { DecisionSummary } from '../../../records/search/recent-decisions.ts'
import type { FoundTrouble } from './troubles.ts'

/** Fewer answers may be accidents. */
const fewestAnswers = 3
/** Strangers and probes send a few requests without a token everywhere. */
const fewestUnrecognized = 20
const unrecognized: ReadonlySet<string> = new Set(['token-missing', 'token-expired', 'token-rejected'])

/** `hasUnusableKey`: a card about that key already says why requests find no key. */
export function answerTroubles(
  origin: string,
  lately: readonly DecisionSummary[],
  hasUnusableKey: boolean,
): readonly FoundTrouble[] {
  const answered = lately.filter(({ upstream_status: status }) => status !== null)
  return [
    ...errorsOf(origin, answered),
    ...forbiddenKeys(answered),
    ...(hasUnusableKey ? [] : rightsWithoutKey(lately)),
    ...defects(lately),
    ...unrecognizedCallers(lately),
  ]
}

function errorsOf(origin: string, answered: readonly DecisionSummary[]): readonly FoundTrouble[] {
  const errors = answered.filter(({ upstream_status: status }) => (status ?? 0) >= 500)
  const [latest] = errors
  if (latest === undefined || errors.length < fewestAnswers || errors.length * 10 < answered.length) return []
  return [
    {
      kind: 'upstream',
      name: origin,
      aspect: 'errors',
      severity: errors.length * 2 >= answered.length ? 'outage' : 'degraded',
      owner: 'Devin',
      what: `Devin answers with errors: ${errors.length} of its ${counted(answered.length, 'answer')} in the last minutes, the latest with ${latest.upstream_status ?? ''} to ${latest.operation ?? 'a request'}.`,
      do: "Look at Devin's status page, and tell its support; the records have its request ids.",
    },
  ]
}

/** A rejected key is answered with 401, and told by its state. */
function forbiddenKeys(answered: readonly DecisionSummary[]): readonly FoundTrouble[] {
  return [...Map.groupBy(answered, ({ key }) => key)].flatMap(([key, of]): readonly FoundTrouble[] => {
    const denied = of.filter(({ upstream_status: status }) => status === 403)
    if (key === null || denied.length < fewestAnswers || denied.length * 2 < of.length) return []
    return [
      {
        kind: 'key',
        name: key,
        aspect: 'forbidden',
        severity: denied.length === of.length ? 'outage' : 'degraded',
        owner: 'platform',
        what: `Devin denies what is asked with key ${key}: ${denied.length} of ${counted(of.length, 'answer')} in the last minutes were 403, for ${namesOf(denied)}.`,
        do: `Look whether the service user of key ${key} still has its role at Devin, and the permissions that keys.yaml declares.`,
      },
    ]
  })
}

function rightsWithoutKey(lately: readonly DecisionSummary[]): readonly FoundTrouble[] {
  const without = lately.filter(({ problem }) => problem === 'key-unavailable')
  if (without.length === 0) return []
  return [
    {
      kind: 'key',
      aspect: 'none',
      severity: 'degraded',
      owner: 'platform',
      what: `No key of the inventory serves ${namesOf(without)}: ${counted(without.length, 'request that the policies allow was', 'requests that the policies allow were')} refused with 503 in the last minutes.`,
      do: 'Add a key with the permission for the organization to keys.yaml; `devin-gateway check` names every right without a key.',
    },
  ]
}

function defects(lately: readonly DecisionSummary[]): readonly FoundTrouble[] {
  const failed = lately.filter(({ problem }) => problem === 'internal')
  const [latest] = failed
  if (latest === undefined) return []
  return [
    {
      kind: 'instance',
      aspect: 'defect',
      severity: 'degraded',
      owner: 'platform',
      what: `The gateway itself failed in ${counted(failed.length, 'request')} in the last minutes, the latest ${latest.decision_id}.`,
      do: 'Look for this id in the log of the instance, which holds the cause, and report it.',
    },
  ]
}

function unrecognizedCallers(lately: readonly DecisionSummary[]): readonly FoundTrouble[] {
  const refused = lately.filter(({ problem }) => problem !== null && unrecognized.has(problem))
  if (refused.length < fewestUnrecognized || refused.length * 2 < lately.length) return []
  const reasons = [...Map.groupBy(refused, ({ reason }) => reason)].toSorted(([, a], [, b]) => b.length - a.length)
  return [
    {
      kind: 'issuer',
      aspect: 'unrecognized',
      severity: refused.length === lately.length ? 'degraded' : 'warning',
      owner: 'identity team',
      what: `${refused.length} of ${counted(lately.length, 'request')} in the last minutes were refused with 401, most often for ${reasons[0]?.[0] ?? ''}: their callers are not recognized.`,
      do: 'Look whether they come from your applications. If so, ask the identity team whether the issuer, its audience or its signing keys have changed.',
    },
  ]
}

/** Operations with their organizations, a few. */
function namesOf(decisions: readonly DecisionSummary[]): string {
  const names = new Set(
    decisions.map(
      ({ operation, organization }) =>
        `${operation ?? 'unknown operations'}${organization === null ? '' : ` in ${safeText(organization)}`}`,
    ),
  )
  const others = names.size - mostNames
  return `${[...names].slice(0, mostNames).join(', ')}${others > 0 ? ` and ${others} more` : ''}`
}

const mostNames = 3
