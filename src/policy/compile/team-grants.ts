// A team with its grants by what they cover, and as it is at an instant. A list is made when it is first asked for, so that compiling a team, and leaving
// out what has ended, costs as much as it has grants, and not as much as they cover. Pure.

import { hasEnded } from '../model/ending.ts'
import type { Grant, Team } from '../model/policy-set.ts'
import type { Covered } from './allow.ts'

interface CoveringGrant {
  readonly grant: Grant
  /** What its words cover, one by one. */
  readonly covered: readonly Covered[]
}

/** A team without its lists of grants, and the grants that they are made of. */
export interface CompiledTeam {
  readonly team: Omit<Team, 'grants' | 'grantsOn' | 'grantsOf'>
  readonly grants: readonly CoveringGrant[]
}

/** The team with all that its file says. `operationCount`: operations of the catalogue. */
export function wholeTeam({ team, grants }: CompiledTeam, operationCount: number): Team {
  return { ...team, ...grantLists(grants, operationCount) }
}

/** The whole team as it is at an instant; the same object where nothing of it has ended. */
export function teamAt(whole: Team, { team, grants }: CompiledTeam, operationCount: number, nowMs: number): Team {
  const isOver = grants.some(({ grant }) => hasEnded(grant.ending, nowMs))
  const members = team.members.filter(({ ending }) => !hasEnded(ending, nowMs))
  if (!isOver && members.length === team.members.length) return whole
  if (!isOver) return { ...whole, members }
  const now = grants.map((each) =>
    hasEnded(each.grant.ending, nowMs) ? { ...each, grant: { ...each.grant, mode: 'ended' as const } } : each,
  )
  return { ...whole, members, ...grantLists(now, operationCount) }
}

const none: readonly Grant[] = []

function grantLists(
  grants: readonly CoveringGrant[],
  operationCount: number,
): Pick<Team, 'grants' | 'grantsOn' | 'grantsOf'> {
  const covering = (covers: (covered: Covered) => boolean): readonly Grant[] => {
    const found: Grant[] = []
    for (const { grant, covered } of grants) if (covered.some(covers)) found.push(grant)
    return found.length === 0 ? none : found.sort(warnLast)
  }
  // Of its full length from the beginning: V8 keeps arrays that are filled out of order as dictionaries.
  const onOperation = Array.from({ length: operationCount }, (): readonly Grant[] | null => null)
  const ofPermission = new Map<string, readonly Grant[]>()
  return {
    grants: grants.map(({ grant }) => grant),
    grantsOn: ({ index }) => (onOperation[index] ??= covering((covered) => covered.operations.includes(index))),
    grantsOf(permission) {
      const known = ofPermission.get(permission)
      if (known !== undefined) return known
      const found = covering(({ permissions }) => permissions.includes(permission))
      ofPermission.set(permission, found)
      return found
    },
  }
}

/** A grant in mode `warn` decides only where no other grant of the team does. */
function warnLast(a: Grant, b: Grant): number {
  return Number(a.mode === 'warn') - Number(b.mode === 'warn')
}
