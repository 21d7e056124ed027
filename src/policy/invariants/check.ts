// Checks that a policy set keeps its invariants: over every team, class of callers, operation and organization. Pure.

import { basename } from 'node:path'
import { byGrant } from '../model/remarks.ts'
import type { Diagnostic } from '../../config/diagnostics.ts'
import { askedOperation, organizationPlace } from '../cells/requests.ts'
import type { Right } from '../cells/right.ts'
import { walkCells, type Cells } from '../cells/walk.ts'
import type { PolicySet, Team } from '../model/policy-set.ts'
import { speaksOfCaller, speaksOfOrganization, type Invariant } from './invariant.ts'

/** The first request that breaks an invariant, and how many kinds of requests do. */
interface Breach {
  readonly text: string
  readonly hint: string
  count: number
}

/** One error for each invariant that is broken, at its place, with a request that breaks it. */
export function brokenInvariants(policy: PolicySet, invariants: readonly Invariant[]): readonly Diagnostic[] {
  if (invariants.length === 0) return []
  const breaches = new Map<Invariant, Breach>()
  const spoken = new Set<Invariant>()
  const { undecided } = walkCells(
    [policy],
    (cells) => {
      for (const invariant of invariants) {
        const broken = breachOf(invariant, cells, () => spoken.add(invariant))
        if (broken.length === 0) continue
        const count = broken.length * cells.callers.length
        const known = breaches.get(invariant)
        if (known === undefined)
          breaches.set(invariant, {
            text: breachText(invariant, cells, broken[0] ?? null),
            hint: neverHolds(invariant, cells),
            count,
          })
        else known.count += count
      }
    },
    {
      conditions: invariants.flatMap(({ callers }) => [callers?.only ?? [], callers?.except ?? []].flat()),
      organizations: invariants.flatMap(({ organizations }) =>
        typeof organizations === 'string' ? [] : [...organizations.named],
      ),
      concerns: (team, operation) =>
        invariants.some(
          ({ teams, operations, conditional }) =>
            teams.has(team) && (operations.has(operation.index) || conditional.has(operation.index)),
        ),
    },
  )
  const broken = [...breaches].map(([{ id, source, column }, { text, hint, count }]): Diagnostic => {
    const more = count === 1 ? '' : ` (and ${count - 1} more such cases)`
    return { ...source, column, severity: 'error', message: `invariant "${id}" is broken: ${text}${more}${hint}` }
  })
  // What must always be possible and is about no request would hold whatever the policies say.
  const silent = invariants.filter((each) => each.kind === 'always' && !spoken.has(each) && undecided === 0)
  for (const { id, source, column } of silent)
    broken.push({ ...source, column, severity: 'error', message: `invariant "${id}" says nothing: ${silence}` })
  const [first] = invariants
  if (undecided === 0 || first === undefined) return broken
  const message =
    'the invariants cannot be checked: a team tells apart more classes of callers than can be listed. Use fewer groups in its conditions'
  return [...broken, { ...first.source, column: first.column, severity: 'error', message }]
}

const silence =
  'no request of its teams is meant. List the organizations that it is about, or give the team a default_organization'

/** The organizations for which the cells break the invariant. `onSpoken`: told where it is about the cells at all. */
function breachOf(invariant: Invariant, cells: Cells, onSpoken: () => void): readonly (string | null)[] {
  const { team, callers, request, organizations } = cells
  const [right] = cells.rights
  const found = cells.views[0]?.team
  if (right === undefined || found === undefined || found === null) return []
  if (!invariant.teams.has(team) || !speaksOf(invariant, cells)) return []
  if (!speaksOfCaller(invariant, callers[0].principal)) return []
  // Another member of the body asks for more than the operation itself.
  if (invariant.kind === 'always' && request.members.length > 0) return []
  const isMet = invariant.kind === 'always' ? mayNow(invariant, right) : !mightEver(invariant, right)
  // Most of what must never be is not, and is not looked at further.
  if (isMet && invariant.kind === 'never') return []
  const about = organizations.filter((organization) => concerns(invariant, cells, found, right, organization))
  if (about.length > 0) onSpoken()
  return isMet ? [] : about
}

function speaksOf({ operations, conditional, permissions }: Invariant, { request }: Cells): boolean {
  const { operation, members } = request
  return (
    operations.has(operation.index) ||
    (conditional.has(operation.index) &&
      operation.conditional.some(({ field, permission }) => members.includes(field) && permissions.has(permission)))
  )
}

/** What must always be possible needs its key as well. */
function mayNow(invariant: Invariant, right: Right): boolean {
  return right.effect === 'allow' && usesSuchKey(invariant, right)
}

/** What must never happen is refused when it is granted: the key that is missing today may be there tomorrow. */
function mightEver(invariant: Invariant, right: Right): boolean {
  if (invariant.key !== null) return mayNow(invariant, right)
  return right.effect === 'allow' || right.reason === 'key-unavailable'
}

function usesSuchKey({ key: wanted }: Invariant, { key }: Right): boolean {
  if (wanted === null) return true
  if (key === null) return false
  const { scope, permissions } = key.key
  return (
    (wanted.scope === null || wanted.scope === scope) &&
    (wanted.permissions === null || [...wanted.permissions].some((name) => permissions.has(name)))
  )
}

function concerns(
  invariant: Invariant,
  { request: { operation } }: Cells,
  team: Team,
  { filter }: Right,
  organization: string | null,
): boolean {
  const { organizations, kind } = invariant
  if (organizations === 'any') return true
  if (organization !== null) return speaksOfOrganization(invariant, operation, team, organization)
  if (kind === 'always') return organizationPlace(operation) === 'none' && organizations === 'own'
  if (operation.scope !== 'enterprise') return false
  // It reaches every organization, unless its answer is filtered.
  const shown = filter?.organizations ?? 'all'
  return shown === 'all' || shown.some((id) => speaksOfOrganization(invariant, operation, team, id))
}

/** Why no change of the policies could keep the invariant; empty where one could. */
function neverHolds({ kind, key }: Invariant, { request, rights }: Cells): string {
  const [right] = rights
  const scope = key?.scope ?? null
  if (kind === 'never')
    return right?.effect === 'allow' && right.grant === null
      ? '. Every member of a team may do that, so the invariant can never hold'
      : ''
  if (right?.reason === 'organization-not-granted')
    return '. No grant reaches an organization outside of the team: add it to the team, or the invariant can never hold'
  return scope !== null && scope !== request.operation.scope && request.operation.scope === 'enterprise'
    ? '. Operations at enterprise scope take enterprise keys alone, so the invariant can never hold'
    : ''
}

function breachText(
  { kind }: Invariant,
  { team, callers, request, rights }: Cells,
  organization: string | null,
): string {
  const [right] = rights
  const { operation, address, bodyText } = request
  const where = organization === null ? '' : ` in ${organization}`
  const what = `${askedOperation(request)}${where}`
  // All organizations of the cells are alike; the request names the first of them.
  const shown = organization === null ? address : address.replace(request.organization ?? '', organization)
  const example = `${operation.method} ${shown}${bodyText === null ? '' : ` ${bodyText}`}`
  const who = `a member of ${team} with ${callers[0].text}`
  if (kind === 'always' && right?.effect === 'deny') return `${who} may not do ${what} (${right.reason}): ${example}`
  const grant = right?.grant ?? null
  const by = byGrant(grant, basename)
  const key =
    right?.key == null ? ', for which there is no key yet' : `, with key ${right.key.key.id} (${right.key.key.scope})`
  const may = kind === 'always' ? 'does' : 'may do'
  return `${who} ${may} ${what}, ${by}${key}: ${example}`
}
