// How V8 collects garbage in a process that serves.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Frees what loading has left. V8 would do it some seconds later, beside requests, which would wait for it. */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  setFlagsFromString('--no-expose-gc')
  if (typeof collect === 'function') collect()
}

/**
 * Has V8 collect earlier than it would, which keeps the memory of a full cache down; lower values cost large responses CPU time.
 * Set once everything is loaded: V8 does not reuse code that was compiled under other flags.
 */
export function boundGarbage(): void {
  setFlagsFromString('--heap-growing-percent=50')
}
