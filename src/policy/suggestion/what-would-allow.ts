// Which change of the policies would allow a request that was denied, and nothing beyond it. Each change is tried before it is shown. Pure but
// for the trial.

import { Refused, formatDiagnostic } from '../../config/diagnostics.ts'
import { YamlText } from '../../config/yaml/edit.ts'
import { comparePolicies } from '../comparison/compare.ts'
import { comparisonData } from '../comparison/report.ts'
import type { Evaluation } from '../decision/evaluate.ts'
import type { PolicySet, Team } from '../model/policy-set.ts'
import type { RecordedDecision } from '../replay/recorded-decision.ts'
import { redecide, replayOf, type Replay } from '../replay/replay.ts'
import { changedTexts, indexOfGrant, patchOf, type PolicyChange, type TextOf } from './changes.ts'

/** A change that was tried. */
export interface AllowingChange {
  readonly what: string
  readonly team: string
  readonly owner: string | null
  readonly contact: string | null
  readonly file: string
  readonly patch: string
  /** All that is gained, a sentence each. */
  readonly gains: readonly string[]
  readonly tests_passed: number
  readonly invariants: number
}

export interface AllowingChanges {
  readonly policy_revision: string
  readonly allowed_now: boolean
  readonly proposals: readonly AllowingChange[]
  readonly rejected: readonly { readonly what: string; readonly why: string }[]
  readonly why_none: string | null
}

export interface TriedPolicies {
  readonly policy: PolicySet
  readonly testsPassed: number
  readonly invariants: readonly unknown[]
}

export interface AllowingOptions {
  readonly policy: PolicySet
  readonly record: RecordedDecision
  readonly textOf: TextOf
  /** Names a file from where the patch is applied. */
  readonly nameOf: (file: string) => string
  /** Loads the set with changed files, runs its tests and checks its invariants. Rejects with `Refused`. */
  readonly load: (texts: ReadonlyMap<string, string>) => Promise<TriedPolicies>
}

/** Of a caller in many teams the first ones are tried. */
const mostTeams = 3

export async function whatWouldAllow(options: AllowingOptions): Promise<AllowingChanges> {
  const { policy, record } = options
  const none = (why: string | null, allowedNow = false): AllowingChanges => ({
    policy_revision: policy.revision,
    allowed_now: allowedNow,
    proposals: [],
    rejected: [],
    why_none: why,
  })
  if (record.effect === 'allow')
    return none(
      'The policies allowed it: where it was refused, the request itself, a limit, a budget or a key was the reason.',
      true,
    )
  const replay = replayOf(policy, record)
  if (typeof replay === 'string') return none(`No policy change helps: ${replay}.`)
  const { evaluation, missing } = redecide(policy, record, replay)
  const { decision, facts, key } = evaluation
  if (missing.length > 0) return none(`It cannot be said: the record does not hold ${missing.join(', ')}.`)
  if (decision.effect === 'allow')
    return key === null
      ? none(
          'The policies allow it, and no key suffices: add a key with the permission to keys.yaml, or the permission to a key.',
        )
      : none('The policies in force allow it: what refused it was no policy, or has changed since.', true)
  const advice = otherwise[decision.reason]
  if (advice !== undefined) return none(advice)
  if (decision.teams.length === 0)
    return none(
      'The caller is in no team: its owner adds an entry to `members` of a team, which gives the caller all that the team may do.',
    )
  const proposals: AllowingChange[] = []
  const rejected: { what: string; why: string }[] = []
  for (const team of decision.teams.slice(0, mostTeams))
    for (const { what, changes } of candidatesOf(team, facts, record, options.textOf)) {
      const tried = await tryChange(team, what, changes, replay, options)
      if (typeof tried === 'string') rejected.push({ what, why: tried })
      else proposals.push(tried)
    }
  const why =
    proposals.length > 0 ? null : 'No small change allows this and nothing else: ask the owner of the policies.'
  return { policy_revision: policy.revision, allowed_now: false, proposals, rejected, why_none: why }
}

/** Reasons that another grant does not take away, and what helps. */
const otherwise: Readonly<Record<string, string>> = {
  guardrail:
    'A guardrail bounds what is granted: send what it allows, as `detail` says, or ask its owner. A grant takes no bound away.',
  'groups-omitted':
    'The token does not list the groups of the caller: have the issuer send them, or fewer of them. No policy change helps.',
}

interface Candidate {
  readonly what: string
  readonly changes: readonly PolicyChange[]
}

/** For the caller alone, and for the whole team; the narrower one first. */
function candidatesOf(
  team: Team,
  facts: Evaluation['facts'],
  record: RecordedDecision,
  textOf: TextOf,
): readonly Candidate[] {
  const { file } = team.source
  const yaml = new YamlText(textOf(file))
  if (!Array.isArray(yaml.valueAt(['grants']))) return []
  const { operation, extra, organizations } = facts
  const outside = team.organizations === 'all' ? [] : organizations.filter((id) => !fenceOf(team).has(id))
  const words = [operation.id, ...extra.map(({ permission }) => permission)]
  const where = organizations.length === 0 ? '' : `, organizations: [${organizations.join(', ')}]`
  const fence = outside.length === 0 ? [] : widerFence(team, outside, yaml)
  const inWords = `${operation.id}${organizations.length === 0 ? '' : ` in ${organizations.join(', ')}`}`
  const grantOf = (ending: string, when: string): PolicyChange => ({
    what: inWords,
    file,
    lists: [
      {
        path: ['grants'],
        removes: [],
        adds: [
          `{ id: ${freeId(team, `allow-${operation.id.replaceAll('.', '-')}${ending}`)}, allow: [${words.join(', ')}]${where}${when} }`,
        ],
      },
    ],
  })
  const wider = outside.length === 0 ? '' : `, with ${outside.join(', ')} in its fence for this grant alone`
  const subject = record.subject ?? null
  return [
    ...(subject === null
      ? []
      : [
          {
            what: `allow ${inWords} for ${subject} in team ${team.id}${wider}`,
            changes: [...fence, grantOf('-one', `, when: { subject: [${JSON.stringify(subject)}] }`)],
          },
        ]),
    { what: `allow ${inWords} for every member of team ${team.id}${wider}`, changes: [...fence, grantOf('', '')] },
  ]
}

function fenceOf({ organizations }: Team): ReadonlySet<string> {
  return organizations === 'all' ? new Set() : organizations
}

/** The organizations in the fence, and every other grant held to those of before. */
function widerFence(team: Team, added: readonly string[], yaml: YamlText): readonly PolicyChange[] {
  const { file } = team.source
  const before = [...fenceOf(team)]
  const held = team.grants.flatMap((grant): PolicyChange[] =>
    grant.organizations !== null
      ? []
      : [
          {
            what: `grant ${grant.id} stays in ${before.join(', ')}`,
            file,
            member: {
              path: ['grants', indexOfGrant(yaml, grant)],
              behind: 'allow',
              name: 'organizations',
              text: `[${before.join(', ')}]`,
            },
          },
        ],
  )
  const isSaid = yaml.valueAt(['default_organization']) !== undefined
  return [
    { what: `organizations ${added.join(', ')}`, file, lists: [{ path: ['organizations'], removes: [], adds: added }] },
    ...held,
    ...(isSaid || team.defaultOrganization === null
      ? []
      : [
          {
            what: `${team.defaultOrganization} stays the default`,
            file,
            member: { path: [], behind: 'organizations', name: 'default_organization', text: team.defaultOrganization },
          },
        ]),
  ]
}

function freeId(team: Team, wanted: string): string {
  const taken = new Set(team.grants.map(({ id }) => id))
  let id = wanted
  for (let number = 2; taken.has(id); number += 1) id = `${wanted}-${number}`
  return id
}

/** The change as it is shown, or why it is none. */
async function tryChange(
  team: Team,
  what: string,
  changes: readonly PolicyChange[],
  replay: Replay,
  { policy, record, textOf, nameOf, load }: AllowingOptions,
): Promise<AllowingChange | string> {
  const loaded = await load(changedTexts(changes, textOf)).catch((error: unknown) => {
    if (!(error instanceof Refused)) throw error
    const [first] = error.diagnostics.filter(({ severity }) => severity === 'error')
    return `the changed set is refused: ${first === undefined ? 'for no reason that is known' : formatDiagnostic(first)}`
  })
  if (typeof loaded === 'string') return loaded
  const { evaluation, missing } = redecide(loaded.policy, record, replay)
  if (missing.length > 0) return `it cannot be tried: the record does not hold ${missing.join(', ')}`
  const { decision, key, facts } = evaluation
  if (decision.effect === 'deny') return `the request would still be denied: ${decision.detail ?? decision.reason}`
  if (key === null) return 'the request would be allowed, and no key of the inventory suffices for it'
  const { changes: differences } = comparisonData(
    comparePolicies({ policy, nameOf }, { policy: loaded.policy, nameOf }),
  )
  const wanted = new Set<string | null>(facts.organizations.length === 0 ? [null] : facts.organizations)
  const beyond = differences.find(
    (each) =>
      each.change !== 'gained' ||
      each.team !== team.id ||
      each.operation !== facts.operation.id ||
      !each.organizations.every((id) => wanted.has(id)),
  )
  if (beyond !== undefined)
    return `it would change more: ${beyond.change} of ${beyond.operation} by ${beyond.callers} of team ${beyond.team} in ${beyond.organizations.map((id) => id ?? 'no organization').join(', ')}`
  return {
    what,
    team: team.id,
    owner: team.owner?.owner ?? null,
    contact: team.owner?.contact ?? null,
    file: nameOf(team.source.file),
    patch: patchOf(changes, textOf, nameOf),
    gains: differences.map(
      ({ callers, operation, organizations, with: members = [] }) =>
        `${callers} of team ${team.id} gain ${operation}${members.length === 0 ? '' : ` with ${members.join(' and ')}`}${organizations[0] === null ? '' : ` in ${organizations.join(', ')}`}`,
    ),
    tests_passed: loaded.testsPassed,
    invariants: loaded.invariants.length,
  }
}
