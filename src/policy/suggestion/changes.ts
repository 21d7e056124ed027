// The changes that take away what was not used, each on its own: a list or a member of a policy file. Pure.

import { basename } from 'node:path'
import { edited, unifiedPatch, YamlText, type TextEdit } from '../../config/yaml/edit.ts'
import { compileAllow } from '../compile/allow.ts'
import type { Grant, PolicySet, Team } from '../model/policy-set.ts'
import type { PolicyUse } from './use.ts'

type Path = readonly (string | number)[]

/** One change of one file. Several of one list are put together. */
export interface PolicyChange {
  /** In words: `grant read-secrets of team payments`. */
  readonly what: string
  readonly file: string
  readonly lists?: readonly {
    readonly path: Path
    readonly removes: readonly number[]
    readonly adds: readonly string[]
  }[]
  readonly value?: { readonly path: Path; readonly text: string }
  readonly member?: { readonly path: Path; readonly behind: string; readonly name: string; readonly text: string }
}

/** The text of a file of the set, by the path of its source. */
export type TextOf = (file: string) => string

/** What `--team` proposes: every grant down to what was used through it. */
export function tightenedTeam(policy: PolicySet, team: Team, use: PolicyUse, textOf: TextOf): readonly PolicyChange[] {
  const { file } = team.source
  const yaml = new YamlText(textOf(file))
  const used = use.teams.get(team)
  if (used === undefined) return []
  const fence = fenceChange(team, used.organizations, used.isUnbounded, yaml)
  const allow = compileAllow(policy.catalogue)
  const grants = team.grants.flatMap((grant): PolicyChange[] => {
    if (grant.mode !== 'enforce' && grant.mode !== 'warn') return []
    const of = used.grants.get(grant)
    const index = indexOfGrant(yaml, grant)
    if (of === undefined) return [removedGrant(grant, index)]
    const rest = new Set(of.operations)
    const kept = grant.allow.flatMap((word, place) => {
      const { operations, permissions } = allow(word)
      const isNeeded = permissions.some((name) => of.extra.has(name))
      const isWhollyUsed = operations.length > 0 && operations.every((each) => of.operations.has(each))
      if (!isNeeded && !isWhollyUsed) return []
      for (const each of operations) rest.delete(each)
      return [place]
    })
    const adds = [...rest].map((each) => policy.catalogue.operations[each]?.id ?? '').sort()
    const removes = grant.allow.flatMap((_, place) => (kept.includes(place) ? [] : [place]))
    const words: PolicyChange[] =
      removes.length === 0
        ? []
        : [
            {
              what: `grant ${grant.id} of team ${team.id}: ${removes.map((place) => grant.allow[place]).join(', ')}${adds.length === 0 ? '' : `, in their place ${adds.join(', ')}`}`,
              file,
              lists: [{ path: ['grants', index, 'allow'], removes, adds }],
            },
          ]
    const reach = grant.organizations ?? used.organizations
    const isNarrower =
      !of.isUnbounded && of.organizations.size > 0 && [...reach].some((id) => !of.organizations.has(id))
    if (!isNarrower || used.isUnbounded) return words
    const list = [...of.organizations].sort()
    const narrowed: PolicyChange =
      grant.organizations === null
        ? {
            what: `grant ${grant.id} of team ${team.id}: only in ${list.join(', ')}`,
            file,
            member: { path: ['grants', index], behind: 'allow', name: 'organizations', text: `[${list.join(', ')}]` },
          }
        : {
            what: `grant ${grant.id} of team ${team.id}: only in ${list.join(', ')}`,
            file,
            lists: [
              {
                path: ['grants', index, 'organizations'],
                removes: [...grant.organizations].flatMap((id, place) => (of.organizations.has(id) ? [] : [place])),
                adds: [],
              },
            ],
          }
    return [...words, narrowed]
  })
  return [...fence, ...grants]
}

/** What `--unused` proposes for all teams and keys. */
export function withoutUnused(policy: PolicySet, use: PolicyUse, textOf: TextOf): readonly PolicyChange[] {
  const ofTeams = policy.teams.flatMap((team): PolicyChange[] => {
    const used = use.teams.get(team)
    if (used === undefined) return []
    const { file } = team.source
    const yaml = new YamlText(textOf(file))
    const grants = team.grants.flatMap((grant) =>
      (grant.mode === 'enforce' || grant.mode === 'warn') && !used.grants.has(grant)
        ? [removedGrant(grant, indexOfGrant(yaml, grant))]
        : [],
    )
    if (used.members.size === 0) return grants
    const members = team.members.flatMap((_, index): PolicyChange[] =>
      used.members.has(index)
        ? []
        : [
            {
              what: `entry ${index + 1} of the members of team ${team.id}`,
              file,
              lists: [{ path: ['members'], removes: [index], adds: [] }],
            },
          ],
    )
    const fence = team.organizations === 'all' ? [] : fenceChange(team, used.organizations, used.isUnbounded, yaml)
    return [...grants, ...members, ...fence]
  })
  // No record names what the gateway itself does.
  const rotation = policy.catalogue.operation('beta.ent.service-users.api-keys.create')
  const rotating = rotation === null ? null : policy.selectKey({ operation: rotation, organization: null, extra: [] })
  const ofKeys = [...new Set(policy.keys.map(({ source }) => source.file))].flatMap((file) => {
    const yaml = new YamlText(textOf(file))
    return policy.keys.flatMap((key): PolicyChange[] => {
      const index = key.source.file === file ? yaml.indexOf(['keys'], 'id', key.id) : -1
      const names = use.permissions.get(key.id)
      const ofRotation = key.id === rotating?.key.id ? rotating.through : null
      return index === -1
        ? []
        : [...key.permissions].flatMap((name, place): PolicyChange[] =>
            names?.has(name) === true || name === ofRotation
              ? []
              : [
                  {
                    what: `permission ${name} of key ${key.id}`,
                    file,
                    lists: [{ path: ['keys', index, 'permissions'], removes: [place], adds: [] }],
                  },
                ],
          )
    })
  })
  return [...ofTeams, ...ofKeys]
}

/** Takes a grant away. */
export function removedGrant(grant: Grant, index: number): PolicyChange {
  return {
    what: `grant ${grant.id} of team ${grant.team}`,
    file: grant.source.file,
    lists: [{ path: ['grants'], removes: [index], adds: [] }],
  }
}

/** Its place in the file: the set holds no grants in mode `off`. */
export function indexOfGrant(yaml: YamlText, grant: Grant): number {
  return yaml.indexOf(['grants'], 'id', grant.id)
}

function fenceChange(
  team: Team,
  touched: ReadonlySet<string>,
  isUnbounded: boolean,
  yaml: YamlText,
): readonly PolicyChange[] {
  const { file } = team.source
  if (isUnbounded || touched.size === 0) return []
  if (team.organizations === 'all') {
    const list = [...touched].sort()
    return [
      {
        what: `organizations of team ${team.id}: ${list.join(', ')} in place of all`,
        file,
        value: { path: ['organizations'], text: `[${list.join(', ')}]` },
      },
    ]
  }
  return [...team.organizations].flatMap((id, place): PolicyChange[] => {
    if (touched.has(id)) return []
    const ofGrants = team.grants.flatMap((grant) => {
      const at = [...(grant.organizations ?? [])].indexOf(id)
      return at === -1
        ? []
        : [{ path: ['grants', indexOfGrant(yaml, grant), 'organizations'], removes: [at], adds: [] }]
    })
    return [
      {
        what: `organization ${id} of team ${team.id}`,
        file,
        lists: [{ path: ['organizations'], removes: [place], adds: [] }, ...ofGrants],
      },
    ]
  })
}

/** The edits of one file that these changes make. */
function editsOf(changes: readonly PolicyChange[], text: string): readonly TextEdit[] {
  const yaml = new YamlText(text)
  const lists = new Map<string, { path: Path; removes: Set<number>; adds: string[] }>()
  for (const { path, removes, adds } of changes.flatMap((change) => change.lists ?? [])) {
    const key = JSON.stringify(path)
    const known = lists.get(key) ?? { path, removes: new Set<number>(), adds: [] }
    lists.set(key, known)
    for (const index of removes) known.removes.add(index)
    known.adds.push(...adds)
  }
  const goneGrants = lists.get('["grants"]')?.removes ?? new Set<number>()
  const isInside = (path: Path): boolean =>
    path[0] === 'grants' && typeof path[1] === 'number' && goneGrants.has(path[1])
  return [
    ...[...lists.values()].flatMap(({ path, removes, adds }) =>
      isInside(path) ? [] : yaml.changeList(path, (index) => !removes.has(index), adds),
    ),
    ...changes.flatMap(({ value, member }) => [
      ...(value === undefined ? [] : yaml.replaceValue(value.path, value.text)),
      ...(member === undefined || isInside(member.path)
        ? []
        : yaml.addMember(member.path, member.behind, member.name, member.text)),
    ]),
  ]
}

/** The files that these changes change, as they are after them. */
export function changedTexts(changes: readonly PolicyChange[], textOf: TextOf): ReadonlyMap<string, string> {
  const files = Map.groupBy(changes, ({ file }) => file)
  return new Map([...files].map(([file, of]) => [file, edited(textOf(file), editsOf(of, textOf(file)))]))
}

/** The changes as a patch. `nameOf` names a file from where the patch is applied. */
export function patchOf(changes: readonly PolicyChange[], textOf: TextOf, nameOf: (file: string) => string): string {
  const files = [...Map.groupBy(changes, ({ file }) => file)].toSorted(([a], [b]) =>
    basename(a) < basename(b) ? -1 : 1,
  )
  return files.map(([file, of]) => unifiedPatch(nameOf(file), textOf(file), editsOf(of, textOf(file)))).join('')
}
