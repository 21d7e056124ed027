// Shape of policies/limits.yaml: the limits of all teams together, which protect the upstream. Validator, type and reader.

import { z } from 'zod'
import { duration, text } from '../config/fields.ts'
import type { Diagnostic } from '../config/diagnostics.ts'
import { readYaml, type PositionOf } from '../config/yaml-document.ts'
import { count, limitsMode, quota, timeZone, type LimitsDocument } from './team-document.ts'

/** Limits that every request counts against, whatever its team. */
export interface GatewayLimitsDocument {
  readonly kind: 'limits'
  readonly file: string
  readonly limits: LimitsDocument & {
    /** By operation id, pattern or permission. */
    readonly operations: Readonly<Record<string, LimitsDocument>>
    /** How long a request may wait while its key rests, milliseconds; 0: not at all. */
    readonly maxWaitMs: number
    readonly mode: 'enforce' | 'shadow'
    readonly timeZone: string
  }
  readonly positionOf: PositionOf
}

const fields = {
  requests: quota().optional().describe('Requests of all teams together, like 3000/min.'),
  writes: quota().optional().describe('Requests of all teams together that change something, like 300/min.'),
  concurrent: count('concurrent').optional().describe('Requests of all teams under way at the same time.'),
  sessions: quota().optional().describe('Successful session creates of all teams together, like 500/day.'),
}

const limits = z.strictObject({
  ...fields,
  operations: z
    .record(text(), z.strictObject(fields).describe('Limits of this group of operations.'))
    .default({})
    .describe('Limits of groups of operations, by operation id, pattern or permission.'),
  queue: z
    .strictObject({ max_wait: duration('0s', '1m').describe('Longest wait, like 2s; 0s refuses at once.') })
    .default({ max_wait: 0 })
    .describe(
      'Whether requests of lower priority wait while the Devin API has a key rest (429), in place of being refused.',
    ),
  mode: limitsMode(),
  time_zone: timeZone(),
})

/** Schema of `limits.yaml`. */
export const gatewayLimitsSchema = z
  .strictObject({ limits: limits.describe('What all teams together may use; an absent limit is none.') })
  .describe("Limits of the whole gateway, which protect the Devin API; judged together with the teams' own.")

/** Reads the file of the gateway-wide limits. */
export function readGatewayLimits(
  file: string,
  text: string,
): { document: GatewayLimitsDocument | null; diagnostics: readonly Diagnostic[] } {
  const result = readYaml({ file, text, schema: gatewayLimitsSchema, holds: 'limits' })
  if (!result.ok) return { document: null, diagnostics: result.diagnostics }
  const written = result.value.limits
  const operations = Object.entries(written.operations).map(([word, group]) => [word, limitsOf(group)] as const)
  return {
    diagnostics: result.diagnostics,
    document: {
      kind: 'limits',
      file,
      limits: {
        ...limitsOf(written),
        operations: Object.fromEntries(operations),
        maxWaitMs: written.queue.max_wait,
        mode: written.mode,
        timeZone: written.time_zone,
      },
      positionOf: result.positionOf,
    },
  }
}

function limitsOf(written: z.output<z.ZodObject<typeof fields>>): LimitsDocument {
  return {
    requests: written.requests ?? null,
    writes: written.writes ?? null,
    concurrent: written.concurrent ?? null,
    sessions: written.sessions ?? null,
    acus: null,
    openSessions: null,
  }
}
