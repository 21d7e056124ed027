// Shape of guardrails*.yaml: bounds on what is allowed. Validator, types and reader.

import { z } from 'zod'
import type { Diagnostic } from '../config/diagnostics.ts'
import { id, oneOrSeveral, text, textAt, withoutTwins } from '../config/fields.ts'
import { readYaml, type PositionOf } from '../config/yaml-document.ts'
import { refusedFor } from './document-fields.ts'

/** Bounds on one field of a body or one parameter of a query; an absent bound is none. */
export type FieldRule = z.output<typeof fieldRule>

export interface GuardrailDocument {
  readonly id: string
  /** Operation ids or patterns. */
  readonly on: readonly string[]
  readonly teams: 'all' | readonly string[]
  readonly apps: 'all' | readonly string[]
  /** By dotted field name. */
  readonly body: Readonly<Record<string, FieldRule>>
  /** By parameter name. */
  readonly query: Readonly<Record<string, FieldRule>>
  readonly response: { readonly filterItemsBy: 'organizations' | null; readonly dropFields: readonly string[] } | null
  readonly mode: 'enforce' | 'shadow' | 'off'
}

export interface GuardrailsDocument {
  readonly kind: 'guardrails'
  readonly file: string
  readonly guardrails: readonly GuardrailDocument[]
  readonly positionOf: PositionOf
}

const count = () => z.int().min(0, 'must be at least 0')
const constant = () => z.union([z.string(), z.number(), z.boolean()])

const fieldRule = z
  .strictObject({
    default: z.unknown().optional().describe('Put in when the field is absent.'),
    at_most: z.number().optional().describe('Largest number.'),
    at_least: z.number().optional().describe('Smallest number.'),
    equals: constant()
      .optional()
      .describe('The only value: a constant, or an attribute of the caller like principal.devin_user_id.'),
    one_of: z.array(constant()).min(1, 'name at least one value').optional().describe('The only values.'),
    each_matches: text()
      .optional()
      .describe('Every member of the list must match this pattern; `*` stands for any characters.'),
    matches: text().optional().describe('The text must match this pattern; `*` stands for any characters.'),
    forbid: z.literal(true).optional().describe('The field must be absent.'),
    require: z.literal(true).optional().describe('The field must be present.'),
    add: z
      .array(text())
      .min(1, 'name at least one value')
      .optional()
      .describe("Members that are added to the list; ${team} and ${app} stand for the caller's."),
    max_items: count().optional().describe('Largest length of the list.'),
    max_length: count().optional().describe('Largest length of the text, in characters.'),
  })
  .refine((rule) => Object.values(rule).some((bound) => bound !== undefined), {
    error: 'a rule must set at least one bound',
  })

const subjects = (what: string) => z.union([z.literal('all'), oneOrSeveral(what)])

const guardrail = z.strictObject({
  id: id().describe('Name of the guardrail; stands in every refusal it makes.'),
  on: oneOrSeveral('operation').describe('Operation ids of the catalogue, or patterns of them.'),
  teams: subjects('team').prefault('all').describe('Teams it binds.'),
  apps: subjects('app').prefault('all').describe('Apps it binds.'),
  body: z
    .record(text(), fieldRule.describe('Bounds on this field.'))
    .default({})
    .describe('Bounds on fields of the JSON body, by dotted name.'),
  query: z
    .record(text(), fieldRule.describe('Bounds on this parameter.'))
    .default({})
    .describe('Bounds on parameters of the query.'),
  response: z
    .strictObject({
      filter_items_by: z
        .enum(['organizations'])
        .optional()
        .describe("Keep only the items of the caller's organizations."),
      fields: z.array(text()).optional().describe('Fields that are dropped from the answer.'),
    })
    .optional()
    .describe('What is taken out of answers.'),
  mode: z
    .enum(['enforce', 'shadow', 'off'])
    .default('enforce')
    .describe('`enforce`: applied; `shadow`: decided and logged, not applied; `off`: not looked at.'),
})

/** Schema of `guardrails*.yaml`. */
export const guardrailsSchema = z
  .strictObject({
    guardrails: refusedFor(
      'guardrails',
      withoutTwins(z.array(guardrail), 'guardrail', (member) => textAt(member, 'id'), 'id'),
    ).describe(
      'Bounds on what is allowed, for everyone they name; all apply, the tightest wins (not enforced by this version).',
    ),
  })
  .describe('Guardrails: bounds on what grants allow.')

/** Reads a file of guardrails. */
export function readGuardrails(
  file: string,
  text: string,
): { document: GuardrailsDocument | null; diagnostics: readonly Diagnostic[] } {
  const result = readYaml({ file, text, schema: guardrailsSchema, holds: 'a list of guardrails' })
  if (!result.ok) return { document: null, diagnostics: result.diagnostics }
  const guardrails = result.value.guardrails.map((written): GuardrailDocument => {
    const { response } = written
    return {
      ...written,
      response:
        response === undefined
          ? null
          : { filterItemsBy: response.filter_items_by ?? null, dropFields: response.fields ?? [] },
    }
  })
  return {
    document: { kind: 'guardrails', file, guardrails, positionOf: result.positionOf },
    diagnostics: result.diagnostics,
  }
}
