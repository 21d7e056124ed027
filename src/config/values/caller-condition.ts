// Schema of a condition on who is calling, wherever one is written: members, `when`, invariants, roles of operators.

import { z } from 'zod'
import { claimPath, claimValues, oneOrSeveral } from '../fields.ts'

const conditionAttributes = ['groups', 'app', 'subject', 'email', 'issuer', 'actor', 'delegated', 'claims'] as const

export const conditionFields = {
  groups: oneOrSeveral('group').optional().describe('Groups of the token; any of them matches.'),
  app: oneOrSeveral('app').optional().describe('Calling applications; any of them matches.'),
  subject: oneOrSeveral('subject').optional().describe('Subjects of the token; any of them matches.'),
  email: oneOrSeveral('e-mail address').optional().describe('E-mail addresses of the token; any of them matches.'),
  issuer: oneOrSeveral('issuer').optional().describe('Issuers of the token; any of them matches.'),
  actor: oneOrSeveral('actor')
    .optional()
    .describe('Who acts for the subject (`act.sub` of the token, RFC 8693); any of them matches.'),
  delegated: z
    .boolean()
    .optional()
    .describe('`true`: only where somebody acts for the subject; `false`: only where the subject acts itself.'),
  claims: z
    .record(claimPath(), claimValues().describe('Accepted values; any of them matches.'))
    .optional()
    .describe(
      'Other claims of the token by name or dotted path; all of them must match. `\\.` is a dot inside a name: `kubernetes\\.io.namespace`.',
    ),
}

export interface WrittenCondition {
  readonly [attribute: string]: unknown
  readonly claims?: object | undefined
  readonly actor?: unknown
  readonly delegated?: boolean | undefined
}

/** The attributes that a condition names; claims one by one. */
export function attributesOf({
  claims,
  until: _until,
  reason: _reason,
  ...others
}: WrittenCondition): readonly string[] {
  return Object.keys({ ...others, ...claims })
}

export const emptyCondition = `a condition must name at least one of ${conditionAttributes.join(', ')}: an empty one would match everybody`
export const neverActor = 'with `delegated: false` no actor can match: remove one of the two'
export const canHaveActor = ({ actor, delegated }: WrittenCondition): boolean =>
  actor === undefined || delegated !== false

/** A condition on who is calling. */
export const callerCondition = z
  .strictObject(conditionFields)
  .refine((written) => attributesOf(written).length > 0, { error: emptyCondition })
  .meta({ minProperties: 1 })
  .refine(canHaveActor, { error: neverActor })
