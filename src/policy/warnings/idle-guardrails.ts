// Guardrails that bind nothing, and values in them that are probably read otherwise than they were meant. Pure.

import type { Diagnostic } from '../../config/diagnostics.ts'
import { fewHints } from '../../config/nearest.ts'
import { quoted } from '../../config/units.ts'
import { operationsCovered } from '../compile/allow.ts'
import type { FieldRule, GuardrailDocument, GuardrailsDocument, TeamDocument } from '../documents/document.ts'
import type { PolicySet } from '../model/policy-set.ts'
import { warningAt } from './coverage.ts'
import { valueDoubts } from './field-values.ts'

type Warn = (path: readonly (string | number)[], message: string) => void

/** Warnings about guardrails that are not switched off. */
export function idleGuardrails(
  policy: PolicySet,
  documents: readonly GuardrailsDocument[],
  teams: readonly TeamDocument[],
): readonly Diagnostic[] {
  const warnings: Diagnostic[] = []
  for (const document of documents) {
    for (const [index, guardrail] of document.guardrails.entries()) {
      if (guardrail.mode === 'off') continue
      const warn: Warn = (path, message) => warnings.push(warningAt(document, ['guardrails', index, ...path], message))
      checkBinding(policy, guardrail, teams, warn)
      const operations = guardrail.on.flatMap((word) => operationsCovered(policy.catalogue, word))
      for (const [field, rule] of Object.entries(guardrail.body))
        for (const { path, message } of valueDoubts(operations, field, rule)) warn(['body', field, ...path], message)
      for (const site of ['body', 'query'] as const)
        for (const [field, rule] of Object.entries(guardrail[site])) checkValues(rule, [site, field], warn)
    }
  }
  return warnings
}

function checkBinding(
  policy: PolicySet,
  guardrail: GuardrailDocument,
  teams: readonly TeamDocument[],
  warn: Warn,
): void {
  const { id, body, query, response, grants, on, apps } = guardrail
  if (Object.keys({ ...body, ...query }).length === 0 && response === null && grants === null)
    warn(['id'], `guardrail "${id}" bounds nothing: add body, query, response, or grants: named`)
  const operations = on.flatMap((word) => operationsCovered(policy.catalogue, word))
  const served = operations.filter((each) => isServed(policy, each))
  if (operations.length > 0 && served.length === 0)
    warn(
      ['on'],
      `guardrail "${id}" binds nothing: none of the operations under "on" is served (see catalogue.stability)`,
    )
  const excepted = new Set(
    guardrail.except.flatMap(({ teams: free, apps: only }) => (only === null ? (free ?? '*') : [])),
  )
  // "*" stands for whatever team; none is called so.
  const isExcepted = (team: string): boolean => excepted.has('*') || excepted.has(team)
  const named = guardrail.teams === 'all' ? 'all' : new Set(guardrail.teams)
  const bound = named === 'all' ? teams : teams.filter(({ team }) => named.has(team))
  if (
    named !== 'all' &&
    served.length > 0 &&
    bound.length > 0 &&
    !bound.some(({ team }) => mayDo(policy, team, served))
  )
    warn(['teams'], `guardrail "${id}" binds nothing: no grant allows its teams any of the operations under "on"`)
  if (bound.length > 0 && bound.every(({ team }) => isExcepted(team)))
    warn(['except'], `guardrail "${id}" binds nobody: every team that it is for is excepted`)
  if (apps === 'all' || bound.length === 0) return
  const known = new Set(bound.flatMap(({ members }) => members.flatMap((entry) => entry.app ?? [])))
  const hint = fewHints()
  const isClosed = bound.every(({ members }) => members.every((entry) => entry.app !== undefined))
  for (const [index, app] of apps.entries()) {
    if (isClosed && !known.has(app))
      warn(['apps', index], `no member of the teams it binds calls with app "${app}"${hint(app, known)}`)
  }
}

function isServed({ catalogue }: PolicySet, id: string): boolean {
  const operation = catalogue.operation(id)
  return operation !== null && catalogue.isServed(operation)
}

function mayDo(policy: PolicySet, id: string, operations: readonly string[]): boolean {
  const team = policy.team(id)
  return operations.some((each) => {
    const operation = policy.catalogue.operation(each)
    return operation !== null && team?.grantsOn(operation).some(({ mode }) => mode !== 'off') === true
  })
}

function checkValues(rule: FieldRule, path: readonly string[], warn: Warn): void {
  for (const name of ['matches', 'each_matches'] as const) {
    const doubt = rule[name] === undefined ? null : patternDoubt(rule[name])
    if (doubt !== null) warn([...path, name], doubt)
  }
  for (const name of ['add', 'reserve', 'one_of'] as const)
    for (const [index, value] of (rule[name] ?? []).entries()) checkAttribute(value, [...path, name, index], warn)
  for (const name of ['equals', 'default'] as const) checkAttribute(rule[name], [...path, name], warn)
}

/** `*` is the only sign of a plain pattern; these say that a regular expression was meant. */
const signs: readonly RegExp[] = [
  /\$$/,
  /^\/\^|\$\/[a-z]*$/,
  /\\[.dwsbDWSB/\\+*?()[\]-]/,
  /\[\^|\[[^\]]*(?:a-z|A-Z|0-9)|\][+?{]/,
  /\([^)]*\|[^)]*\)/,
  /[\w)\]]\{\d+(?:,\d*)?\}/,
  /(?<![*\d])\.\*|\.\+/,
  /(?<!\$)\{[^{},]*,[^{}]*\}/,
]

function patternDoubt(pattern: string): string | null {
  if (pattern.startsWith('^')) return null
  if (/\$\{[^}]*\}/.test(pattern))
    return `${quoted(pattern)} is compared as it stands: a pattern holds no attributes of the caller`
  if (!signs.some((sign) => sign.test(pattern))) return null
  return `${quoted(pattern)} is read as a plain pattern, in which only "*" is special. Where a regular expression is meant, write it from ^ to $`
}

/** `$team` where `${team}` was meant. */
function checkAttribute(value: unknown, path: readonly (string | number)[], warn: Warn): void {
  if (typeof value !== 'string') return
  const name = /(?<![$\\])\$(devin_user_id|subject|email|app|issuer|team|organization)\b/.exec(value)?.[1]
  if (name !== undefined)
    warn(path, `"$${name}" stands for itself here: an attribute of the caller is written \${${name}}`)
}
