// Takes the content coding off an answer, for a sink that has to read it. The leak guard runs before and decodes
// large answers, so a coded answer here is small and complete.

import type { ResponseHead, ResponseSink, ResponseSource } from '../../cache/response-stream.ts'
import { firstValue, withoutFields } from '../../http/field-list.ts'
import { asProblem, type Problem } from '../../problems.ts'
import { decodersFor, type Decoder } from '../../http/content-coding.ts'

/** Above the largest coded answer that the leak guard passes on. */
const maxDecodedBytes = 4 * 1024 * 1024

/** Feeds its sink the answer without coding. */
export class PlainAnswer implements ResponseSink {
  readonly #sink: ResponseSink
  readonly #refusal: (why: string) => Problem
  #decoders: readonly Decoder[] = []
  #head: ResponseHead | null = null
  #held: Buffer[] = []
  #over = false

  /** `refusal` is what the sink gets in place of an answer that cannot be decoded. */
  constructor(sink: ResponseSink, refusal: (why: string) => Problem) {
    this.#sink = sink
    this.#refusal = refusal
  }

  attach(flow: ResponseSource): void {
    this.#sink.attach({
      resume: () => flow.resume(),
      abort: () => {
        this.#over = true
        flow.abort()
      },
    })
  }

  head(head: ResponseHead): void {
    const coding = firstValue(head.fields, 'content-encoding')
    const hasBody = head.status !== 204 && head.status !== 304
    this.#decoders = coding === null || !hasBody ? [] : (decodersFor(coding) ?? [])
    if (this.#decoders.length === 0) this.#sink.head(head)
    else this.#head = head
  }

  data(chunk: Buffer): boolean {
    if (this.#head === null) return this.#sink.data(chunk)
    this.#held.push(chunk)
    return true
  }

  end(last: Buffer | null): void {
    const head = this.#head
    if (head === null) {
      this.#sink.end(last)
      return
    }
    if (last !== null) this.#held.push(last)
    void decoded(this.#decoders, Buffer.concat(this.#held))
      .then((bytes) => this.#give(head, bytes))
      .catch((error: unknown) => this.#sink.fail(asProblem(error)))
  }

  fail(problem: Problem): void {
    this.#sink.fail(problem)
  }

  #give(head: ResponseHead, bytes: Buffer | null): void {
    if (this.#over) return
    if (bytes === null) {
      this.#sink.fail(this.#refusal('its content coding is broken'))
      return
    }
    const plain = withoutFields(head.fields, (name) => name === 'content-encoding')
    this.#sink.head({ ...head, fields: plain, length: bytes.length })
    this.#sink.end(bytes)
  }
}

/** Null when it cannot be decoded. An empty body is valid in no coding. */
async function decoded(decoders: readonly Decoder[], coded: Buffer): Promise<Buffer | null> {
  let bytes = coded
  try {
    for (const decoder of coded.length === 0 ? [] : decoders) bytes = await decoder.decode(bytes, maxDecodedBytes)
    return bytes
  } catch {
    return null
  }
}
