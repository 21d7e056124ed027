// Filters a single object: held until its organization is known, then passed on without dropped fields, or refused.

import type { ResponseHead, ResponseSink, ResponseSource } from '../cache/response-stream.ts'
import type { AnswerShape } from '../catalogue/operation.ts'
import type { Problem } from '../problems.ts'
import { errorFields, filteredFields, treatmentOf } from './answer-head.ts'
import { createSelector, type Selection } from './selection.ts'
import { UnknownShape } from './unknown-shape.ts'

export interface ObjectRequest {
  readonly shape: AnswerShape
  readonly selection: Selection
  /** The refusal of an object that is not there or not the caller's. */
  outside(): Problem
  refusal(why: string): Problem
}

const maxBytes = 4 * 1024 * 1024
/** Errors about the request's form or the upstream's state, which reveal nothing about the object. */
const aboutTheRequest = new Set([400, 405, 406, 422, 429])

export class FilteredObject implements ResponseSink {
  readonly #request: ObjectRequest
  readonly #sink: ResponseSink
  readonly #isFiltered: boolean
  #flow: ResponseSource | null = null
  #state: 'reading' | 'passing' | 'over' = 'reading'
  #head: ResponseHead | null = null
  #chunks: Buffer[] = []
  #size = 0

  constructor(request: ObjectRequest, sink: ResponseSink) {
    this.#request = request
    this.#sink = sink
    this.#isFiltered = request.selection.organizations !== 'all'
  }

  attach(flow: ResponseSource): void {
    this.#flow = flow
    this.#sink.attach({
      resume: () => flow.resume(),
      abort: () => {
        this.#state = 'over'
        flow.abort()
      },
    })
  }

  head(head: ResponseHead): void {
    if (this.#state !== 'reading') return
    const treatment = treatmentOf(head, this.#isFiltered)
    if (treatment === 'read') this.#head = head
    else if (treatment === 'refuse') this.#stop(this.#request.refusal('it is no JSON of an object'))
    else if (this.#isFiltered && head.status < 500 && !aboutTheRequest.has(head.status))
      this.#stop(this.#request.outside())
    else {
      this.#state = 'passing'
      this.#sink.head(treatment === 'error' ? { ...head, fields: errorFields(head) } : head)
    }
  }

  data(chunk: Buffer): boolean {
    if (this.#state === 'passing') return this.#sink.data(chunk)
    if (this.#state !== 'reading') return true
    this.#size += chunk.length
    if (this.#size > maxBytes) this.#stop(this.#request.refusal('it is too large'))
    else this.#chunks.push(chunk)
    return true
  }

  end(last: Buffer | null): void {
    if (this.#state === 'passing') {
      this.#sink.end(last)
      return
    }
    if (last !== null) this.data(last)
    if (this.#state === 'reading' && this.#head !== null) this.#give(this.#head)
  }

  fail(problem: Problem): void {
    if (this.#state === 'over') return
    this.#state = 'over'
    this.#sink.fail(problem)
  }

  #give(head: ResponseHead): void {
    const bytes = this.#select()
    if (bytes === null) return
    this.#state = 'over'
    this.#sink.head({ ...head, fields: filteredFields(head), length: bytes.length })
    this.#sink.end(bytes)
  }

  #select(): Buffer | null {
    const { shape, selection, outside, refusal } = this.#request
    try {
      const { bytes } = createSelector(shape, selection)(Buffer.concat(this.#chunks))
      if (bytes === null) this.#stop(outside())
      return bytes
    } catch (error) {
      if (!(error instanceof UnknownShape)) throw error
      this.#stop(refusal(error.message))
      return null
    }
  }

  #stop(problem: Problem): void {
    this.#state = 'over'
    this.#chunks = []
    this.#flow?.abort()
    this.#sink.fail(problem)
  }
}
