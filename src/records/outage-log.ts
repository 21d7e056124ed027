// Logs an outage once when it begins and once when it is over, with the number of failures in between.

import type { Log } from './log.ts'

export interface OutageLogOptions {
  readonly log: Pick<Log, 'error' | 'info'>
  /** Of both lines. */
  readonly fields: Readonly<Record<string, unknown>>
  readonly begun: string
  /** The message at the end; the number is in the field `count`. */
  readonly over: string
}

export interface OutageLog {
  failed(error: unknown): void
  worked(): void
}

export function createOutageLog({ log, fields, begun, over }: OutageLogOptions): OutageLog {
  let count = 0
  return {
    failed(error) {
      count += 1
      if (count === 1) log.error({ ...fields, error }, begun)
    },
    worked() {
      if (count === 0) return
      log.info({ ...fields, count }, over)
      count = 0
    },
  }
}
