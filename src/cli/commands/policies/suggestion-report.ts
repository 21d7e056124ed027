// What `suggest` says: the proof of its patch, and what the patch does not cover.

import { counted, plural } from '../../../config/plural.ts'
import type { Proven } from '../../../policy/suggestion/proof.ts'
import type { OtherKey } from '../../../policy/suggestion/seen-requests.ts'
import type { ReadDecisions } from '../../logs/decisions.ts'

export interface Suggestion {
  readonly proven: Proven
  /** Empty where nothing can be taken away. */
  readonly patch: string
  /** Rights that a key served before, and none does after: in words. */
  readonly unserved: readonly string[]
  readonly otherKeys: readonly OtherKey[]
  /** Decisions that were decided again. */
  readonly replayed: number
  /** Decisions that were allowed then, and cannot be decided again or are not allowed now. */
  readonly left: number
  /** Drawn for one team; else of what nobody used. */
  readonly ofTeam: boolean
  readonly log: ReadDecisions
  /** Null for a team. */
  readonly unused: UnusedFor | null
}

/** How long something has to be unused. */
export interface UnusedFor {
  /** As it was asked: `30d`. */
  readonly text: string
  readonly ms: number
}

const mostNamed = 4
const dayMs = 86_400_000
/** A log that is read where it is written ends today. */
const mostAgeDays = 2

/** For `--json`. */
export function suggestionView({ proven, patch, unserved, otherKeys, replayed }: Suggestion) {
  return {
    patch,
    grants: proven.grants,
    proof: { replayed, denied: 0, minimal: true },
    changes: proven.changes.map(({ what }) => what),
    kept: proven.kept,
    unserved,
    other_keys: otherKeys,
  }
}

/** For people, a sentence each. */
export function suggestionNotes(suggestion: Suggestion, nowMs: number): readonly string[] {
  const { proven, unserved, otherKeys, replayed, ofTeam } = suggestion
  return [
    ...proven.changes.map(({ what }) => `- ${what}`),
    ...proven.kept.map((what) => `kept, because a policy test, an invariant or the rest of the set needs it: ${what}`),
    ...(proven.changes.length === 0 ? ['nothing can be taken away'] : []),
    ...logNotes(suggestion, nowMs),
    ...(unserved.length === 0
      ? []
      : [
          `note: ${counted(unserved.length, 'right')} would be left that no key serves (503): ${listed(unserved)}. Take the grant away as well, or keep the permission`,
        ]),
    ...(otherKeys.length === 0
      ? []
      : [
          `note: another key would serve what was seen: ${listed(otherKeys.map(({ before, after, count }) => `${after} in place of ${before} for ${counted(count, 'decision')}`))}`,
        ]),
    `proof: ${counted(replayed, 'decision')} replayed, 0 denied that were allowed; ${ofTeam ? 'no proposed grant can be dropped' : 'every grant that is left was used, is needed by a test or an invariant, or is in mode shadow or off'}`,
  ]
}

function logNotes({ log, left, unused }: Suggestion, nowMs: number): readonly string[] {
  const { gaps, first, last } = log
  const ageDays = (nowMs - Date.parse(last)) / dayMs
  const coversDays = (Date.parse(last) - Date.parse(first)) / dayMs
  return [
    ...(gaps.length === 0
      ? []
      : [
          `note: the log has ${counted(gaps.length, 'gap')}, and what ${plural(gaps.length, 'it', 'they')} held is not covered`,
        ]),
    ...(left === 0
      ? []
      : [
          `note: ${counted(left, 'decision was', 'decisions were')} allowed then and ${plural(left, 'is', 'are')} not under these policies, or cannot be decided again; ${plural(left, 'it is', 'they are')} not covered`,
        ]),
    ...(unused !== null && coversDays * dayMs < unused.ms
      ? [`note: the log covers ${coversDays.toFixed(1)} days, which is less than ${unused.text}`]
      : []),
    ...(ageDays < mostAgeDays
      ? []
      : [
          `note: the log ends ${counted(Math.floor(ageDays), 'day')} ago: what was used or added since then looks unused here`,
        ]),
  ]
}

function listed(texts: readonly string[]): string {
  const rest = texts.length - mostNamed
  return `${texts.slice(0, mostNamed).join('; ')}${rest > 0 ? `; and ${rest} more` : ''}`
}
