// The requests that are under way, so that those of a caller who is blocked, or with a key that is, can be cut, and all of them
// when the process ends.

import { InFlightList } from '../../in-flight-list.ts'
import type { Problem } from '../../problems.ts'
import type { RequestContext } from '../context.ts'
import { hasLeft } from '../listener/http-versions.ts'
import { draining } from '../refusals/request.ts'
import { answerFailure } from '../responses/own-answer.ts'

export class RequestsUnderWay {
  readonly #contexts = new InFlightList<RequestContext>()

  /** Until it has ended. */
  add(context: RequestContext): void {
    const entry = this.#contexts.add(context)
    context.whenEnded(() => this.#contexts.remove(entry))
  }

  items(): Iterable<RequestContext> {
    return this.#contexts.items()
  }

  /** How many there are that satisfy; those whose caller has left are among them, as long as a call for them is under way. */
  count(isIt: (context: RequestContext) => boolean): number {
    let found = 0
    for (const context of this.#contexts.items()) if (isIt(context)) found += 1
    return found
  }

  /**
   * Refuses those for which there is a problem. Where an answer has begun, it is broken off. What was sent stays recorded as sent;
   * a call that goes on without its caller (other callers wait for it, or it is a create with an Idempotency-Key) is left alone.
   */
  refuse(problemOf: (context: RequestContext) => Problem | undefined): void {
    for (const context of this.#contexts.items()) {
      if (context.isClosed) continue
      const problem = problemOf(context)
      if (problem === undefined) continue
      if (!context.isComplete) answerFailure(context, problem)
      // All of the answer is handed over, and the caller has not read it.
      else if (context.response.writableLength > 0) context.response.destroy()
    }
  }

  /** Their connections are about to be closed by the gateway: the records do not say that the callers have left. */
  cut(): void {
    for (const context of this.#contexts.items())
      if (!context.isClosed && (!context.isComplete || hasLeft(context.response))) cutByStop(context)
  }
}

/** Nothing more reaches its caller, because the process ends. */
export function cutByStop(context: RequestContext): void {
  context.fail(draining())
  context.brokenOff = true
}
