// Shape of entries of `members`: conditions on who is calling that may end. Validator and type.

import { z } from 'zod'
import {
  attributesOf,
  callerCondition,
  canHaveActor,
  conditionFields,
  emptyCondition,
  neverActor,
} from '../../config/values/caller-condition.ts'
import type { ReadonlyOutput } from '../../config/fields.ts'
import { endingFields, endingOf } from './document-fields.ts'

/** An entry of members as written: at least one attribute, each a list. */
export type MemberEntry = ReadonlyOutput<typeof memberEntry>

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
  .transform(({ until, reason, ...entry }) => ({ ...entry, ending: endingOf({ until, reason }) }))
