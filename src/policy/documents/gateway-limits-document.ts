// Shape of policies/limits.yaml: the limits of all teams together, which protect the upstream. Validator, type and reader.

import { z } from 'zod'
import { duration, most, namesUpTo, word } from '../../config/fields.ts'
import type { PositionOf } from '../../config/yaml/document.ts'
import { organizationId, mapValues, readDocument, type DocumentResult } from './document-fields.ts'
import { calendarBudget, calendarRate, limitFields, limitsMode, limitsOf, timeZone } from './limit-fields.ts'

/** Limits that every request counts against, whatever its team. */
export interface GatewayLimitsDocument {
  readonly kind: 'limits'
  readonly file: string
  readonly limits: ReturnType<typeof gatewayLimitsOf>
  readonly positionOf: PositionOf
}

const { acus, open_sessions } = limitFields
const sessions = z
  .union([calendarRate('sessions'), calendarBudget()])
  .optional()
  .describe('Successful session creates, like 50/day, or { hard: 50/day, soft: 40/day }.')
const organizationBudgets = z
  .strictObject({ acus, sessions, open_sessions })
  .describe('Budgets of this organization, whoever creates its sessions.')

const limits = z.strictObject({
  ...limitFields,
  operations: namesUpTo(
    most.limited,
    'groups of operations',
    z.record(word('allowed'), z.strictObject(limitFields).describe('Limits of this group of operations.')),
  )
    .default({})
    .describe('Limits of groups of operations, by operation id, pattern or permission.'),
  queue: z
    .strictObject({ max_wait: duration('0s', '1m').describe('Longest wait, like 2s; 0s refuses at once.') })
    .default({ max_wait: 0 })
    .describe(
      'Whether requests of lower priority wait while the Devin API has a key rest (429), in place of being refused.',
    ),
  organizations: namesUpTo(most.organizations, 'organizations', z.record(organizationId(), organizationBudgets))
    .default({})
    .describe('Budgets of single organizations, which all teams share there, by organization.'),
  mode: limitsMode(),
  time_zone: timeZone(),
})

/** Schema of `limits.yaml`. */
export const gatewayLimitsSchema = z
  .strictObject({ limits: limits.describe('What all teams together may use; an absent limit is none.') })
  .describe("Limits of the whole gateway, which protect the Devin API. They apply together with the teams' own.")

/** Reads the file of the gateway-wide limits. */
export function readGatewayLimits(file: string, text: string): DocumentResult<GatewayLimitsDocument> {
  return readDocument(
    { file, text, schema: gatewayLimitsSchema, holds: 'limits', noVariables: 'write the value itself' },
    ({ limits: written }, positionOf) => ({ kind: 'limits', file, limits: gatewayLimitsOf(written), positionOf }),
  )
}

/** Times in milliseconds. A request that may wait for 0 while its key rests does not wait at all. */
function gatewayLimitsOf(written: z.output<typeof limits>) {
  return {
    ...limitsOf(written),
    operations: mapValues(written.operations, limitsOf),
    maxWaitMs: written.queue.max_wait,
    organizations: mapValues(written.organizations, limitsOf),
    mode: written.mode,
    timeZone: written.time_zone,
  }
}
