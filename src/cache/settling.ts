// Answers of which the head is all that is needed: it confirms what is stored, or what is stored stands in for it. Used by
// flight.ts.

import type { AnswerHead } from './answer.ts'
import type { Entry } from './entry.ts'
import type { Flight } from './flight.ts'
import type { Times, Verdict } from './storing.ts'
import { freshen, saysNothingOf } from './validation.ts'

/** True when everybody has been served from the store, or asks again. */
export function isSettledBy(flight: Flight, head: AnswerHead, times: Times): boolean {
  if (head.status >= 500) return standIn(flight, 'error', head.status)
  if (head.status === 304 && flight.conditions.length > 0) {
    confirmed(flight, head, times)
    return true
  }
  if (head.status === 200 && flight.plan.question.method === 'HEAD') takeOver(flight, head, times)
  return false
}

/** Serves what is stored in place of a failure to all who may have it. True when nobody is left to wait. */
export function standIn(
  { plan, barred, crew }: Flight,
  failure: 'error' | 'silence',
  fwdStatus: number | null,
): boolean {
  return plan.candidate !== null && !barred && crew.standIn(plan.candidate, failure, fwdStatus)
}

/** A 304 to our condition (RFC 9111 section 4.3.3). */
function confirmed(flight: Flight, update: AnswerHead, times: Times): void {
  const { crew, desk } = flight
  const freshened = takeOver(flight, update, times)
  if (freshened === null) {
    // It is about another answer than we asked about: ask again, without a condition.
    desk.again(crew.evacuate(), null)
    return
  }
  const { entry, stored, verdict } = freshened
  if (!verdict.share) desk.alone(crew.disembark())
  crew.serve(entry, { fwdStatus: 304, stored, terms: verdict.terms, detail: verdict.detail }, 'validated', null)
}

/** Takes an update over into the store. Null when it speaks of another answer: then what is stored is outdated. */
function takeOver(
  flight: Flight,
  update: AnswerHead,
  times: Times,
): { entry: Entry; stored: boolean; verdict: Verdict } | null {
  const { plan, desk } = flight
  const { candidate, question } = plan
  if (candidate === null || saysNothingOf(question, candidate, update)) return null
  const freshened = freshen(plan, candidate, update, times)
  if (freshened?.verdict.keep !== true) desk.outdated(flight, candidate)
  if (freshened === null) return null
  return { ...freshened, stored: freshened.verdict.keep && desk.store(flight, freshened.entry) }
}
