// Shape of invariants.yaml: rules about the whole policy set. Validator, types and reader.

import { z } from 'zod'
import { id, oneKeyOf, oneOrSeveral, text, withoutTwins } from '../../config/fields.ts'
import type { PositionOf } from '../../config/yaml/document.ts'
import type { ConditionDocument } from '../model/condition.ts'
import { organizationId, readDocument, type DocumentResult } from './document-fields.ts'
import { callerSelection } from './condition-document.ts'

/** Callers for whom the attributes match, if any are written, and `except` does not. */
export interface CallerSelectionDocument extends ConditionDocument {
  readonly except?: ConditionDocument | undefined
}

/** What an invariant speaks of; what is absent narrows nothing. */
export interface InvariantSubject {
  readonly teams: 'all' | readonly string[] | { readonly except: readonly string[] }
  readonly callers: CallerSelectionDocument | null
  /** Operation ids, patterns of them, or permission names. */
  readonly do: readonly string[] | null
  readonly write: boolean | null
  readonly sensitive: boolean | null
  readonly scope: 'organization' | 'enterprise' | null
  readonly organizations: 'own' | 'outside' | readonly string[] | { readonly except: readonly string[] } | null
  readonly key: {
    readonly scope: 'organization' | 'enterprise' | null
    readonly permissions: readonly string[] | null
  } | null
}

export interface InvariantDocument {
  readonly id: string
  readonly description: string | null
  readonly kind: 'never' | 'always'
  readonly about: InvariantSubject
}

export interface InvariantsDocument {
  readonly kind: 'invariants'
  readonly file: string
  readonly invariants: readonly InvariantDocument[]
  readonly positionOf: PositionOf
}

const organizationIds = () => z.array(organizationId()).min(1, 'name at least one organization')

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
    callers: callerSelection
      .optional()
      .describe('Only callers of these teams for whom all attributes match, or all but those of `except`.'),
    do: oneOrSeveral('operation', { words: 'allowed' })
      .optional()
      .describe('Operation ids, patterns of them, or permission names. Default: every operation.'),
    write: z.boolean().optional().describe('`true`: only writes; `false`: only reads.'),
    sensitive: z
      .boolean()
      .optional()
      .describe('Only operations that the catalogue marks as sensitive, or only others.'),
    scope: z.enum(['organization', 'enterprise']).optional().describe('Only operations of this scope.'),
    organizations: z
      .union([
        z.enum(['own', 'outside']),
        organizationIds(),
        z.strictObject({ except: organizationIds().describe('All organizations but these.') }),
      ])
      .optional()
      .describe(
        '`own`: those the team lists; of a team with `organizations: all` its default organization. `outside`: all others. Or ids, or `{ except: [id] }`.',
      ),
    key: z
      .strictObject({
        scope: z.enum(['organization', 'enterprise']).optional().describe('Scope of the key that would be used.'),
        permissions: oneOrSeveral('permission', { words: 'permissions' })
          .optional()
          .describe('The key holds one of these permissions.'),
      })
      .refine((key) => Object.keys(key).length > 0, { error: 'say what the key is: scope or permissions' })
      .meta({ minProperties: 1 })
      .optional()
      .describe('Only requests that would be sent with such a key.'),
  })
  .refine((value) => Object.keys(value).some((name) => name !== 'teams') || value.teams !== 'all', {
    error:
      'an invariant must say what it is about: at least one of teams, callers, do, write, sensitive, scope, organizations, key',
  })
  .meta({ minProperties: 1 })

const invariant = z
  .strictObject({
    id: id().describe('Name of the invariant; stands in every refusal of a policy set that breaks it.'),
    description: text().optional().describe('Why it must hold, for people.'),
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
    { file, text, schema: invariantsSchema, holds: 'a list of invariants', noVariables: 'write the value itself' },
    ({ invariants: list }, positionOf) => {
      const invariants = list.map((written): InvariantDocument => {
        const { never, always } = written
        const said = never ?? always ?? { teams: 'all' }
        return {
          id: written.id,
          description: written.description ?? null,
          kind: never === undefined ? 'always' : 'never',
          about: {
            teams: said.teams,
            callers: said.callers ?? null,
            do: said.do ?? null,
            write: said.write ?? null,
            sensitive: said.sensitive ?? null,
            scope: said.scope ?? null,
            organizations: said.organizations ?? null,
            key:
              said.key === undefined
                ? null
                : { scope: said.key.scope ?? null, permissions: said.key.permissions ?? null },
          },
        }
      })
      return { kind: 'invariants', file, invariants, positionOf }
    },
  )
}
