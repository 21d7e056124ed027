// Sends spans to a collector by OTLP over HTTP, in batches, from a bounded queue. A collector that is slow or away, or rejects
// them, costs spans.

import { ExportResultCode, type ExportResult } from '@opentelemetry/core'
import { OTLPExporterBase } from '@opentelemetry/otlp-exporter-base'
import { createOtlpHttpExportDelegate, httpAgentFactoryFromOptions } from '@opentelemetry/otlp-exporter-base/node-http'
import { ProtobufTraceSerializer, TraceExporterMetricsHelper } from '@opentelemetry/otlp-transformer'
import { resourceFromAttributes } from '@opentelemetry/resources'
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
  type ReadableSpan,
  type SpanExporter,
  type SpanProcessor,
} from '@opentelemetry/sdk-trace'
import { ATTR_SERVICE_NAME, ATTR_SERVICE_VERSION } from '@opentelemetry/semantic-conventions'
import { setTimeout } from 'node:timers/promises'
import type { CollectorFields } from './collector-fields.ts'
import type { SpanCounts } from './trace.ts'

export interface ExportOptions {
  /** The whole address that takes traces. */
  readonly url: string
  /** Share of traces that begin here and are exported, 0 to 1; a caller's trace goes on as the caller says. */
  readonly sample: number
  readonly version: string
  readonly instance: string
  /** PEM text of the authorities to trust instead of the system's, or null. */
  readonly ca: string | null
  /** Header fields of each export. */
  readonly fields: CollectorFields
  /** After each batch. */
  readonly onExported: (error: Error | null) => void
  /** The collector took a batch but for so many of its spans. `why`: what it says of them, without the values of its own header fields. */
  readonly onRejected: (spans: number, why: string) => void
}

/** Finished spans that may wait; more are dropped. */
const mostWaiting = 2048
const batchEveryMs = 250
const exportMs = 5_000
/** Batches that may be on their way at a time. */
const mostBatches = 30

export function createSpanExport(options: ExportOptions) {
  const { url, sample, version, instance, ca, fields, onExported, onRejected } = options
  let exported = 0
  let dropped = 0
  let waiting = 0
  // As they were read for the batch: the library must not meet an error there.
  let current: Record<string, string> = {}
  // What the latest answer says beside that it was a success. Its batch ends in the same turn.
  let partial: { readonly rejectedSpans?: number | null; readonly errorMessage?: string } | null = null
  const serializer: typeof ProtobufTraceSerializer = {
    ...ProtobufTraceSerializer,
    deserializeResponse(bytes) {
      const answer = ProtobufTraceSerializer.deserializeResponse(bytes)
      partial = answer.partialSuccess ?? null
      return answer
    },
  }
  const collector = new OTLPExporterBase(
    createOtlpHttpExportDelegate(
      {
        url,
        timeoutMillis: exportMs,
        concurrencyLimit: mostBatches,
        compression: 'none',
        headers: async () => ({ ...current, 'Content-Type': 'application/x-protobuf' }),
        agentFactory: httpAgentFactoryFromOptions({ keepAlive: true, ...(ca === null ? {} : { ca }) }),
      },
      serializer,
      'otlp_http_span_exporter',
      TraceExporterMetricsHelper,
      undefined,
    ),
  )
  const counted: SpanExporter = {
    export(spans, done) {
      const end = (result: ExportResult): void => {
        waiting -= spans.length
        const isTaken = result.code === ExportResultCode.SUCCESS
        const rejected = isTaken ? Math.min(spans.length, Math.max(0, partial?.rejectedSpans ?? 0)) : spans.length
        exported += spans.length - rejected
        dropped += rejected
        if (isTaken && rejected > 0) onRejected(rejected, withoutValues(partial?.errorMessage ?? '', current))
        partial = null
        if (isRefusal(result.error)) fields.refused()
        onExported(isTaken ? null : (result.error ?? new Error('not taken')))
        done(result)
      }
      fields.current().then(
        (read) => {
          current = read
          collector.export(spans, end)
        },
        (error: Error) => end({ code: ExportResultCode.FAILED, error }),
      )
    },
    shutdown: () => collector.shutdown(),
  }
  const batches = new BatchSpanProcessor({
    exporter: counted,
    maxQueueSize: mostWaiting,
    scheduledDelayMillis: batchEveryMs,
    exportTimeoutMillis: 2 * exportMs,
  })
  // The library does not say how many it drops, so it is given no more than it takes.
  const bounded: SpanProcessor = {
    onStart: () => {},
    onEnd(span: ReadableSpan) {
      if (waiting >= mostWaiting) dropped += 1
      else {
        waiting += 1
        batches.onEnd(span)
      }
    },
    forceFlush: () => batches.forceFlush(),
    shutdown: () => batches.shutdown(),
  }
  const provider = new TracerProvider({
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(sample) }),
    resource: resourceFromAttributes({
      [ATTR_SERVICE_NAME]: 'devin-gateway',
      [ATTR_SERVICE_VERSION]: version,
      'service.instance.id': instance,
    }),
    spanProcessors: [bounded],
  })
  return {
    tracer: provider.getTracer('devin-gateway', version),
    counts: (): SpanCounts => ({ exported, dropped }),
    /** Exports what waits, for so long at most; returns how many spans are lost. */
    async close(deadlineMs: number): Promise<number> {
      const done = provider.shutdown().catch(() => {})
      const deadline = new AbortController()
      await Promise.race([done, setTimeout(deadlineMs, undefined, { signal: deadline.signal }).catch(() => {})])
      deadline.abort()
      return waiting
    },
  }
}

/** A collector may say what it was sent. */
function withoutValues(text: string, fields: Readonly<Record<string, string>>): string {
  const values = Object.values(fields).flatMap((value) => [value, ...value.split(/\s+/)])
  // No shorter word is a credential.
  return values.filter(({ length }) => length >= 8).reduce((left, value) => left.replaceAll(value, '[masked]'), text)
}

function isRefusal(error: Error | undefined): boolean {
  return error !== undefined && 'code' in error && (error.code === 401 || error.code === 403)
}
