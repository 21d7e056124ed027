// The first sink of every upstream answer: ends the call on the request's context after all later sinks have run.

import type { ResponseHead, ResponseSink, ResponseSource } from '../../cache/response-stream.ts'
import type { Problem } from '../../problems.ts'
import type { RequestContext } from '../context.ts'

export class UpstreamCallSink implements ResponseSink {
  readonly #context: RequestContext
  readonly #next: ResponseSink
  #over: (() => void) | null = null

  constructor(context: RequestContext, next: ResponseSink) {
    this.#context = context
    this.#next = next
  }

  attach(flow: ResponseSource): void {
    const over = this.#context.beginCall()
    this.#over = over
    this.#next.attach({
      resume: () => flow.resume(),
      abort: () => {
        flow.abort()
        over()
      },
    })
  }

  head(head: ResponseHead): void {
    this.#next.head(head)
  }

  data(chunk: Buffer): boolean {
    return this.#next.data(chunk)
  }

  end(last: Buffer | null): void {
    this.#next.end(last)
    this.#over?.()
  }

  fail(problem: Problem): void {
    this.#next.fail(problem)
    this.#over?.()
  }
}
