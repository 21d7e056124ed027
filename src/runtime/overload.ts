// Watches the event loop's delay while the gateway runs, and logs an overload.

import { createDelayReader, Overload, readingMs, refusedAt } from '../gateway/load/overload.ts'
import type { Core } from './core.ts'

export function watchOverload({ eventLoopDelay, log }: Core) {
  const overload = new Overload((level, delayMs) => {
    const { beyondShare, withinShare } = refusedAt(level)
    const delay_ms = Math.round(delayMs)
    const fields = { event: 'overload', refused: withinShare, refused_beyond_share: beyondShare, delay_ms }
    if (level > 0)
      log.warn(
        fields,
        'the event loop lags; requests of teams of these priorities are refused, sooner when they make more than their share of the load',
      )
    else log.info(fields, 'the event loop keeps up again; requests of all teams are served')
  })
  const reader = eventLoopDelay === null ? createDelayReader() : null
  const read = eventLoopDelay ?? (() => reader?.read() ?? null)
  const timer = setInterval(() => {
    const delayMs = read()
    if (delayMs !== null) overload.take(delayMs)
  }, readingMs).unref()
  return {
    overload,
    stop(): void {
      clearInterval(timer)
      reader?.close()
    },
  }
}
