// One caller who waits for an answer from the upstream, at the head of a flight or behind it. It is the flow that the caller's
// taker sees, whichever flight the caller waits on.

import type { Flow } from './answer.ts'
import type { Visit } from './answering.ts'
import type { Fetch } from './question.ts'

/** What a seat tells the flight it sits in. */
export interface Carrier {
  /** The one in this seat has left. */
  leave(seat: Seat): void
  /** The one in this seat has room again. */
  proceed(seat: Seat): void
}

const maxAttempts = 2

export class Seat implements Flow {
  readonly visit: Visit
  readonly fetch: Fetch
  /** Flights it has waited on in vain. */
  attempts = 0
  left = false
  carrier: Carrier | null = null

  constructor(visit: Visit, fetch: Fetch) {
    this.visit = visit
    this.fetch = fetch
    visit.taker.attach(this)
  }

  get mayTryAgain(): boolean {
    return this.attempts < maxAttempts
  }

  abort(): void {
    this.left = true
    this.carrier?.leave(this)
  }

  resume(): void {
    this.carrier?.proceed(this)
  }
}
