// Handles what one event-loop turn brings as a batch: all is read, then all is admitted, and answers are written last.

import { setImmediate } from 'node:timers'

/** Must not throw. An exception is an uncaught error; the rest of the batch runs in the next one. */
type Work = () => void

let admissions: Work[] = []
let writes: Work[] = []
let flush: Work | null = null
let isOpen = false
let admitted = 0

/** How many requests have been admitted: tells whether any came in the meantime. */
export const admittedRequests = (): number => admitted

/** Runs when everything that has arrived in this turn of the event loop was read. */
export function scheduleAdmission(work: Work): void {
  admissions.push(work)
  admitted += 1
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
  let rest: Work[] = []
  let next = 0
  try {
    rest = admissions
    admissions = []
    while (next < rest.length) rest[next++]?.()
    const now = flush
    flush = null
    now?.()
    rest = writes
    next = 0
    writes = []
    while (next < rest.length) rest[next++]?.()
  } finally {
    if (next < rest.length) admissions = [...rest.slice(next), ...admissions]
    isOpen = false
    if (admissions.length > 0 || writes.length > 0 || flush !== null) endSoon()
  }
}
