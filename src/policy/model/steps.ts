// Work that can be cut into steps: a generator that yields wherever others may have their turn.

import { setImmediate } from 'node:timers/promises'

/** Each `yield` ends a step that takes well below a millisecond on honest input. */
export type Steps<Result> = Generator<undefined, Result>

/** Runs all steps now. For commands, and before anybody is served. */
export function atOnce<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

/** After so long a turn ends with the step that is under way. */
const turnMs = 2

/** Runs the steps in turns of the event loop, between which requests are served. Rejects with `aborted` once the signal says so. */
export async function inTurns<Result>(steps: Steps<Result>, signal?: AbortSignal): Promise<Result> {
  for (;;) {
    const endsAtMs = performance.now() + turnMs
    do {
      const step = steps.next()
      if (step.done === true) return step.value
    } while (performance.now() < endsAtMs)
    await setImmediate(undefined, signal === undefined ? {} : { signal })
  }
}

/** Does something with each item, in steps of a few. */
export function* eachInSteps<Item>(items: Iterable<Item>, work: (item: Item, index: number) => void): Steps<void> {
  let index = 0
  for (const item of items) {
    work(item, index)
    index += 1
    if (index % itemsPerStep === 0) yield
  }
}

const itemsPerStep = 32
