// What was evaluated for requests that callers repeat, as dashboards and pollers do: the same principal, policies, method
// and target come to the same evaluation, so it is made and written down once.

import type { Principal } from '../identity/principal.ts'
import type { Evaluation } from './evaluate.ts'

/** Requests that are remembered for each principal; a dashboard asks a few in turn. */
export const placesOfCaller = 8
/** Characters of the longest target that is remembered: callers choose them, and few that come again are longer. */
export const longestTarget = 1024
/** Evaluations that are kept of all callers together, about 2 KB each. */
const mostKeptByDefault = 16_384

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

/** Belongs to one snapshot of the policies, forgets a principal with its token, and everybody when it is full. */
export class RepeatedRequests {
  readonly #mostKept: number
  #callers = new WeakMap<Principal, Memory>()
  #kept = 0

  constructor(mostKept = mostKeptByDefault) {
    this.#mostKept = mostKept
  }

  /** The evaluation of this request before; null when it is not remembered. `target`: as it was received. */
  find(principal: Principal, method: string, target: string): Evaluation | null {
    const memory = this.#callers.get(principal)
    return memory === undefined ? null : (placeOf(memory, method, target)?.evaluation ?? null)
  }

  /** Remembers that a request came, and what it came to when it has come before. */
  note(principal: Principal, method: string, target: string, evaluation: Evaluation): void {
    if (target.length > longestTarget) return
    let memory = this.#callers.get(principal)
    if (memory === undefined) this.#callers.set(principal, (memory = { places: [], next: 0 }))
    const place = placeOf(memory, method, target)
    if (place !== null) this.#keep(place, evaluation)
    else {
      memory.places[memory.next] = { method, target, evaluation: null }
      memory.next = (memory.next + 1) % placesOfCaller
    }
  }

  #keep(place: Place, evaluation: Evaluation): void {
    place.evaluation = evaluation
    this.#kept += 1
    if (this.#kept <= this.#mostKept) return
    this.#callers = new WeakMap()
    this.#kept = 0
  }
}

function placeOf({ places }: Memory, method: string, target: string): Place | null {
  for (const place of places) if (place.target === target && place.method === method) return place
  return null
}
