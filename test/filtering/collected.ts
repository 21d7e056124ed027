// A sink that collects one answer, for the tests of filters.

import type { ResponseHead, ResponseSink, ResponseSource } from '../../src/cache/response-stream.ts'
import type { Problem } from '../../src/problems.ts'

export interface Collected extends ResponseSink {
  readonly status: number | null
  readonly head_: ResponseHead | null
  readonly text: string
  readonly problem: Problem | null
  readonly isOver: boolean
  readonly flow: ResponseSource | null
  /** Answers of `data` from now on. */
  room: boolean
}

export function collect(): Collected {
  const chunks: Buffer[] = []
  let given: ResponseHead | null = null
  let problem: Problem | null = null
  let isOver = false
  let flow: ResponseSource | null = null
  return {
    room: true,
    get status() {
      return given?.status ?? null
    },
    get head_() {
      return given
    },
    get text() {
      return Buffer.concat(chunks).toString()
    },
    get problem() {
      return problem
    },
    get isOver() {
      return isOver
    },
    get flow() {
      return flow
    },
    attach(source) {
      if (flow !== null) throw new Error('attached twice')
      flow = source
    },
    head(head) {
      if (given !== null || isOver) throw new Error('a second head')
      given = head
    },
    data(chunk) {
      if (given === null || isOver) throw new Error('data without head')
      chunks.push(chunk)
      return this.room
    },
    end(last) {
      if (given === null || isOver) throw new Error('an end without head')
      if (last !== null) chunks.push(last)
      isOver = true
    },
    fail(why) {
      if (isOver) throw new Error('a failure behind the end')
      problem = why
      isOver = true
    },
  }
}
