// Shape of conditions on who is calling: of `when`, of entries of `members`, of invariants. Validators and types.

import { z } from 'zod'
import { claimPath, claimValues, oneOrSeveral } from '../../config/fields.ts'
import type { ConditionDocument } from '../model/condition.ts'
import type { RightEnding } from '../model/ending.ts'
import { endingFields } from './document-fields.ts'

/** An entry of members as written: at least one attribute, each a list. */
export interface MemberEntry extends ConditionDocument {
  readonly ending: RightEnding
}

const conditionAttributes = ['groups', 'app', 'subject', 'email', 'issuer', 'actor', 'delegated', 'claims'] as const

const conditionFields = {
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

interface WrittenCondition {
  readonly [attribute: string]: unknown
  readonly claims?: object | undefined
  readonly actor?: unknown
  readonly delegated?: boolean | undefined
}

/** The attributes that a condition names; claims one by one. */
function attributesOf({ claims, until: _until, reason: _reason, ...others }: WrittenCondition): readonly string[] {
  return Object.keys({ ...others, ...claims })
}

const emptyCondition = `a condition must name at least one of ${conditionAttributes.join(', ')}: an empty one would match everybody`
const neverActor = 'with `delegated: false` no actor can match: remove one of the two'
const canHaveActor = ({ actor, delegated }: WrittenCondition): boolean => actor === undefined || delegated !== false

/** A condition on who is calling. */
export const callerCondition = z
  .strictObject(conditionFields)
  .refine((written) => attributesOf(written).length > 0, { error: emptyCondition })
  .meta({ minProperties: 1 })
  .refine(canHaveActor, { error: neverActor })

/** Whom an invariant speaks of: those for whom all attributes match, but not those for whom all of `except` match. */
export const callerSelection = z
  .strictObject({
    ...conditionFields,
    except: callerCondition.optional().describe('All callers but those for whom all of these attributes match.'),
  })
  .refine((written) => attributesOf(written).length > 0, { error: emptyCondition })
  .meta({ minProperties: 1 })
  .refine(canHaveActor, { error: neverActor })

/** An entry of `members`. */
export const memberEntry = z
  .strictObject({ ...conditionFields, ...endingFields('entry') })
  .refine((written) => attributesOf(written).length > 0, { error: emptyCondition })
  .meta({ minProperties: 1 })
  .refine(canHaveActor, { error: neverActor })
  .refine((written) => attributesOf(written).some((name) => name !== 'delegated') || written.delegated === undefined, {
    error: 'an entry of members must name more than `delegated`: alone it would match everybody',
  })
