// Documents of teams → teams as requests are decided by them. In steps; else pure.

import type { Diagnostic } from '../../config/diagnostics.ts'
import type { Position } from '../../config/yaml/document.ts'
import type { GrantDocument, TeamDocument } from '../documents/document.ts'
import { compileCondition } from '../model/condition.ts'
import type { Grant } from '../model/policy-set.ts'
import { ownerOf } from '../model/remarks.ts'
import type { Steps } from '../model/steps.ts'
import type { AllowCompiler, Covered } from './allow.ts'
import { compileAttempts, compileLimits, precedenceOf } from './compile-limits.ts'
import type { CompiledTeam } from './team-grants.ts'
import { createLimitFinder, type GatewayLimits } from './team-limits.ts'

/** Compiles every team, sorted by id. */
export function* compileTeams(
  documents: readonly TeamDocument[],
  gateway: GatewayLimits | null,
  allow: AllowCompiler,
  diagnostics: Diagnostic[],
): Steps<readonly CompiledTeam[]> {
  const teams = new Map<string, CompiledTeam>()
  for (const document of documents) {
    const other = teams.get(document.team)?.team
    if (other === undefined) teams.set(document.team, yield* compileTeam(document, gateway, allow, diagnostics))
    else
      diagnostics.push(
        errorAt(
          document,
          ['team'],
          `team "${document.team}" is defined twice; the other one is in ${other.source.file}`,
        ),
      )
  }
  return [...teams.values()].sort((a, b) => (a.team.id < b.team.id ? -1 : 1))
}

function* compileTeam(
  document: TeamDocument,
  gateway: GatewayLimits | null,
  allow: AllowCompiler,
  diagnostics: Diagnostic[],
): Steps<CompiledTeam> {
  const grants: CompiledTeam['grants'][number][] = []
  for (const [index, entry] of document.grants.entries())
    grants.push({
      grant: compileGrant(document, entry),
      covered: yield* coveredBy(document, index, entry, allow, diagnostics),
    })
  const { remarks } = document
  const team: CompiledTeam['team'] = {
    id: document.team,
    source: { file: document.file, line: document.line },
    remarks,
    owner: ownerOf(remarks),
    members: document.members.map((entry) => ({ ...compileCondition(entry), ending: entry.ending })),
    organizations: document.organizations === 'all' ? 'all' : new Set(document.organizations),
    defaultOrganization:
      document.defaultOrganization ?? (document.organizations === 'all' ? null : (document.organizations[0] ?? null)),
    cacheAtMostMs: document.cacheAtMostMs,
    limitsFor: createLimitFinder(document.team, compileLimits(document, allow, diagnostics), gateway),
    limitedApps: new Set(Object.keys(document.limits?.apps ?? {})),
    attempts: compileAttempts(document),
    cachedIsFree: document.limits?.cached === 'free',
    precedence: precedenceOf(document, gateway),
  }
  yield
  return { team, grants }
}

function* coveredBy(
  document: TeamDocument,
  index: number,
  { allow: words }: GrantDocument,
  allow: AllowCompiler,
  diagnostics: Diagnostic[],
): Steps<readonly Covered[]> {
  const found: Covered[] = []
  for (const [position, word] of words.entries()) {
    const covered = allow(word)
    for (const { severity, message } of covered.problems)
      diagnostics.push({ ...errorAt(document, ['grants', index, 'allow', position], message), severity })
    if (covered.operations.length > 0 || covered.permissions.length > 0) found.push(covered)
    if (position % wordsPerStep === 0) yield
  }
  return found
}

const wordsPerStep = 8

function compileGrant(document: TeamDocument, entry: GrantDocument): Grant {
  return {
    id: entry.id,
    team: document.team,
    mode: entry.mode,
    ending: entry.ending,
    when: entry.when === null ? null : compileCondition(entry.when),
    organizations: entry.organizations === null ? null : new Set(entry.organizations),
    remarks: entry.remarks,
    owner: ownerOf(entry.remarks, document.remarks),
    allow: entry.allow,
    source: { file: document.file, line: entry.line },
  }
}

/** A mistake at the place of a document. */
export function errorAt(
  document: { readonly file: string; positionOf(path: readonly (string | number)[]): Position },
  path: readonly (string | number)[],
  message: string,
): Diagnostic {
  return { file: document.file, ...document.positionOf(path), severity: 'error', message }
}
