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

export type OutageLog = ReturnType<typeof createOutageLog>

export function createOutageLog({ log, fields, begun, over }: OutageLogOptions) {
  let count = 0
  return {
    failed(error: unknown): void {
      count += 1
      if (count === 1) log.error({ ...fields, error }, begun)
    },
    worked(): void {
      if (count === 0) return
      log.info({ ...fields, count }, over)
      count = 0
    },
  }
}
