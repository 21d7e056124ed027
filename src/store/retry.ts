// When a failed call is worth repeating, for calls that have to be answered in the end.

import { setTimeout } from 'node:timers/promises'
import type { Store } from './store.ts'

/** Pause after a failure of a store that is not away. */
const pauseMs = 250

/**
 * Gives a function that waits after a failed call: until the store comes back where it is away, else for a moment. It does
 * not keep the process running.
 */
export function createRetryWait(store: Pick<Store, 'away' | 'onChange'>): () => Promise<void> {
  const waiting: (() => void)[] = []
  store.onChange((away) => {
    if (!away) for (const resume of waiting.splice(0)) resume()
  })
  return () =>
    store.away ? new Promise((resolve) => waiting.push(resolve)) : setTimeout(pauseMs, undefined, { ref: false })
}
