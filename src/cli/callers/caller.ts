// The caller that a command asks about: a member of a team, with attributes and claims as they are given.

import { unknownName } from './known.ts'
import type { IssuerConfig } from '../../config/issuer-schema.ts'
import type { TestPrincipalDocument } from '../../policy/documents/document.ts'
import type { PolicySet } from '../../policy/model/policy-set.ts'
import { describedCaller } from '../../policy/tools/described-caller.ts'
import { UsageError } from '../usage.ts'
import type { Invocation } from '../invocation.ts'

export const callerOptions = {
  team: { type: 'string', help: 'a member of this team, with the attributes of its first fitting members entry' },
  sub: { type: 'string', help: "the caller's subject" },
  email: { type: 'string', help: "the caller's e-mail address" },
  app: { type: 'string', help: 'the calling application' },
  actor: { type: 'string', help: 'who acts for the subject' },
  group: { type: 'string', multiple: true, help: 'a group of the caller; repeatable' },
  issuer: { type: 'string', help: 'who has issued the token' },
  claim: { type: 'string', multiple: true, help: 'another claim, NAME=VALUE; repeatable, equal names make a list' },
} as const

/**
 * The caller a command asks about; without `--sub` and a team that says so, a developer of the team or app. Claims that an issuer
 * maps to an attribute are the attribute too. Throws a usage error for an unknown team, and for a claim without a value.
 */
export function callerFrom(
  invocation: Invocation,
  policy: PolicySet,
  issuers: readonly IssuerConfig[],
): TestPrincipalDocument & { subject: string } {
  const said = {
    ...Object.fromEntries(
      (['team', 'sub', 'email', 'app', 'actor', 'issuer'] as const).map((name) => [name, invocation.option(name)]),
    ),
    groups: invocation.list('group'),
    claims: claimsFrom(invocation.list('claim')),
  }
  const team = invocation.option('team')
  const ids = policy.teams.map(({ id }) => id)
  if (team !== null && !ids.includes(team)) throw unknownName('team', team, ids)
  return describedCaller(said, policy, issuers)
}

/** Equal names make a list; a value that begins like a list or an object is JSON. */
function claimsFrom(written: readonly string[]): Readonly<Record<string, unknown>> {
  const claims: Record<string, unknown> = Object.create(null) as Record<string, unknown>
  for (const each of written) {
    const equals = each.indexOf('=')
    if (equals < 1) throw new UsageError(`--claim takes NAME=VALUE, not ${JSON.stringify(each)}`)
    const [name, value] = [each.slice(0, equals), valueOf(each.slice(equals + 1))]
    claims[name] = Object.hasOwn(claims, name) ? [claims[name], value].flat() : value
  }
  return claims
}

function valueOf(text: string): unknown {
  if (!/^[[{]/.test(text)) return text
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    throw new UsageError(`--claim: ${text} is no JSON: ${error instanceof Error ? error.message : ''}`)
  }
}
