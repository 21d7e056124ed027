// What is wrong by what requests came to lately, and with what they use: Devin, the store, budgets, limits, callers. Pure.

import { counted, plural } from '../../../config/plural.ts'
import type { BudgetView } from '../../../budgets/budget-status.ts'
import type { DecisionSummary } from '../../../records/search/recent-decisions.ts'
import type { PolicySet } from '../../../policy/model/policy-set.ts'
import type { StoreStatus } from '../../../store/store.ts'
import type { MembershipState } from '../../../store/membership/types.ts'
import { safeText } from '../../../records/safe-text.ts'
import { groupNote } from '../../../cache/shared/group-view.ts'
import { minuteOf } from '../../operators/notes.ts'
import { contactOf, sentence } from './part-troubles.ts'
import type { FoundTrouble } from './troubles.ts'

export interface UpstreamReading {
  readonly origin: string
  /** Keys with which Devin does not answer, and is left alone. */
  readonly brokenKeys: readonly string[]
  readonly waiting: number
  readonly atDevin: number
  readonly connections: number
  readonly devinP50Ms: number | null
}

/** Answers that take longer than this are slow, whatever they are about. */
const slowMs = 5_000
const fewest = 20

export function upstreamTroubles(
  reading: UpstreamReading,
  lately: readonly DecisionSummary[],
): readonly FoundTrouble[] {
  const { origin, brokenKeys, waiting, connections, atDevin, devinP50Ms } = reading
  const about = { kind: 'upstream', name: origin, owner: 'Devin' } as const
  const failures = lately.filter(({ problem }) => problem?.startsWith('upstream-') === true)
  const sent = lately.filter(({ sent: isSent }) => isSent).length
  const found: FoundTrouble[] = []
  const [latest] = failures
  if (latest !== undefined && failures.length * 10 >= sent)
    found.push({
      ...about,
      severity: failures.length * 2 >= sent ? 'outage' : 'degraded',
      aspect: 'failures',
      what: `Devin fails: ${failures.length} of ${counted(Math.max(sent, failures.length), 'request')} in the last minutes came to nothing, the latest with ${latest.problem ?? ''}. Stored answers are given where they may be.`,
      do: upstreamAdvice[latest.problem ?? ''] ?? `Ask ${origin} from this host with curl.`,
    })
  if (brokenKeys.length > 0)
    found.push({
      ...about,
      severity: 'outage',
      aspect: 'breaker',
      what: `Devin does not answer with ${plural(brokenKeys.length, 'key')} ${brokenKeys.slice(0, 5).join(', ')} and is left alone for a while: requests are refused, but for a probe.`,
      do: `Look at Devin's status page, and ask ${origin} from this host with curl.`,
    })
  if (devinP50Ms !== null && devinP50Ms >= slowMs)
    found.push({
      ...about,
      severity: 'degraded',
      aspect: 'slow',
      what: `Devin is slow: half of the answers take longer than ${(devinP50Ms / 1000).toFixed(1)} s.`,
      do: "Look at Devin's status page, and tell its support; the records have its request ids.",
    })
  if (waiting > 0 && atDevin >= connections)
    found.push({
      ...about,
      severity: 'degraded',
      aspect: 'queue',
      what: `${connections === 1 ? 'The only connection to Devin is' : `All ${connections} connections to Devin are`} in use, and ${counted(waiting, 'request waits', 'requests wait')} for one.`,
      do: 'Find out whether Devin is slow or a team sends more than usual; upstream.connections is the bound.',
    })
  const throttled = lately.filter(({ upstream_status: status }) => status === 429)
  if (throttled.length > 0)
    found.push({
      ...about,
      severity: 'degraded',
      aspect: 'throttled',
      what: `Devin has had too many requests: ${counted(throttled.length, 'answer')} 429 in the last minutes.`,
      do: 'See which team sends most, and lower its limits or ask Devin for more.',
    })
  return found
}

const upstreamAdvice: Readonly<Record<string, string>> = {
  'upstream-credential-rejected': 'See which key was rejected under keys, and rotate it: devin-gateway rotate KEY.',
  'upstream-tls-failed': "Look at the certificate of Devin's address, and at upstream.ca.",
}

export function storeTroubles(state: StoreStatus | null, membership: MembershipState | null): readonly FoundTrouble[] {
  if (state === null || membership === null) return []
  const found: FoundTrouble[] = []
  if (state.away)
    found.push({
      kind: 'store',
      aspect: 'away',
      severity: 'degraded',
      sinceMs: state.sinceMs,
      owner: 'platform',
      what: `The shared store is away: ${state.reason ?? 'it does not answer'}. Limits are held by shares, answers are kept 30 s at most, and what costs money may be refused.`,
      do: 'Repair Valkey, or the way to it; the instances come back by themselves.',
    })
  const note = groupNote(membership)
  if (note !== null)
    found.push({ kind: 'cache', severity: 'degraded', owner: 'platform', ...cutOff(state, membership, note) })
  return found
}

/** With the store, although the store answers, or because other instances are not heard of. */
function cutOff(
  { away }: StoreStatus,
  { status, missing }: MembershipState,
  note: string,
): Pick<FoundTrouble, 'aspect' | 'what' | 'do'> {
  if (away)
    return {
      aspect: 'store-away',
      what: `The cache is cut off with the shared store: ${note}.`,
      do: 'Nothing for the cache itself: it joins again when the shared store is back.',
    }
  if (status === 'isolated')
    return {
      aspect: 'isolated',
      what: `The cache is cut off although the shared store answers: ${note}.`,
      do: 'Look whether this instance may subscribe to channels of the store (its ACL, a proxy in between), and whether it hangs for seconds; it joins again by itself.',
    }
  return {
    aspect: 'degraded',
    what: `The cache is cut off from ${counted(missing, 'instance')} that went missing: ${note}.`,
    do: 'Look whether the other instances run, and reach the shared store.',
  }
}

export function budgetTroubles(budgets: readonly BudgetView[], policy: PolicySet): readonly FoundTrouble[] {
  return budgets.flatMap((budget): readonly FoundTrouble[] => {
    const { name, owner, team, level, limit, spent, reserved, resets_at: resets, mode } = budget
    if (mode === 'shadow' || limit === null || level < 80) return []
    const until = resets === null ? 'until sessions end' : `until ${minuteOf(resets)}`
    const isUsedUp = level >= 100
    return [
      {
        kind: 'budget',
        name: `${owner}/${name}`,
        aspect: isUsedUp ? 'used-up' : 'low',
        severity: isUsedUp ? 'degraded' : 'warning',
        owner: team === null ? 'policy owner' : 'team',
        contact: contactOf(team === null ? null : policy.team(team)) ?? owner,
        what: isUsedUp
          ? `The budget ${name} of ${owner} is used up (${spent} spent and ${reserved} reserved of ${limit}): creates are refused ${until}.`
          : `The budget ${name} of ${owner} is used to ${budget.used_percent ?? level} % (${limit}).`,
        do: sentence(`${owner} ends sessions that are not needed, or asks the owner of ${budget.policy} for more`),
      },
    ]
  })
}

/**
 * Refusals that are somebody's to look at: limits that are reached, and callers who keep being refused. Budgets that are used up are
 * told by `budgetTroubles`.
 */
export function callerTroubles(
  lately: readonly DecisionSummary[],
  policy: PolicySet,
  budgets: readonly BudgetView[],
): readonly FoundTrouble[] {
  const told = new Set(budgets.filter(isToldAsUsedUp).map(({ team, name }) => `${team ?? ''}\n${name}`))
  const isTold = (team: string, limit: string): boolean => told.has(`${team}\n${limit}`) || told.has(`\n${limit}`)
  const refused = lately.filter(({ outcome }) => outcome === 'refused')
  const ofLimits = Map.groupBy(
    refused.filter(({ limit, team }) => limit !== null && team !== null && !isTold(team, limit)),
    ({ limit, team }) => `${team ?? ''}\n${limit ?? ''}`,
  )
  const bySubject = Map.groupBy(
    refused.filter(({ limit, subject }) => subject !== null && limit === null),
    ({ subject }) => subject ?? '',
  )
  return [
    ...[...ofLimits].map(([key, of]): FoundTrouble => {
      const [team = '', limit = ''] = key.split('\n')
      return {
        kind: 'limit',
        name: `${team}/${limit}`,
        aspect: 'reached',
        severity: 'warning',
        owner: 'team',
        contact: contactOf(policy.team(team)),
        what: `Team ${team} has reached its limit ${limit}: ${counted(of.length, 'request was', 'requests were')} refused in the last minutes.`,
        do: `Team ${team} sends less, or asks the owner of its policies for more.`,
      }
    }),
    ...[...bySubject].flatMap(([named, of]): readonly FoundTrouble[] => {
      const blocked = of.filter(({ problem }) => problem === 'blocked').length
      if (blocked === 0 && of.length < fewest) return []
      const [latest] = of
      const team = latest?.team ?? null
      const subject = safeText(named)
      return [
        {
          kind: 'block',
          name: subject,
          aspect: blocked > 0 ? 'still-calling' : 'refused',
          severity: 'warning',
          owner: team === null ? 'platform' : 'team',
          contact: team === null ? null : contactOf(policy.team(team)),
          what:
            blocked > 0
              ? `Caller ${subject} is blocked and keeps calling: ${counted(blocked, 'request was', 'requests were')} refused in the last minutes.`
              : `Caller ${subject} keeps being refused: ${of.length} times in the last minutes, the latest for ${latest?.reason ?? ''}.`,
          do:
            blocked > 0
              ? 'Find out who holds the credentials, and have them taken away; the block stays until somebody ends it.'
              : `Ask the team what the caller wants, or block a caller that nobody knows: devin-gateway block subject ${subject} --reason TEXT.`,
        },
      ]
    }),
  ]
}

function isToldAsUsedUp({ mode, limit, level }: BudgetView): boolean {
  return mode !== 'shadow' && limit !== null && level >= 100
}
