// The caller that a command asks about: a member of a team, with attributes and claims as they are given.

import { unknownName } from './known.ts'
import { claimAt } from '../../identity/claim-path.ts'
import type { ClaimMapping, IssuerConfig } from '../../config/issuer-schema.ts'
import type { TestPrincipalDocument } from '../../policy/documents/document.ts'
import type { Condition } from '../../policy/model/condition.ts'
import type { PolicySet } from '../../policy/model/policy-set.ts'
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

/** What a caller can be told by; `issuer` last, since it alone tells nobody apart. */
type Attributes = { subject?: string; email?: string; issuer?: string; actor?: string; app?: string }
const attributeOptions = { subject: 'sub', email: 'email', app: 'app', actor: 'actor', issuer: 'issuer' } as const

/**
 * The caller a command asks about; without `--sub` and a team that says so, a developer of the team or app. Claims that an issuer
 * maps to an attribute are the attribute too. Throws a usage error for an unknown team, and for a claim without a value.
 */
export function callerFrom(
  invocation: Invocation,
  policy: PolicySet,
  issuers: readonly IssuerConfig[],
): TestPrincipalDocument & { subject: string } {
  const claims = claimsFrom(invocation.list('claim'))
  const issuerOf = (id: string | undefined): IssuerConfig | undefined =>
    issuers.find(({ issuer }) => issuer === id) ?? issuers[0]
  const said = saidBy(invocation, claims, issuerOf(invocation.option('issuer') ?? undefined)?.claims)
  const team = invocation.option('team')
  const entry = team === null ? null : fittingEntry(membersOf(policy, team), said)
  const found: Attributes = { ...(entry === null ? {} : attributesOf(entry)), ...said.attributes }
  const groups = [...(entry === null ? [] : first(entry.groups)), ...said.groups, ...invocation.list('group')]
  const ofEntry = Object.fromEntries([...(entry?.claims ?? [])].map(([path, values]) => [path, [...values][0]]))
  const all = { ...ofEntry, ...claims }
  const issuer = found.issuer ?? issuerOf(undefined)?.issuer
  return {
    ...found,
    ...(issuer === undefined ? {} : { issuer }),
    subject: found.subject ?? `${team ?? found.app ?? 'some'}-developer`,
    groups: [...new Set(groups)],
    ...(Object.keys(all).length === 0 ? {} : { claims: all }),
  }
}

interface Said {
  readonly attributes: Attributes
  readonly groups: readonly string[]
  readonly claims: Readonly<Record<string, unknown>>
}

/** What the options say, and the claims that stand for attributes. */
function saidBy(invocation: Invocation, claims: Readonly<Record<string, unknown>>, mapping?: ClaimMapping): Said {
  const attributes: Attributes = {}
  for (const [name, option] of Object.entries(attributeOptions) as [keyof Attributes, string][]) {
    const path = name === 'subject' || name === 'email' || name === 'app' ? mapping?.[name] : undefined
    const claim = name === 'issuer' ? claims['iss'] : path === undefined ? undefined : claimAt(claims, path)
    const value = invocation.option(option) ?? (typeof claim === 'string' ? claim : null)
    if (value !== null) attributes[name] = value
  }
  const mapped = mapping === undefined ? undefined : claimAt(claims, mapping.groups)
  const groups = [mapped].flat().filter((each) => typeof each === 'string')
  return { attributes, groups, claims }
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

function membersOf(policy: PolicySet, id: string): readonly Condition[] {
  const team = policy.team(id)
  if (team !== null) return team.members
  const ids = policy.teams.map((each) => each.id)
  throw unknownName('team', id, ids)
}

/** The first entry that holds for what is said, else the first of all. */
function fittingEntry(members: readonly Condition[], { attributes, claims }: Said): Condition {
  const fits = (entry: Condition): boolean =>
    (Object.keys(attributeOptions) as (keyof Attributes)[]).every((name) => {
      const value = attributes[name]
      return value === undefined || entry[name] === null || entry[name].has(value)
    }) &&
    (attributes.actor === undefined || entry.delegated !== false) &&
    [...entry.claims].every(([path, values]) => {
      const value = claimAt(claims, path)
      return (
        value === undefined ||
        [value].flat().some((each) => values.has(typeof each === 'string' ? each : JSON.stringify(each)))
      )
    })
  // Of several that fit, one that names what was said is meant.
  const fitting = members.filter(fits)
  const naming = fitting.find((entry) => attributes.app !== undefined && entry.app?.has(attributes.app) === true)
  const entry = naming ?? fitting[0] ?? members[0]
  // Policies with a team without members are refused when they are read.
  if (entry === undefined) throw new UsageError('the team has no members')
  return entry
}

function attributesOf(entry: Condition): Attributes {
  const found: Attributes = {}
  for (const name of Object.keys(attributeOptions) as (keyof Attributes)[]) {
    const [value] = first(entry[name])
    if (value !== undefined) found[name] = value
  }
  if (entry.delegated === true) found.actor ??= 'some-actor'
  return found
}

function first(values: ReadonlySet<string> | null): readonly string[] {
  return values === null ? [] : [...values].slice(0, 1)
}
