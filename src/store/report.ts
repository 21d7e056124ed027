// One line in the log whenever the shared store goes away or comes back.

import type { Store } from './store.ts'

interface Log {
  info(fields: object, text: string): void
  error(fields: object, text: string): void
}

/** How long a start waits for the store; after that the instance starts without it. */
const startMs = 1000

/** Begins to report. Resolves when the store has answered for the first time, or after a second. */
export function reportChanges(store: Store, log: Log): Promise<void> {
  const report = (): void => {
    const { away, reason, instances } = store.state
    if (away) log.error({ event: 'store-away', reason }, 'the shared store is away: this instance goes on by itself')
    else log.info({ event: 'store-back', instances }, 'the shared store is in use')
  }
  return new Promise((resolve) => {
    let begun = false
    const begin = (): void => {
      if (begun) return
      begun = true
      clearTimeout(overdue)
      report()
      resolve()
    }
    const overdue = setTimeout(begin, startMs)
    store.onChange(() => (begun ? report() : begin()))
    if (!store.away) begin()
  })
}
