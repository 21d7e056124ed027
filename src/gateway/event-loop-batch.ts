// What one turn of the event loop brings is handled as a batch: Node reads every request that has arrived, then all of them
// are admitted, and what was answered by then is written last. docs/performance.md says what that saves. A lone request
// waits for nothing: its batch ends behind it.

import { setImmediate } from 'node:timers'

/** Must not throw: the rest of the batch would be lost with it. */
type Work = () => void

let admissions: Work[] = []
let writes: Work[] = []
let flush: Work | null = null
let isOpen = false

/** Runs when everything that has arrived in this turn of the event loop was read. */
export function scheduleAdmission(work: Work): void {
  admissions.push(work)
  endSoon()
}

/** Runs behind the admissions of this batch, together with what else is written to callers. */
export function scheduleWrite(work: Work): void {
  writes.push(work)
  endSoon()
}

/** Runs once in this batch, however often it is asked for, before anything is written to callers. */
export function scheduleFlush(work: Work): void {
  flush = work
  endSoon()
}

function endSoon(): void {
  if (isOpen) return
  isOpen = true
  setImmediate(end)
}

function end(): void {
  const admitted = admissions
  admissions = []
  for (const work of admitted) work()
  flush?.()
  flush = null
  const written = writes
  writes = []
  for (const work of written) work()
  isOpen = false
  if (admissions.length > 0 || writes.length > 0) endSoon()
}
