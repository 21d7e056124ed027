// Rights that have ended, and those that end soon. Pure.

import type { Diagnostic } from '../../config/diagnostics.ts'
import type { GuardrailsDocument, TeamDocument } from '../documents/document.ts'
import { endingText } from '../../config/values/instants.ts'
import { hasEnded, type RightEnding } from '../model/ending.ts'
import { warningsAt } from './coverage.ts'

/** A warning for each grant, member entry and exception that has ended or ends within two weeks. */
export function endingWarnings(
  teams: readonly TeamDocument[],
  guardrails: readonly GuardrailsDocument[],
  nowMs: number,
): readonly Diagnostic[] {
  const ofTeams = teams.flatMap((document) => [
    ...document.members.flatMap(({ ending }, index) =>
      warningsOf(
        document,
        ['members', index, 'until'],
        `an entry of members of team "${document.team}"`,
        ending,
        nowMs,
      ),
    ),
    ...document.grants.flatMap(({ id, mode, ending }, index) =>
      mode === 'off' ? [] : warningsOf(document, ['grants', index, 'until'], `grant "${id}"`, ending, nowMs),
    ),
  ])
  const ofGuardrails = guardrails.flatMap((document) =>
    document.guardrails.flatMap(({ id, except }, index) =>
      except.flatMap(({ ending }, place) =>
        warningsOf(
          document,
          ['guardrails', index, 'except', place, 'until'],
          `an exception of guardrail "${id}"`,
          ending,
          nowMs,
        ),
      ),
    ),
  )
  return [...ofTeams, ...ofGuardrails]
}

function warningsOf(
  document: Pick<TeamDocument, 'file' | 'positionOf'>,
  path: readonly (string | number)[],
  what: string,
  ending: RightEnding,
  nowMs: number,
): readonly Diagnostic[] {
  const { endsAtMs, reason } = ending
  const text = endsAtMs === null ? null : endingText(endsAtMs, nowMs)
  const why = reason === null ? '' : ` (${reason})`
  const advice = hasEnded(ending, nowMs) ? ': remove it, or write a later end into `until`' : ''
  return warningsAt(document, path, text === null ? null : `${what}${why} ${text}${advice}`)
}
