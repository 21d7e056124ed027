// The limits of a team's document in the form the limiter takes. Pure.

import type { Diagnostic } from '../config/diagnostics.ts'
import type { Quota } from '../limits/meter.ts'
import type { AllowCompiler } from './allow.ts'
import type { LimitsDocument, QuotaDocument, TeamDocument } from './document.ts'
import type { LimitRules, TeamLimits } from './team-limits.ts'

/** Null when the team has no limits. Words for groups of operations are checked as those of grants are. */
export function compileLimits(
  document: TeamDocument,
  allow: AllowCompiler,
  diagnostics: Diagnostic[],
): TeamLimits | null {
  const { limits } = document
  if (limits === null) return null
  const rules = (written: LimitsDocument): LimitRules => rulesOf(written, limits.timeZone)
  return {
    own: rules(limits),
    apps: new Map(Object.entries(limits.apps).map(([app, written]) => [app, rules(written)])),
    principal: limits.perPrincipal === null ? null : rules(limits.perPrincipal),
    operations: Object.entries(limits.operations).map(([word, written]) => {
      const covered = allow(word)
      for (const { severity, message } of covered.problems) {
        diagnostics.push({
          file: document.file,
          ...document.positionOf(['limits', 'operations', word]),
          severity,
          message,
        })
      }
      return { name: word, operations: new Set(covered.operations), rules: rules(written) }
    }),
    shadow: limits.mode === 'shadow',
  }
}

function rulesOf(written: LimitsDocument, timeZone: string): LimitRules {
  return {
    requests: quotaOf(written.requests, timeZone),
    writes: quotaOf(written.writes, timeZone),
    concurrent: written.concurrent,
    sessions: quotaOf(written.sessions, timeZone),
  }
}

function quotaOf(written: QuotaDocument | null, timeZone: string): Quota | null {
  return written === null ? null : { ...written.rate, burst: written.burst, timeZone }
}
