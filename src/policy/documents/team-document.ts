// Shape of a team's policy file: validator, type and reader. What its words mean is found in compile/.

import { z } from 'zod'
import {
  duration,
  id,
  most,
  namesUpTo,
  orNull,
  text,
  upTo,
  withoutTwins,
  word,
  type ReadonlyOutput,
} from '../../config/fields.ts'
import { callerCondition } from '../../config/values/caller-condition.ts'
import type { PositionOf } from '../../config/yaml/document.ts'
import { didYouMean, fewHints } from '../../config/nearest.ts'
import { quoted } from '../../config/units.ts'
import { memberEntry, type MemberEntry } from './condition-document.ts'
import {
  endingFields,
  endingOf,
  organizationId,
  remarkFields,
  remarksOf,
  mapValues,
  readDocument,
  type DocumentResult,
} from './document-fields.ts'
import { attempts, count, limitFields, limitsMode, limitsOf, timeZone } from './limit-fields.ts'
import type { Remarks } from '../model/remarks.ts'

/** Organizations are null for all of the team. */
export type GrantDocument = ReadonlyOutput<typeof grant> & {
  /** Of its id. */
  readonly line: number
}

export type TeamLimitsDocument = ReturnType<typeof teamLimitsOf>

export interface TeamDocument {
  readonly kind: 'team'
  readonly file: string
  /** Of its name. */
  readonly line: number
  readonly team: string
  readonly remarks: Remarks
  readonly members: readonly MemberEntry[]
  readonly organizations: 'all' | readonly string[]
  readonly defaultOrganization: string | null
  readonly grants: readonly GrantDocument[]
  /** Longest lifetime of a stored answer for this team, milliseconds. */
  readonly cacheAtMostMs: number | null
  readonly limits: TeamLimitsDocument | null
  readonly positionOf: PositionOf
}

const grant = z
  .strictObject({
    id: id().describe('Name of the grant, unique in the team; stands in every record of a decision it made.'),
    allow: upTo(most.words, 'words', z.array(word('allowed')))
      .min(1, 'a grant must allow something: permission names or operation ids')
      .describe(
        'Devin permission names, operation ids of the catalogue, or patterns: `*` is one segment, a final `*` all that follow.',
      ),
    when: orNull(callerCondition).describe('Narrows the grant to callers for whom all attributes match.'),
    organizations: orNull(
      upTo(
        most.organizations,
        'organizations',
        z.array(organizationId(), {
          error: ({ input }) =>
            input === 'all' ? "leave it out: without organizations a grant reaches all of the team's" : undefined,
        }),
      ).min(1, "name at least one organization, or leave it out for all of the team's"),
    ).describe("Narrows the grant to some of the team's organizations; absent: all of them."),
    mode: z
      .enum(['enforce', 'warn', 'shadow', 'off'])
      .default('enforce')
      .describe(
        '`enforce`: applied; `warn`: applied, and recorded as what would be denied without it; `shadow`: decided and recorded, not applied; `off`: not evaluated.',
      ),
    ...endingFields('grant'),
    ...remarkFields('grant'),
  })
  .transform(({ owner, contact, description, until, reason, ...rest }) => ({
    ...rest,
    remarks: remarksOf({ owner, contact, description }),
    ending: endingOf({ until, reason }),
  }))

const limits = z.strictObject({
  ...limitFields,
  attempts: attempts(),
  apps: namesUpTo(most.limited, 'apps', z.record(text(), z.strictObject(limitFields).describe('Limits of this app.')))
    .default({})
    .describe('Tighter limits for single apps of the team, by app.'),
  per_principal: z
    .strictObject(limitFields)
    .optional()
    .describe('Limits that every caller of the team has for itself.'),
  operations: namesUpTo(
    most.limited,
    'groups of operations',
    z.record(word('allowed'), z.strictObject(limitFields).describe('Limits of this group of operations.')),
  )
    .default({})
    .describe('Limits of groups of operations, by operation id, pattern or permission.'),
  cached: z
    .enum(['count', 'free'])
    .default('count')
    .describe('`count`: an answer from the cache counts as any other; `free`: only what asks the Devin API counts.'),
  priority: z
    .enum(['high', 'normal', 'low'])
    .default('normal')
    .describe(
      'Who makes room for whom while the Devin API has a key rest (429), and who is refused first while the gateway is overloaded: teams that make more than their share of the load, then lower priorities.',
    ),
  weight: count('weight')
    .max(100, 'weight must be at most 100')
    .optional()
    .describe('Share of the line before the Devin API beside other teams; 4 for `high`, 2 for `normal`, 1 for `low`.'),
  mode: limitsMode(),
  time_zone: timeZone(),
})

interface NamedOrganizations {
  readonly organizations?: unknown
  readonly default_organization?: unknown
  readonly grants?: unknown
}

/** The default organization and those of grants lie inside the fence; checked even when other members are wrong. */
function checkOrganizations(written: NamedOrganizations, context: z.core.$RefinementCtx): void {
  const { organizations: fence, default_organization: chosen, grants } = written
  if (!Array.isArray(fence)) return
  const known = new Set(fence.filter((each) => typeof each === 'string'))
  const hint = fewHints()
  const refuse = (message: string, path: (string | number)[]): void =>
    context.addIssue({ code: 'custom', message, path })
  if (typeof chosen === 'string' && !known.has(chosen))
    refuse(`default_organization "${chosen}" is not among the team's organizations${didYouMean(chosen, known)}`, [
      'default_organization',
    ])
  for (const [index, entry] of (Array.isArray(grants) ? grants : []).entries()) {
    const narrowed: unknown = typeof entry === 'object' && entry !== null ? Reflect.get(entry, 'organizations') : null
    for (const [place, id] of (Array.isArray(narrowed) ? narrowed : []).entries()) {
      if (typeof id !== 'string' || known.has(id)) continue
      const message = `organization ${quoted(id)} is not among the team's organizations, and a grant cannot reach beyond them${hint(id, known)}`
      refuse(message, ['grants', index, 'organizations', place])
    }
  }
}

/** Schema of `teams/*.yaml`. */
export const teamSchema = z
  .strictObject({
    team: id().describe('Name of the team, unique in the policies.'),
    members: upTo(most.entries, 'entries', z.array(memberEntry))
      .min(1, 'a team needs at least one entry that makes a caller a member')
      .describe('Any entry that matches makes the caller a member; inside an entry all attributes must match.'),
    organizations: z
      .union([
        z.literal('all'),
        upTo(most.organizations, 'organizations', z.array(organizationId())).min(
          1,
          'name at least one organization, or "all"',
        ),
      ])
      .describe('The outer fence: ids of organizations, or `all`.'),
    default_organization: organizationId()
      .optional()
      .describe('The organization whose key answers /v3/self; the first one when absent.'),
    grants: withoutTwins(upTo(most.grants, 'grants', z.array(grant)), 'grant')
      .default([])
      .describe('What members may do. Grants only allow and only ever add; everything else is denied.'),
    cache: z
      .strictObject({ at_most: duration('0s', '1d').describe('Longest lifetime, like 30s; 0s for no cache.') })
      .optional()
      .describe('Shortens the lifetimes of stored answers for this team.'),
    limits: limits
      .optional()
      .describe('Limits of the team. All of them apply together. An absent limit does not exist.'),
    ...remarkFields('team'),
  })
  .superRefine(checkOrganizations, { when: ({ value }) => typeof value === 'object' && value !== null })
  .describe('Policy of one team: who is a member, which organizations it may touch, what it may do there.')

/** Reads a team's file. */
export function readTeam(file: string, text: string): DocumentResult<TeamDocument> {
  return readDocument(
    {
      file,
      text,
      schema: teamSchema,
      holds: 'team, members, organizations and grants',
      noVariables: 'write the value itself',
      words: [{ at: ['grants', '*', 'allow', '*'], kind: 'allow' }],
    },
    (value, positionOf) => ({
      kind: 'team',
      file,
      line: positionOf(['team']).line,
      team: value.team,
      remarks: remarksOf(value),
      members: value.members,
      organizations: value.organizations,
      defaultOrganization: value.default_organization ?? null,
      grants: value.grants.map((each, index) => ({ ...each, line: positionOf(['grants', index, 'id']).line })),
      cacheAtMostMs: value.cache?.at_most ?? null,
      limits: value.limits === undefined ? null : teamLimitsOf(value.limits),
      positionOf,
    }),
  )
}

/** An absent weight is the default of the priority, absent attempts are the default of the gateway. */
function teamLimitsOf(written: z.output<typeof limits>) {
  return {
    ...limitsOf(written),
    apps: mapValues(written.apps, limitsOf),
    attempts: written.attempts ?? null,
    perPrincipal: written.per_principal === undefined ? null : limitsOf(written.per_principal),
    operations: mapValues(written.operations, limitsOf),
    cached: written.cached,
    priority: written.priority,
    weight: written.weight ?? null,
    mode: written.mode,
    timeZone: written.time_zone,
  }
}
