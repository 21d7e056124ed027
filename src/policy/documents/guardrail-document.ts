// Shape of guardrails*.yaml: bounds on what is allowed. Validator, types and reader.

import { z } from 'zod'
import { id, most, oneOrSeveral, orNull, text, upTo, withoutTwins, type ReadonlyOutput } from '../../config/fields.ts'
import type { PositionOf } from '../../config/yaml/document.ts'
import { attributeNames } from '../guardrails/attributes.ts'
import {
  endingFields,
  endingOf,
  remarkFields,
  remarksOf,
  readDocument,
  type DocumentResult,
  oneOrListed,
} from './document-fields.ts'

/** Bounds on one field of a body or one parameter of a query; an absent bound is none. */
export type FieldRule = ReadonlyOutput<typeof fieldRule>

/** `line`: of its id. */
export type GuardrailDocument = ReadonlyOutput<typeof guardrail> & { readonly line: number }

/** What is taken out of answers before a caller sees them. */
export type ResponseRule = ReadonlyOutput<typeof response>

export interface GuardrailsDocument {
  readonly kind: 'guardrails'
  readonly file: string
  readonly guardrails: readonly GuardrailDocument[]
  readonly positionOf: PositionOf
}

const count = () => z.int().min(0, 'must be at least 0')
/** A text in which an attribute of the caller may stand, alone or inside. */
const named = `(${attributeNames.join('|')})`
const withAttributes = `^(principal\\.${named}|(?!principal\\.)([^$]|\\$(?!\\{)|\\$\\{${named}\\})*)$`
const constant = () => z.union([z.string().meta({ pattern: withAttributes }), z.number(), z.boolean(), z.null()])
const longestPattern = 1000
/** `*` for some characters, or a regular expression from ^ to $. */
const pattern = () => text().max(longestPattern, `a pattern is at most ${longestPattern} characters long`)
const dottedName = () =>
  z.string().regex(/^[^.]+(?:\.[^.]+)*$/, 'must be the name of a field, with dots between names: limits.max or repos.*')

const fieldRule = z
  .strictObject({
    default: z
      .unknown()
      .optional()
      .describe('Added when the field is absent. It may name attributes of the caller, as in `equals` and `add`.'),
    at_most: z.number().optional().describe('Largest number.'),
    at_least: z.number().optional().describe('Smallest number.'),
    equals: constant()
      .optional()
      .describe('The only value: a constant, or an attribute of the caller like principal.devin_user_id.'),
    one_of: z.array(constant()).min(1, 'name at least one value').optional().describe('The only values.'),
    each_matches: pattern()
      .optional()
      .describe('Every member of the list must be a text that matches this pattern, as in `matches`.'),
    matches: pattern()
      .optional()
      .describe(
        'The whole text must match: `*` stands for one or more characters, no line breaks or other controls among them, and with a slash no segment of the text is empty, `.` or `..`; from `^` to `$` it is a regular expression of RE2.',
      ),
    forbid: z.literal(true).optional().describe('The field must be absent; null is not.'),
    require: z.literal(true).optional().describe('The field must be present and not null.'),
    add: z
      .array(text().meta({ pattern: withAttributes }))
      .min(1, 'name at least one value')
      .optional()
      .describe(
        "Members that are added to the list if they are missing. ${team}, ${app}, ${subject}, ${email} and so on stand for the caller's attributes. A member whose attribute the caller lacks is left out.",
      ),
    reserve: z
      .array(text())
      .min(1, 'name at least one beginning')
      .optional()
      .describe(
        'Beginnings of texts that only the gateway may write. `team:` refuses every text that begins like this, in the list or as the value, except texts that `add` adds. `team:${team}` also accepts the own text of a caller.',
      ),
    max_items: count().optional().describe('Largest length of the list.'),
    max_length: count().optional().describe('Largest length of the text, in characters.'),
  })
  .refine((rule) => Object.values(rule).some((bound) => bound !== undefined), {
    error: 'a rule must set at least one bound',
  })
  .meta({ minProperties: 1 })

const subjects = (what: string) => z.union([z.literal('all'), oneOrSeveral(what)])

const exception = z
  .strictObject({
    teams: orNull(oneOrSeveral('team')).describe('Teams that it does not bind.'),
    apps: orNull(oneOrSeveral('app')).describe('Apps that it does not bind; with `teams`, only in these teams.'),
    ...endingFields('exception'),
  })
  .refine(({ teams, apps }) => teams !== null || apps !== null, {
    error: 'say whom the exception is for: teams or apps',
  })
  .transform(({ teams, apps, ...ending }) => ({ teams, apps, ending: endingOf(ending) }))

const response = z
  .strictObject({
    filter_items_by: orNull(z.enum(['organizations'])).describe(
      "Only what is of the caller's organizations passes: items of a list, or the one object.",
    ),
    fields: z
      .array(dottedName())
      .min(1, 'name at least one field')
      .optional()
      .describe('Fields that are dropped from each item, or from the object; `*` stands for every item of a list.'),
  })
  .refine(({ filter_items_by: by, fields }) => by !== null || fields !== undefined, {
    error: 'say what is filtered: filter_items_by or fields',
  })
  .meta({ minProperties: 1 })
  .transform(({ filter_items_by: filterItemsBy, fields = [] }) => ({ filterItemsBy, dropFields: fields }))

const guardrail = z
  .strictObject({
    id: id().describe('Name of the guardrail; stands in every refusal it makes.'),
    on: oneOrSeveral('operation', { isNeeded: true, words: 'operations' }).describe(
      'Operation ids of the catalogue, or patterns of them.',
    ),
    teams: subjects('team').prefault('all').describe('Teams it binds.'),
    apps: subjects('app').prefault('all').describe('Apps it binds.'),
    except: z
      .array(exception)
      .min(1, 'name at least one exception, or remove the key')
      .optional()
      .describe('Teams and apps that it does not bind, for a time.'),
    grants: orNull(z.enum(['named'])).describe(
      '`named`: only a grant that names the operation by its id counts, no pattern and no permission name.',
    ),
    body: z
      .record(dottedName(), fieldRule.describe('Bounds on this field.'))
      .default({})
      .describe('Bounds on fields of the JSON body, by dotted name; `*` stands for every item of a list or object.'),
    query: z
      .record(text(), fieldRule.describe('Bounds on this parameter.'))
      .default({})
      .describe('Bounds on parameters of the query.'),
    response: orNull(response).describe('What is taken out of answers.'),
    mode: z
      .enum(['enforce', 'warn', 'shadow', 'off'])
      .default('enforce')
      .describe(
        '`enforce`: applied; `warn`: not applied yet, and recorded as what would be denied; `shadow`: decided and recorded, not applied; `off`: not evaluated.',
      ),
    ...remarkFields('guardrail'),
  })
  .transform(({ owner, contact, description, except = [], ...rest }) => ({
    ...rest,
    except,
    remarks: remarksOf({ owner, contact, description }),
  }))

/** Schema of `guardrails*.yaml`. */
export const guardrailsSchema = z
  .strictObject({
    guardrails: withoutTwins(upTo(most.guardrails, 'guardrails', z.array(guardrail)), 'guardrail').describe(
      'Bounds on what is allowed, for everyone they name; all apply, the tightest wins.',
    ),
  })
  .describe('Guardrails: bounds on what grants allow.')

/** Reads a file of guardrails. */
export function readGuardrails(file: string, text: string): DocumentResult<GuardrailsDocument> {
  return readDocument(
    {
      file,
      text,
      schema: guardrailsSchema,
      holds: 'a list of guardrails',
      words: oneOrListed('guardrails', '*', 'on').map((at) => ({ at, kind: 'allow' as const })),
    },
    ({ guardrails: list }, positionOf) => {
      const lineOf = (index: number): number => positionOf(['guardrails', index, 'id']).line
      const guardrails = list.map((each, index) => ({ ...each, line: lineOf(index) }))
      return { kind: 'guardrails', file, guardrails, positionOf }
    },
  )
}
