// What was evaluated for requests that callers repeat, as dashboards and pollers do: the same principal, policies, method
// and target come to the same evaluation, so it is made and written down once. Used by gateway/admission.ts.

import type { Principal } from '../identity/principal.ts'
import type { Evaluation } from './evaluate.ts'

/** Requests that are remembered for each principal; a dashboard asks a few in turn. */
export const placesOfCaller = 8

interface Place {
  readonly method: string
  readonly target: string
  /** Null after the first time: what does not come again is not worth keeping alive. */
  evaluation: Evaluation | null
}

interface Memory {
  readonly places: Place[]
  /** The place that is given away next. */
  next: number
}

/** Belongs to one snapshot of the policies, and forgets a principal with its token. */
export class RepeatedRequests {
  readonly #callers = new WeakMap<Principal, Memory>()

  /** The evaluation of this request before; null when it is not remembered. `target`: as it was received. */
  find(principal: Principal, method: string, target: string): Evaluation | null {
    const memory = this.#callers.get(principal)
    return memory === undefined ? null : (placeOf(memory, method, target)?.evaluation ?? null)
  }

  /** Remembers that a request came, and what it came to when it has come before. */
  note(principal: Principal, method: string, target: string, evaluation: Evaluation): void {
    let memory = this.#callers.get(principal)
    if (memory === undefined) this.#callers.set(principal, (memory = { places: [], next: 0 }))
    const place = placeOf(memory, method, target)
    if (place !== null) place.evaluation = evaluation
    else {
      memory.places[memory.next] = { method, target, evaluation: null }
      memory.next = (memory.next + 1) % placesOfCaller
    }
  }
}

function placeOf({ places }: Memory, method: string, target: string): Place | null {
  for (const place of places) if (place.target === target && place.method === method) return place
  return null
}
