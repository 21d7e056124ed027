// A caller as people describe one: a member of a team, with attributes and claims as they are given. Pure.

import { claimAt } from '../../identity/claim-path.ts'
import type { Principal } from '../../identity/principal.ts'
import type { ClaimMapping, IssuerConfig } from '../../config/issuer-schema.ts'
import { didYouMean } from '../../config/nearest.ts'
import { Problem } from '../../problems.ts'
import type { TestPrincipalDocument } from '../documents/document.ts'
import type { Condition } from '../model/condition.ts'
import type { PolicySet } from '../model/policy-set.ts'

/** What is said of a caller; absent and null say nothing. */
export interface CallerDescription {
  readonly team?: string | null
  readonly sub?: string | null
  readonly email?: string | null
  readonly app?: string | null
  readonly actor?: string | null
  readonly issuer?: string | null
  readonly groups?: readonly string[]
  readonly claims?: Readonly<Record<string, unknown>>
}

/** What a caller can be told by; `issuer` last, since it alone tells nobody apart. */
type Attributes = { subject?: string; email?: string; issuer?: string; actor?: string; app?: string }
const attributeNames = { subject: 'sub', email: 'email', app: 'app', actor: 'actor', issuer: 'issuer' } as const

/**
 * The caller; without a subject and a team that says so, a developer of the team or app. Claims that an issuer maps to an attribute
 * are the attribute too. The team has to exist.
 */
export function describedCaller(
  description: CallerDescription,
  policy: PolicySet,
  issuers: readonly IssuerConfig[],
): TestPrincipalDocument & { subject: string } {
  const { claims = {}, groups: given = [], team: name = null } = description
  const issuerOf = (id: string | undefined): IssuerConfig | undefined =>
    issuers.find(({ issuer }) => issuer === id) ?? issuers[0]
  const said = saidBy(description, claims, issuerOf(description.issuer ?? undefined)?.claims)
  const team = name === null ? null : policy.team(name)
  const entry = team === null ? null : fittingEntry(trustedFirst(team.members, issuers), said)
  const found: Attributes = { ...(entry === null ? {} : attributesOf(entry)), ...said.attributes }
  const groups = [...(entry === null ? [] : first(entry.groups)), ...said.groups, ...given]
  const ofEntry = Object.fromEntries([...(entry?.claims ?? [])].map(([path, values]) => [path, [...values][0]]))
  const all = { ...ofEntry, ...claims }
  const issuer = found.issuer ?? issuerOf(undefined)?.issuer
  return {
    ...found,
    ...(issuer === undefined ? {} : { issuer }),
    subject: found.subject ?? `${name ?? found.app ?? 'some'}-developer`,
    groups: [...new Set(groups)],
    ...(Object.keys(all).length === 0 ? {} : { claims: all }),
  }
}

/** What every token of an issuer is refused with where the configuration does not name it; null where it does. */
export function untrustedIssuer(issuer: string, issuers: readonly IssuerConfig[]): Problem | null {
  const known = issuers.map((each) => each.issuer)
  if (known.includes(issuer)) return null
  const detail = `the gateway refuses every token of the issuer ${issuer}: the configuration knows ${known.join(', ')}${didYouMean(issuer, known)}`
  return new Problem('token-rejected', detail, { reason: 'issuer-unknown' })
}

/** The entries with those of their issuers whose tokens are accepted; entries without such an issuer come last, as they are. */
function trustedFirst(members: readonly Condition[], issuers: readonly IssuerConfig[]): readonly Condition[] {
  const known = new Set(issuers.map(({ issuer }) => issuer))
  const trusted = members.flatMap((entry) => {
    const accepted = new Set([...(entry.issuer ?? [])].filter((each) => known.has(each)))
    return entry.issuer === null ? entry : accepted.size === 0 ? [] : { ...entry, issuer: accepted }
  })
  return [
    ...trusted,
    ...members.filter(({ issuer }) => issuer !== null && ![...issuer].some((each) => known.has(each))),
  ]
}

interface Said {
  readonly attributes: Attributes
  readonly groups: readonly string[]
  readonly claims: Readonly<Record<string, unknown>>
}

/** What the description says, and the claims that stand for attributes. */
function saidBy(
  description: CallerDescription,
  claims: Readonly<Record<string, unknown>>,
  mapping?: ClaimMapping,
): Said {
  const attributes: Attributes = {}
  for (const [name, member] of Object.entries(attributeNames) as [
    keyof Attributes,
    (typeof attributeNames)[keyof Attributes],
  ][]) {
    const path = name === 'subject' || name === 'email' || name === 'app' ? mapping?.[name] : undefined
    const claim = name === 'issuer' ? claims['iss'] : path === undefined ? undefined : claimAt(claims, path)
    const value = description[member] ?? (typeof claim === 'string' ? claim : null)
    if (value !== null) attributes[name] = value
  }
  const mapped = mapping === undefined ? undefined : claimAt(claims, mapping.groups)
  const groups = [mapped].flat().filter((each) => typeof each === 'string')
  return { attributes, groups, claims }
}

/** The first entry that holds for what is said, else the first of all. */
function fittingEntry(members: readonly Condition[], { attributes, claims }: Said): Condition {
  const fits = (entry: Condition): boolean =>
    (Object.keys(attributeNames) as (keyof Attributes)[]).every((name) => {
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
  if (entry === undefined) throw new Error('the team has no members')
  return entry
}

function attributesOf(entry: Condition): Attributes {
  const found: Attributes = {}
  for (const name of Object.keys(attributeNames) as (keyof Attributes)[]) {
    const [value] = first(entry[name])
    if (value !== undefined) found[name] = value
  }
  if (entry.delegated === true) found.actor ??= 'some-actor'
  return found
}

function first(values: ReadonlySet<string> | null): readonly string[] {
  return values === null ? [] : [...values].slice(0, 1)
}

/** What is said of a caller, as data; what the caller has not is absent. */
export function callerData({ subject, issuer, email, groups, app, actor, claims }: Principal) {
  return {
    subject,
    issuer,
    ...(email === null ? {} : { email }),
    groups,
    ...(app === null ? {} : { app }),
    ...(actor === null ? {} : { actor }),
    ...(Object.keys(claims).length === 0 ? {} : { claims }),
  }
}
