// The sentences of an explanation. Pure.

import { basename } from 'node:path'
import { alternatives } from '../../config/yaml/issues.ts'
import { counted, plural } from '../../config/plural.ts'
import type { Operation } from '../../catalogue/operation.ts'
import type { Principal } from '../../identity/principal.ts'
import type { KeyChoice } from '../../keys/select.ts'
import type { Evaluation } from '../decision/evaluate.ts'
import { limitText } from '../cells/bounds.ts'
import { readsBody } from '../decision/facts.ts'
import type { Warning } from '../decision/warnings.ts'
import type { Decision, ResponseFilter } from '../model/decision.ts'
import type { Grant, PolicySet } from '../model/policy-set.ts'
import { ownerText } from '../model/remarks.ts'

/** Who the caller is, and of which teams. */
export function callerText(principal: Principal, teams: readonly string[]): string {
  const { subject, app, actor, groups, groupsOmitted } = principal
  const none = groupsOmitted ? 'left out of the token' : 'none'
  const acting = actor === null ? '' : `, for whom ${actor} acts`
  const seen = `subject ${subject}${acting}, app ${app ?? 'none'}, groups ${groups.length === 0 ? none : groups.join(', ')}`
  return teams.length === 0 ? `${seen}: a member of no team` : `${seen}: a member of ${teams.join(', ')}`
}

/**
 * The limit that is taken before a body is read; null where none is read before the other limits. `first` is the evaluation without
 * the body.
 */
export function attemptsText({
  decision: { effect, team },
  facts: { operation, principal },
  needsBody,
}: Evaluation): string | null {
  if (effect === 'deny' || team === null || !(needsBody || operation.idempotent)) return null
  const when = needsBody ? 'a body is' : 'with an Idempotency-Key the body is'
  const source = team.attempts.isStated ? '' : ' (by default)'
  return `${when} read before the other limits, and the request counts as an attempt, allowed or not: ${limitText(team.attempts.of(principal))}${source} for each caller of team ${team.id}`
}

/** The operation and what it needs. */
export function operationText(operation: Operation): string {
  const permission =
    operation.permission === null
      ? 'the API documents no permission for it'
      : `needs ${operation.permission}${operation.permissionBasis === 'inferred' ? ' (inferred, not documented)' : ''}`
  const alternatives =
    operation.alternatives.length === 0
      ? ''
      : `; other pages name ${operation.alternatives.join(', ')}: a key that has it is enough, a grant that names it is not`
  const conditional = conditionTexts(operation)
    .map((text) => `; ${text}`)
    .join('')
  return `${operation.id} (${operation.method} ${operation.template}), ${operation.scope} scope, ${permission}${alternatives}${conditional}`
}

/** What is needed besides the operation's own permission, and when. */
function conditionTexts({ conditional }: Operation): readonly string[] {
  const fields = new Map<string, string[]>()
  for (const { field, when, permission } of conditional) {
    const text = `${when} ${permission}`
    fields.set(text, [...(fields.get(text) ?? []), field])
  }
  return [...fields].map(([text, names]) => {
    const [when = '', permission = ''] = text.split(' ')
    return `${permission} too when ${alternatives(names)} is ${when}`
  })
}

/** The decision, and the grant that made it. */
export function decisionText(policy: PolicySet, { decision, facts }: Evaluation, granted: boolean): string {
  if (!granted) return `${decision.reason}: ${decision.detail ?? ''}`
  if (decision.grant === null) return `allowed to every member of a team (team ${decision.team?.id ?? ''})`
  const { grant } = decision
  const extra =
    facts.extra.length === 0 ? '' : `, and ${facts.extra.map((each) => each.permission).join(', ')} for the body`
  const body = readsBody(facts.operation) ? '; the body is read and checked' : ''
  return `allowed by grant ${grant.id} of team ${grant.team} (${basename(grant.source.file)}:${grant.source.line})${coverText(policy, grant, facts.operation)}${extra}${body}`
}

/** How the grant comes to cover the operation, where that is not its own name or permission. */
function coverText({ catalogue }: PolicySet, grant: Grant, operation: Operation): string {
  const { permission } = operation
  if (permission === null || grant.allow.includes(permission)) return ''
  const through = grant.allow.find((word) => catalogue.permissions.implies(word) === permission)
  if (through === undefined || operation.scope !== 'organization') return ''
  return `, whose ${through} stands for ${permission} in every organization (${catalogue.permissions.basis(through) ?? ''})`
}

/** What is taken out of the answer. */
export function filterText({ guardrails, organizations, drop }: ResponseFilter): string {
  const kept = organizations === 'all' ? [] : [`only what is of ${organizations.join(', ')} passes`]
  const dropped = drop.length === 0 ? [] : [`the ${plural(drop.length, 'field')} ${drop.join(', ')} dropped`]
  return `the answer is filtered by guardrail ${guardrails.join(', ')}: ${[...kept, ...dropped].join('; ')}`
}

/** Which key serves and why, or which one is missing. */
export function keyText({ key, requirement, facts }: Evaluation): string {
  if (key !== null) return `${key.key.id}: ${keyReason(key)}`
  const { operation } = facts
  const needed = [operation.permission ?? 'any permission', ...(requirement?.extra ?? [])].join(' and ')
  if (operation.scope === 'enterprise')
    return `no key can serve ${operation.id}: an enterprise key with ${needed} is missing in the inventory`
  const organization = requirement?.organization ?? "the caller's organization"
  return `no key can serve ${operation.id} in ${organization}: an organization key for it with ${needed} is missing in the inventory`
}

function keyReason({ key, basis, through }: KeyChoice): string {
  const where = key.scope === 'organization' ? `organization key of ${key.organization ?? ''}` : 'enterprise key'
  const count = counted(key.permissions.size, 'permission')
  switch (basis) {
    case 'exact':
      return `${where} with ${count}, holds ${through ?? ''}`
    case 'inherited':
      return `${where} with ${count}, whose ${through ?? ''} stands for the organization permission`
    case 'alternative':
      return `${where} with ${count}, holds ${through ?? ''}, which other pages of the documentation name for this operation`
    case 'scope':
      return `${where} with ${count}; the operation needs no permission`
  }
}

/** One step for each grant in mode `warn` that bears on the request; guardrails in it have steps of their own. */
export function warnSteps(
  warnings: readonly Warning[],
): readonly { readonly stage: 'warn'; readonly ok: true; readonly text: string }[] {
  return warnings.flatMap(({ team, rule, effect, reason, text }) => {
    if (!('grant' in rule)) return []
    const without = `grant ${rule.grant} of team ${team} is in warn mode; without it `
    const change = effect === 'deny' ? `this would be denied (${reason ?? ''}): ${text}` : text
    return [{ stage: 'warn' as const, ok: true as const, text: without + change }]
  })
}

/** Whom to ask about the decision. */
export function ownerStep({ effect, owner }: Decision): string {
  const whom = ownerText(owner, 'the owner')
  return effect === 'allow' ? `${whom} may change this right` : `ask ${whom}`
}
