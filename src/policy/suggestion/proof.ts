// Which changes hold: none denies what was allowed, breaks a policy test or an invariant; and no grant that is left can be dropped.

import { YamlText } from '../../config/yaml/edit.ts'
import type { Grant, PolicySet, Team } from '../model/policy-set.ts'
import { changedTexts, indexOfGrant, removedGrant, type PolicyChange, type TextOf } from './changes.ts'

/** How many recorded decisions the changed files deny; null where the set does not load, or a test or an invariant fails. */
export type Trial = (texts: ReadonlyMap<string, string>) => Promise<number | null>

export interface Proven {
  readonly changes: readonly PolicyChange[]
  /** Changes that were tried and would break something, in words. */
  readonly kept: readonly string[]
  /** The grants that are left. Each one of the team was tried and is needed; of all teams, was used or is needed by a test or an invariant. */
  readonly grants: readonly ProposedGrant[]
}

interface ProposedGrant {
  readonly team: string
  readonly id: string
  readonly allow: readonly string[]
  readonly organizations: readonly string[] | null
}

/** Tries the changes together, and one by one where they break something together. */
export async function provenChanges(
  policy: PolicySet,
  wanted: readonly PolicyChange[],
  team: Team | null,
  textOf: TextOf,
  trial: Trial,
): Promise<Proven> {
  const holds = async (changes: readonly PolicyChange[]): Promise<boolean> =>
    changes.length === 0 || (await trial(changedTexts(changes, textOf))) === 0
  let changes: readonly PolicyChange[] = wanted
  let left: readonly PolicyChange[] = []
  if (!(await holds(wanted))) {
    changes = []
    left = wanted
    // What did not hold may hold beside a later change: another key has become the smallest.
    for (let goesOn = true; goesOn;) {
      goesOn = false
      const refused: PolicyChange[] = []
      for (const change of left) {
        if (await holds([...changes, change])) {
          changes = [...changes, change]
          goesOn = refused.length > 0
        } else refused.push(change)
      }
      left = refused
    }
  }
  // Of grants that overlap one can do without the other.
  for (const grant of team?.grants ?? []) {
    const words = wordsLeft(grant, changes, textOf)
    if (grant.mode !== 'enforce' && grant.mode !== 'warn') continue
    if (words === null) continue
    const index = indexOfGrant(new YamlText(textOf(grant.source.file)), grant)
    const gone = removedGrant(grant, index)
    if (await holds([...changes, gone])) {
      changes = [...changes, gone]
      continue
    }
    for (const word of words.filter((each) => grant.allow.includes(each))) {
      if ((wordsLeft(grant, changes, textOf)?.length ?? 0) < 2) break
      const place = grant.allow.indexOf(word)
      const less: PolicyChange = {
        what: `grant ${grant.id} of team ${grant.team}: ${word}`,
        file: grant.source.file,
        lists: [{ path: ['grants', index, 'allow'], removes: [place], adds: [] }],
      }
      if (await holds([...changes, less])) changes = [...changes, less]
    }
  }
  const grants = (team === null ? policy.teams : [team]).flatMap((each) =>
    each.grants.flatMap((grant) => proposed(grant, changes, textOf)),
  )
  return { changes, kept: left.map(({ what }) => what), grants }
}

/** The words of a grant after the changes; null where it is gone. */
function wordsLeft(grant: Grant, changes: readonly PolicyChange[], textOf: TextOf): readonly string[] | null {
  const [found] = proposed(grant, changes, textOf)
  return found === undefined ? null : found.allow
}

function proposed(grant: Grant, changes: readonly PolicyChange[], textOf: TextOf): readonly ProposedGrant[] {
  const { file } = grant.source
  const yaml = new YamlText(changedTexts(changes, textOf).get(file) ?? textOf(file))
  const index = indexOfGrant(yaml, grant)
  if (index === -1) return []
  const texts = (name: string): readonly string[] | null => {
    const value = yaml.valueAt(['grants', index, name])
    return Array.isArray(value) ? value.map(String) : null
  }
  return [{ team: grant.team, id: grant.id, allow: texts('allow') ?? [], organizations: texts('organizations') }]
}
