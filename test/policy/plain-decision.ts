// A second, obvious policy evaluator: nested loops over the documents as they were written, one sentence of the rules at
// a time. Slow on purpose; compared with compile and evaluate on random policies and requests.

import { devinApi } from '../../src/catalogue/data.ts'
import type { Operation } from '../../src/catalogue/operation.ts'
import type { Principal } from '../../src/identity/principal.ts'
import type { GrantDocument, TeamDocument } from '../../src/policy/documents/document.ts'
import type { ConditionDocument } from '../../src/policy/model/condition.ts'
import { bodyOf } from '../support/policies.ts'

export interface Call {
  readonly principal: Principal
  readonly operation: Operation
  /** Path and query as sent. */
  readonly target: string
  /** Undefined for a request without a body. */
  readonly body?: unknown
}

export interface Verdict {
  readonly effect: 'allow' | 'deny'
  readonly reason: string
  /** The team that is charged; of a refusal the one that came nearest; null when the caller is in no team. */
  readonly team: string | null
  /** The grant that decided; null when none did. */
  readonly grant: string | null
  /** Grants in shadow mode that would have allowed the call, as `team/grant`. */
  readonly shadow: readonly string[]
}

/** Decides one call by reading all documents from top to bottom. */
export function plainDecision(documents: readonly TeamDocument[], call: Call): Verdict {
  const teams = documents
    .filter((team) => team.members.some((entry) => matches(entry, call.principal)))
    .sort((a, b) => (a.team < b.team ? -1 : 1))
  const [first] = teams
  if (first === undefined) return { effect: 'deny', reason: 'no-team', team: null, grant: null, shadow: [] }

  if (call.operation.id === 'self.get') {
    const team = teams.find((each) => insideFence(each, call))
    return team === undefined
      ? { effect: 'deny', reason: 'organization-not-granted', team: first.team, grant: null, shadow: [] }
      : { effect: 'allow', reason: 'member', team: team.team, grant: null, shadow: [] }
  }

  const shadow = teams.flatMap((team) =>
    team.grants
      .filter((grant) => isActive(grant, 'shadow', call) && covers(grant, call.operation))
      .filter((grant) => insideFence(reachOf(team, grant), call) && missingExtra(team, call) === null)
      .map((grant) => `${team.team}/${grant.id}`),
  )
  // A grant in mode warn counts, and behind the others of its team.
  const granting = teams.flatMap((team) =>
    ['enforce' as const, 'warn' as const].flatMap((mode) =>
      team.grants
        .filter((grant) => isActive(grant, mode, call) && covers(grant, call.operation))
        .map((grant) => ({ team, grant, fence: reachOf(team, grant) })),
    ),
  )
  const inside = granting.filter(({ fence }) => insideFence(fence, call))
  const allowing = inside.find(({ team }) => missingExtra(team, call) === null)
  if (allowing !== undefined)
    return { effect: 'allow', reason: 'granted', team: allowing.team.team, grant: allowing.grant.id, shadow }
  const deny = (reason: string, nearest: { team: TeamDocument; grant: GrantDocument | null }): Verdict => ({
    effect: 'deny',
    reason,
    team: nearest.team.team,
    grant: nearest.grant?.id ?? null,
    shadow,
  })
  if (inside[0] !== undefined) return deny('not-granted', inside[0])
  if (granting[0] !== undefined) return deny(fenceReason(granting[0].fence, call) ?? '', granting[0])
  return deny('not-granted', { team: first, grant: null })
}

/** Inside an entry all attributes must match; of an attribute any value. */
function matches(entry: ConditionDocument, principal: Principal): boolean {
  const { groups, app, subject, email, issuer, claims } = entry
  if (groups !== undefined && !groups.some((group) => principal.groups.includes(group))) return false
  if (app !== undefined && !app.some((name) => name === principal.app)) return false
  if (subject !== undefined && !subject.includes(principal.subject)) return false
  if (email !== undefined && !email.some((address) => address === principal.email)) return false
  if (issuer !== undefined && !issuer.includes(principal.issuer)) return false
  for (const [path, wanted] of Object.entries(claims ?? {})) {
    let value: unknown = principal.claims
    for (const name of path.split('.'))
      value = typeof value === 'object' && value !== null ? Reflect.get(value, name) : null
    const values: readonly unknown[] = Array.isArray(value) ? value : [value]
    const spelled = values
      .filter((each) => ['string', 'number', 'boolean'].includes(typeof each))
      .map((each) => (typeof each === 'string' ? each : JSON.stringify(each)))
    if (!spelled.some((each) => wanted.includes(each))) return false
  }
  return true
}

/** The team, fenced to what the grant reaches. */
function reachOf(team: TeamDocument, grant: GrantDocument): TeamDocument {
  return grant.organizations === null ? team : { ...team, organizations: grant.organizations }
}

function isActive(grant: GrantDocument, mode: 'enforce' | 'warn' | 'shadow', call: Call): boolean {
  return grant.mode === mode && (grant.when === null || matches(grant.when, call.principal))
}

function covers(grant: GrantDocument, operation: Operation): boolean {
  return grant.allow.some((word) => {
    if (word.includes('*')) return patternOf(word).test(operation.id)
    if (word === operation.id || word === operation.permission) return true
    return (
      operation.scope === 'organization' && operation.permission !== null && impliedBy(word) === operation.permission
    )
  })
}

/** `*` is one segment, a final `*` all that follow. */
function patternOf(word: string): RegExp {
  const parts = word.split('.').map((part, index, all) => {
    if (part !== '*') return part
    return index === all.length - 1 ? '.+' : '[^.]+'
  })
  return new RegExp(`^${parts.join('\\.')}$`)
}

/** The organization permission that an enterprise permission inherits to. */
function impliedBy(permission: string): string | null {
  return devinApi.permissions.find((entry) => entry.name === permission && entry.implies !== null)?.implies ?? null
}

function insideFence(team: TeamDocument, call: Call): boolean {
  return fenceReason(team, call) === null
}

/** Why the fence of the team does not let the call through; null when it does. */
function fenceReason(team: TeamDocument, call: Call): string | null {
  const { organizations } = team
  if (!isInside(team, call)) return 'organization-not-granted'
  if (organizations === 'all' || call.operation.scope !== 'enterprise') return null
  const documented = [...call.operation.parameters, ...exactNames, '']
  return rawNames(call, /[&;]/).every((name) => documented.includes(name)) ? null : 'undocumented-parameter'
}

function isInside(team: TeamDocument, call: Call): boolean {
  const { organizations } = team
  // Whoever reads it escaped and whoever reads it plainly would see two organizations.
  if (pathOrganization(call)?.includes('%') === true) return false
  if (organizationNamesInQuery(call).some(({ name, isPlain }) => !isPlain || !exactNames.includes(name))) return false
  if (organizations === 'all') return true
  const named = organizationsNamed(call)
  if (!named.every((organization) => organizations.includes(organization))) return false
  return call.operation.scope !== 'enterprise' || isNarrowed(call)
}

const exactNames: readonly string[] = ['org_id', 'org_ids']

/** The names of parameters that any server could read as an organization's, as they were sent. */
function organizationNamesInQuery({ target }: Call): readonly { name: string; isPlain: boolean }[] {
  const query = target.split('?')[1] ?? ''
  const plain = query.split('&')
  return [...plain, ...query.split(/[&;]/)]
    .map((pair) => ({ name: pair.split('=')[0] ?? '', isPlain: plain.includes(pair) }))
    .filter(({ name }) => {
      const letters = (decoded(name).split('[')[0] ?? '').toLowerCase().replaceAll(/[^a-z]/g, '')
      return ['orgid', 'orgids'].includes(letters)
    })
}

function rawNames({ target }: Call, separator: RegExp): readonly string[] {
  return (target.split('?')[1] ?? '').split(separator).map((pair) => pair.split('=')[0] ?? '')
}

function pathOrganization({ operation, target }: Call): string | null {
  const place = operation.template.split('/').indexOf('{org_id}')
  return place === -1 ? null : (target.split('?')[0]?.split('/')[place] ?? null)
}

/**
 * Every place where an organization id may stand. Servers differ in what separates parameters and in how they spell
 * lists, so every reading counts. A body counts when a rule has to look into it, and then wherever an id is usual.
 */
function organizationsNamed(call: Call): readonly string[] {
  const { operation, body } = call
  const inPath = pathOrganization(call)
  const inQuery = [...parameters(call, /&/), ...parameters(call, /[&;]/)].filter(({ name }) =>
    exactNames.includes(name),
  )
  const isRead = operation.conditional.length > 0 || operation.organizations.body.length > 0
  const places = isRead && body !== undefined ? [...operation.organizations.body, 'org_id', 'org_ids.*'] : []
  const inBody = places.flatMap((place) => bodyOf(body).valuesAt(place))
  return [
    ...(inPath === null ? [] : [inPath]),
    ...inQuery.map(({ value }) => value),
    ...inBody.filter((value) => value !== null).map((value) => (typeof value === 'string' ? value : '(none)')),
  ]
}

/**
 * Whether the upstream limits what it touches to the organizations that are named, whichever way it reads the query. A
 * documented `org_ids` does; `org_id` beside another id is only a hint that the upstream need not hold against it.
 */
function isNarrowed(call: Call): boolean {
  if (pathOrganization(call) !== null) return true
  if (!call.operation.organizations.query.includes('org_ids')) return false
  return [/&/, /[&;]/].every((separator) => parameters(call, separator).some(({ name }) => name === 'org_ids'))
}

function parameters({ target }: Call, separator: RegExp): readonly { name: string; value: string }[] {
  const query = target.split('?')[1]
  if (query === undefined) return []
  return query.split(separator).map((pair) => {
    const [name = '', ...value] = pair.split('=')
    return { name: decoded(name), value: decoded(value.join('=')) }
  })
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return text
  }
}

/** What the body asks for besides the operation's own permission, and no grant of the team holds. */
function missingExtra(team: TeamDocument, call: Call): string | null {
  const needed = call.operation.conditional.filter(({ field, when }) => {
    const values = call.body === undefined ? [] : bodyOf(call.body).valuesAt(field)
    const present = values.some((value) => value !== null)
    return when === 'present' ? present : !present
  })
  const missing = needed.find(
    ({ permission }) =>
      !team.grants.some(
        (grant) =>
          (isActive(grant, 'enforce', call) || isActive(grant, 'warn', call)) &&
          (grant.organizations === null || isInside(reachOf(team, grant), call)) &&
          grant.allow.some((word) => word === permission || impliedBy(word) === permission),
      ),
  )
  return missing?.permission ?? null
}
