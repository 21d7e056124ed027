// Sends spans to a collector by OTLP over HTTP, in batches, from a bounded queue. A collector that is slow or away costs spans.

import { ExportResultCode, type ExportResult } from '@opentelemetry/core'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
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
}

/** Finished spans that may wait; more are dropped. */
const mostWaiting = 2048
const batchEveryMs = 250
const exportMs = 5_000

export function createSpanExport(options: ExportOptions) {
  const { url, sample, version, instance, ca, fields, onExported } = options
  let exported = 0
  let dropped = 0
  let waiting = 0
  // As they were read for the batch: the library must not meet an error there.
  let current: Record<string, string> = {}
  const collector = new OTLPTraceExporter({
    url,
    timeoutMillis: exportMs,
    headers: async () => ({ ...current }),
    ...(ca === null ? {} : { httpAgentOptions: { keepAlive: true, ca } }),
  })
  const counted: SpanExporter = {
    export(spans, done) {
      const end = (result: ExportResult): void => {
        waiting -= spans.length
        if (result.code === ExportResultCode.SUCCESS) exported += spans.length
        else dropped += spans.length
        if (isRefusal(result.error)) fields.refused()
        onExported(result.code === ExportResultCode.SUCCESS ? null : (result.error ?? new Error('not taken')))
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

function isRefusal(error: Error | undefined): boolean {
  return error !== undefined && 'code' in error && (error.code === 401 || error.code === 403)
}
