// Shape of a team's policy file: validator, type and reader. What its words mean is policy/compile.ts's business.

import { z } from 'zod'
import { duration, id, oneOrSeveral, rate, text, textAt, withoutTwins } from '../config/fields.ts'
import type { Rate } from '../config/units.ts'
import { readYaml, type PositionOf } from '../config/yaml-document.ts'
import type { Diagnostic } from '../config/diagnostics.ts'
import type { ConditionDocument } from './condition.ts'
import { organizationId, refusedFor } from './document-fields.ts'

/** A condition as written, each attribute a list; at least one attribute. */
export type MemberEntry = ConditionDocument

export interface GrantDocument {
  readonly id: string
  /** Permission names, operation ids or patterns of ids, as written; at least one. */
  readonly allow: readonly string[]
  readonly when: MemberEntry | null
  readonly mode: 'enforce' | 'shadow' | 'off'
}

/** Limits of a team, or of one app inside it. An absent limit is none. */
export interface LimitsDocument {
  readonly requests: Rate | null
  readonly writes: Rate | null
  readonly concurrent: number | null
  readonly sessions: Rate | null
  readonly acus: Rate | null
  readonly openSessions: number | null
}

export interface TeamDocument {
  readonly kind: 'team'
  readonly file: string
  readonly team: string
  readonly members: readonly MemberEntry[]
  readonly organizations: 'all' | readonly string[]
  readonly defaultOrganization: string | null
  readonly grants: readonly GrantDocument[]
  /** Longest lifetime of a stored answer for this team, milliseconds. */
  readonly cacheAtMostMs: number | null
  readonly limits: (LimitsDocument & { readonly apps: Readonly<Record<string, LimitsDocument>> }) | null
  readonly positionOf: PositionOf
}

export const conditionAttributes = ['groups', 'app', 'subject', 'email', 'issuer', 'claims'] as const

const condition = z
  .strictObject({
    groups: oneOrSeveral('group').optional().describe('Groups of the token; any of them matches.'),
    app: oneOrSeveral('app').optional().describe('Calling applications; any of them matches.'),
    subject: oneOrSeveral('subject').optional().describe('Subjects of the token; any of them matches.'),
    email: oneOrSeveral('e-mail address').optional().describe('E-mail addresses of the token; any of them matches.'),
    issuer: oneOrSeveral('issuer').optional().describe('Issuers of the token; any of them matches.'),
    claims: z
      .record(text(), oneOrSeveral('value').describe('Accepted values; any of them matches.'))
      .optional()
      .describe('Other claims of the token by name or dotted path; all of them must match.'),
  })
  .refine((entry) => conditionAttributes.some((name) => Object.keys(Object(entry[name])).length > 0), {
    error: `a condition must name at least one of ${conditionAttributes.join(', ')}: an empty one would match everybody`,
  })

const grant = z.strictObject({
  id: id().describe('Name of the grant, unique in the team; stands in every record of a decision it made.'),
  allow: z
    .array(text())
    .min(1, 'a grant must allow something: permission names or operation ids')
    .describe(
      'Devin permission names, operation ids of the catalogue, or patterns: `*` is one segment, a final `*` all that follow.',
    ),
  when: condition.optional().describe('Narrows the grant to callers for whom all attributes match.'),
  mode: z
    .enum(['enforce', 'shadow', 'off'])
    .default('enforce')
    .describe('`enforce`: applied; `shadow`: decided and logged, not applied; `off`: not looked at.'),
})

const count = (what: string) => z.int().min(1, `${what} must be at least 1`)

const limitFields = {
  requests: rate().optional().describe('Requests, like 600/min.'),
  writes: rate().optional().describe('Requests that change something, like 60/min.'),
  concurrent: count('concurrent').optional().describe('Requests under way at the same time.'),
  sessions: rate().optional().describe('Successful session creates, like 50/day.'),
  acus: rate().optional().describe('Cost budget in ACUs, like 500/month.'),
  open_sessions: count('open_sessions').optional().describe('Sessions that have not ended, at the same time.'),
}

const limits = z.strictObject({
  ...limitFields,
  apps: z
    .record(text(), z.strictObject(limitFields).describe('Limits of this app.'))
    .default({})
    .describe('Tighter limits for single apps of the team, by app.'),
})

/** Schema of `teams/*.yaml`. */
export const teamSchema = z
  .strictObject({
    team: id().describe('Name of the team, unique in the policies.'),
    members: z
      .array(condition)
      .min(1, 'a team needs at least one entry that makes a caller a member')
      .describe('Any entry that matches makes the caller a member; inside an entry all attributes must match.'),
    organizations: z
      .union([z.literal('all'), z.array(organizationId()).min(1, 'name at least one organization, or "all"')])
      .describe('The outer fence: ids of organizations, or `all`.'),
    default_organization: organizationId()
      .optional()
      .describe('The organization whose key answers /v3/self; the first one when absent.'),
    grants: withoutTwins(z.array(grant), 'grant', (member) => textAt(member, 'id'), 'id')
      .default([])
      .describe('What members may do. Grants only allow and only ever add; everything else is denied.'),
    cache: refusedFor(
      'cache',
      z.strictObject({ at_most: duration('0s', '1d').describe('Longest lifetime, like 30s; 0s for no cache.') }),
    )
      .optional()
      .describe('Shortens the lifetimes of stored answers for this team (not applied by this version).'),
    limits: refusedFor('limits', limits)
      .optional()
      .describe('Limits of the team; an absent limit is none (not enforced by this version).'),
  })
  .superRefine(
    ({ organizations, default_organization: chosen }, context) => {
      if (!Array.isArray(organizations) || typeof chosen !== 'string' || organizations.includes(chosen)) return
      context.addIssue({
        code: 'custom',
        message: `default_organization "${chosen}" is not among the team's organizations`,
        path: ['default_organization'],
      })
    },
    { when: ({ value }) => typeof value === 'object' && value !== null },
  )
  .describe('Policy of one team: who is a member, which organizations it may touch, what it may do there.')

/** Reads a team's file. */
export function readTeam(
  file: string,
  text: string,
): { document: TeamDocument | null; diagnostics: readonly Diagnostic[] } {
  const result = readYaml({ file, text, schema: teamSchema, holds: 'team, members, organizations and grants' })
  if (!result.ok) return { document: null, diagnostics: result.diagnostics }
  const { value, positionOf, diagnostics } = result
  return {
    diagnostics,
    document: {
      kind: 'team',
      file,
      team: value.team,
      members: value.members,
      organizations: value.organizations,
      defaultOrganization: value.default_organization ?? null,
      grants: value.grants.map((entry) => ({ ...entry, when: entry.when ?? null })),
      cacheAtMostMs: value.cache?.at_most ?? null,
      limits:
        value.limits === undefined ? null : { ...limitsOf(value.limits), apps: mapValues(value.limits.apps, limitsOf) },
      positionOf,
    },
  }
}

function limitsOf(written: z.output<z.ZodObject<typeof limitFields>>): LimitsDocument {
  return {
    requests: written.requests ?? null,
    writes: written.writes ?? null,
    concurrent: written.concurrent ?? null,
    sessions: written.sessions ?? null,
    acus: written.acus ?? null,
    openSessions: written.open_sessions ?? null,
  }
}

function mapValues<A, B>(record: Readonly<Record<string, A>>, change: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]))
}
