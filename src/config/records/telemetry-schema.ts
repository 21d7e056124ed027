// The mapping `telemetry`: where traces go, which share of them, and what the collector wants to know its callers by.

import { z } from 'zod'
import { text, textAs } from '../fields.ts'
import { secretReference, type LocalReference } from '../secret-schema.ts'
import { collectorForm, parseCollector } from '../values/addresses.ts'
import { isReadOnTheWay } from '../values/secret-places.ts'
import { quoted } from '../units.ts'
import { withPathsFrom } from '../values/secret-reference.ts'
import type { Path } from '../yaml/document.ts'

/** Fields that the exporter writes, or that would change how the request is framed. */
const ownFields = /^(?:connection|content-.*|expect|host|keep-alive|te|trailer|transfer-encoding|upgrade|user-agent)$/

const fieldName = z
  .string()
  .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, {
    error: ({ input }) => `${quoted(String(input))} is no name of a header field, such as authorization`,
  })
  .refine((name) => !ownFields.test(name.toLowerCase()), {
    error: ({ input }) => `the gateway writes the header field ${quoted(String(input))} itself: remove the key`,
  })

export const telemetrySchema = z.strictObject({
  otlp: textAs(parseCollector, { pattern: collectorForm }).describe(
    'Address of an OpenTelemetry collector that takes OTLP over HTTP (protobuf); traces go to `/v1/traces` below it.',
  ),
  ca: text().optional().describe("CA certificates to trust for https://, a PEM file. Default: the system's."),
  headers: z
    .record(
      fieldName,
      secretReference('the value of a header field is never written here: write { env: NAME } or { file: PATH }'),
    )
    .optional()
    .describe('Header fields for the collector, such as `authorization`, and where the value of each is kept.'),
  sample: z
    .number()
    .min(0, 'must be at least 0')
    .max(1, 'must be at most 1')
    .default(1)
    .describe(
      'Share of the traces that begin here and are exported, 0 to 1. A trace that a caller began goes on as the caller says.',
    ),
})

type TelemetryDocument = z.output<typeof telemetrySchema>

export type TelemetryConfig = NonNullable<Awaited<ReturnType<typeof resolveTelemetry>>>

/** Null: no traces. */
export async function resolveTelemetry(
  written: TelemetryDocument | undefined,
  folder: string,
  report: (at: Path, message: string) => void,
  read: {
    readonly authorities: (file: string, at: Path) => Promise<string | null>
    /** Reports where the value is missing. */
    readonly local: (reference: LocalReference, what: string, at: Path) => Promise<unknown>
  },
) {
  if (written === undefined) return null
  const { otlp: url, ca, headers = {}, sample } = written
  if (Object.keys(headers).length > 0 && isReadOnTheWay(url))
    report(
      ['telemetry', 'otlp'],
      'header fields hold secrets, which plain http would show: write https://, or the address of a collector on this machine',
    )
  if (ca !== undefined && url.startsWith('http:'))
    report(['telemetry', 'ca'], 'plain http shows no certificate: write https:// in otlp, or remove the key')
  for (const [name, reference] of Object.entries(headers))
    if ('env' in reference || 'file' in reference)
      await read.local(reference, `header field ${name}`, ['telemetry', 'headers', name])
  return {
    /** The whole address that takes traces. */
    url,
    /** PEM text of the authorities to trust instead of the system's, or null. */
    ca: ca === undefined ? null : await read.authorities(ca, ['telemetry', 'ca']),
    /** Where the value of each header field is kept. */
    headers: Object.fromEntries(
      Object.entries(headers).map(([name, reference]) => [name.toLowerCase(), withPathsFrom(folder, reference)]),
    ),
    sample,
  }
}
