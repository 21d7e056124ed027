// Opens telemetry. Its libraries are loaded only where the configuration names a collector.

import { randomUUID } from 'node:crypto'
import type { TelemetryConfig } from '../config/records/telemetry-schema.ts'
import type { SecretReference } from '../config/secret-schema.ts'
import { maskSecrets } from '../records/mask.ts'
import { createOutageLog } from '../records/outage-log.ts'
import type { Log } from '../records/log.ts'
import type { CollectorField } from './collector-fields.ts'
import type { SpanCounts, Tracing } from './trace.ts'

/** How long a stop waits for the collector. */
const closeMs = 2_000
/** Characters of a collector's text that are looked at, and that the log shows. */
const mostText = { read: 4096, shown: 200 } as const

export interface Telemetry {
  readonly tracing: Tracing
  /** Exports the spans that wait. */
  close(): Promise<void>
}

export interface TelemetryOptions {
  readonly config: {
    readonly telemetry: TelemetryConfig | null
    readonly upstream: { readonly origin: string; readonly pathPrefix: string }
    readonly listen: { readonly tls: object | null }
  }
  readonly instruments: { withTelemetry(counts: () => SpanCounts): void }
  readonly log: Log
  readonly now: () => number
  readonly monotonic: () => number
  readonly version: string
  /** How the value of a header field is read. */
  readonly fieldOf: (name: string, reference: SecretReference) => CollectorField
}

/** Null without telemetry. */
export async function openTelemetry(options: TelemetryOptions): Promise<Telemetry | null> {
  const { config, instruments, log, now, monotonic, version, fieldOf } = options
  const { telemetry } = config
  if (telemetry === null) return null
  const [{ createCollectorFields }, { createSpanExport }, { createRequestTracing }] = await Promise.all([
    import('./collector-fields.ts'),
    import('./export.ts'),
    import('./requests.ts'),
  ])
  const outage = createOutageLog({
    log,
    fields: { event: 'telemetry' },
    begun: 'the collector of traces does not take them; spans are dropped meanwhile',
    over: 'the collector takes traces again',
  })
  const fields = Object.entries(telemetry.headers).map(([name, reference]) => fieldOf(name, reference))
  let hasSaidRejected = false
  const spans = createSpanExport({
    ...telemetry,
    fields: createCollectorFields(fields, monotonic),
    version,
    instance: randomUUID(),
    onExported: (error) => (error === null ? outage.worked() : outage.failed(error)),
    onRejected(rejected, why) {
      if (hasSaidRejected) return
      hasSaidRejected = true
      // Masked before it is cut: the rest of a secret would not be known as one.
      const text = maskSecrets(why.slice(0, mostText.read)).slice(0, mostText.shown)
      log.error(
        { event: 'telemetry', rejected, collector: text },
        'the collector of traces takes batches and rejects spans of them; it is said once, and gateway_telemetry_spans_total counts them as dropped: look at its limits and its log',
      )
    },
  })
  instruments.withTelemetry(spans.counts)
  const tracing = createRequestTracing({
    tracer: spans.tracer,
    upstream: config.upstream,
    isSecure: config.listen.tls !== null,
    now,
    monotonic,
  })
  return {
    tracing,
    async close() {
      const lost = await spans.close(closeMs)
      if (lost > 0)
        log.warn({ event: 'telemetry', lost }, 'the collector of traces did not take the last spans in time')
    },
  }
}
