// What comes up in one turn of the event loop is done kind by kind: Node reads every request that has arrived, then all of
// them are admitted, and what was answered by then leaves last. Used by app.ts, answering.ts and caller.ts.
//
// Done one by one, every answer wakes its reader, which costs the kernel of a virtual machine more than our whole decision,
// and pushes the code of the next request out of the processor's caches. Together: half of the CPU time of an answer from
// the cache and of a refusal, a third of a forwarded read. A lone request waits for nothing: its turn ends behind it.

import { setImmediate } from 'node:timers'

/** Must not throw: the rest of the turn would be lost with it. */
type Work = () => void

let admissions: Work[] = []
let answers: Work[] = []
let isTurnOpen = false

/** Runs when everything that has arrived in this turn was read. */
export function admitInTurn(work: Work): void {
  admissions.push(work)
  endTurnSoon()
}

/** Runs behind the admissions of this turn, together with what else is written to callers. */
export function answerInTurn(work: Work): void {
  answers.push(work)
  endTurnSoon()
}

function endTurnSoon(): void {
  if (isTurnOpen) return
  isTurnOpen = true
  setImmediate(endTurn)
}

function endTurn(): void {
  const admitted = admissions
  admissions = []
  for (const work of admitted) work()
  const written = answers
  answers = []
  for (const work of written) work()
  isTurnOpen = false
  if (admissions.length > 0 || answers.length > 0) endTurnSoon()
}
