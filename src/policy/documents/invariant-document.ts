// Shape of invariants.yaml: rules about the whole policy set. Validator, types and reader.

import { z } from 'zod'
import { id, oneKeyOf, oneOrSeveral, orNull, text, withoutTwins, type ReadonlyOutput } from '../../config/fields.ts'
import type { PositionOf } from '../../config/yaml/document.ts'
import { oneOrListed, organizationId, readDocument, type DocumentResult } from './document-fields.ts'
import { callerSelection } from './condition-document.ts'

/** Callers for whom the attributes match, if any are written, and `except` does not. */
export type CallerSelectionDocument = ReadonlyOutput<typeof callerSelection>

/** `about`: what is null narrows nothing. */
export interface InvariantDocument {
  readonly id: string
  readonly description: string | null
  readonly kind: 'never' | 'always'
  readonly about: ReadonlyOutput<typeof about>
}

export interface InvariantsDocument {
  readonly kind: 'invariants'
  readonly file: string
  readonly invariants: readonly InvariantDocument[]
  readonly positionOf: PositionOf
}

const organizationIds = () => z.array(organizationId()).min(1, 'name at least one organization')

const scope = () => z.enum(['organization', 'enterprise'])

const key = z
  .strictObject({
    scope: orNull(scope()).describe('Scope of the key that would be used.'),
    permissions: orNull(oneOrSeveral('permission', { words: 'permissions' })).describe(
      'The key holds one of these permissions.',
    ),
  })
  .refine(({ scope: ofKey, permissions }) => ofKey !== null || permissions !== null, {
    error: 'say what the key is: scope or permissions',
  })
  .meta({ minProperties: 1 })

const about = z
  .strictObject({
    teams: z
      .union([
        z.literal('all'),
        oneOrSeveral('team'),
        z.strictObject({ except: oneOrSeveral('team').describe('All teams but these.') }),
      ])
      .default('all')
      .describe('Teams it speaks of: `all`, names, or `{ except: [name] }`.'),
    callers: orNull(callerSelection).describe(
      'Only callers of these teams for whom all attributes match, or all but those of `except`.',
    ),
    do: orNull(oneOrSeveral('operation', { words: 'allowed' })).describe(
      'Operation ids, patterns of them, or permission names. Default: every operation.',
    ),
    write: orNull(z.boolean()).describe('`true`: only writes; `false`: only reads.'),
    sensitive: orNull(z.boolean()).describe('Only operations that the catalogue marks as sensitive, or only others.'),
    scope: orNull(scope()).describe('Only operations of this scope.'),
    organizations: orNull(
      z.union([
        z.enum(['own', 'outside']),
        organizationIds(),
        z.strictObject({ except: organizationIds().describe('All organizations but these.') }),
      ]),
    ).describe(
      '`own`: those the team lists; of a team with `organizations: all` its default organization. `outside`: all others. Or ids, or `{ except: [id] }`.',
    ),
    key: orNull(key).describe('Only requests that would be sent with such a key.'),
  })
  .refine((value) => Object.values(value).some((said) => said !== null && said !== 'all'), {
    error:
      'an invariant must say what it is about: at least one of teams, callers, do, write, sensitive, scope, organizations, key',
  })
  .meta({ minProperties: 1 })

const invariant = z
  .strictObject({
    id: id().describe('Name of the invariant; stands in every refusal of a policy set that breaks it.'),
    description: orNull(text()).describe('Why it must hold, for people.'),
    never: about.optional().describe('No caller may do this.'),
    always: about.optional().describe('Every caller may do this.'),
  })
  .refine(({ never, always }) => (never === undefined) !== (always === undefined), {
    error: 'an invariant says either `never` or `always`',
  })
  .meta(oneKeyOf('never', 'always'))

/** Schema of `invariants.yaml`. */
export const invariantsSchema = z
  .strictObject({
    invariants: withoutTwins(z.array(invariant), 'invariant').describe(
      'Rules that every policy set must keep; a set that breaks one is refused.',
    ),
  })
  .describe('Invariants: rules about the whole policy set.')

/** Reads a file of invariants. */
export function readInvariants(file: string, text: string): DocumentResult<InvariantsDocument> {
  return readDocument(
    {
      file,
      text,
      schema: invariantsSchema,
      holds: 'a list of invariants',
      noVariables: 'write the value itself',
      words: ['never', 'always'].flatMap((rule) => [
        ...oneOrListed('invariants', '*', rule, 'do').map((at) => ({ at, kind: 'allow' as const })),
        ...oneOrListed('invariants', '*', rule, 'key', 'permissions').map((at) => ({
          at,
          kind: 'permission' as const,
        })),
      ]),
    },
    ({ invariants: list }, positionOf) => {
      const invariants = list.flatMap(({ id, description, never, always }): readonly InvariantDocument[] => {
        const about = never ?? always
        return about === undefined ? [] : [{ id, description, kind: never === undefined ? 'always' : 'never', about }]
      })
      return { kind: 'invariants', file, invariants, positionOf }
    },
  )
}
