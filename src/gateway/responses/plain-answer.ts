// Takes the coding off an answer that the leak guard has passed on coded, and which is small and complete therefore.

import type { CacheOutcome, CacheSink } from '../../cache/cache-request.ts'
import type { ResponseHead, ResponseSink, ResponseSource } from '../../cache/response-stream.ts'
import { withoutCoding } from '../../cache/rfc9111/prepared-answer.ts'
import { asksFor, sharedCoding } from '../../http/accept-encoding.ts'
import { firstValue } from '../../http/field-list.ts'
import { asProblem, type Problem } from '../../problems.ts'
import { decodersFor, type Decoder } from '../../http/content-coding.ts'
import { answerRefused } from '../upstream/errors.ts'

/** Above the largest coded answer that the leak guard passes on. */
const maxDecodedBytes = 4 * 1024 * 1024

/** Feeds its sink the answer without coding. */
export class PlainAnswer implements CacheSink {
  readonly #sink: ResponseSink & Partial<CacheSink>
  readonly #refusal: (why: string) => Problem
  readonly #isHead: boolean
  #decoders: readonly Decoder[] = []
  #head: ResponseHead | null = null
  #held: Buffer[] = []
  #over = false

  /** `refusal` is what the sink gets in place of an answer that cannot be decoded. `isHead`: there is no body to decode. */
  constructor(sink: ResponseSink & Partial<CacheSink>, refusal: (why: string) => Problem, isHead = false) {
    this.#sink = sink
    this.#refusal = refusal
    this.#isHead = isHead
  }

  outcome(outcome: CacheOutcome): void {
    this.#sink.outcome?.(outcome)
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
    const hasBody = !this.#isHead && head.status !== 204 && head.status !== 304
    this.#decoders = coding === null || !hasBody ? [] : (decodersFor(coding) ?? [])
    if (this.#decoders.length > 0) this.#head = head
    // How long it would be without its coding is not known.
    else if (this.#isHead && coding !== null)
      this.#sink.head({ ...head, fields: withoutCoding(head.fields), length: null })
    else this.#sink.head(head)
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
    this.#sink.head({ ...head, fields: withoutCoding(head.fields), length: bytes.length })
    this.#sink.end(bytes)
  }
}

/** The sink for what comes through the cache: without the coding, for a caller that does not take it. */
export function inTakenCoding(caller: CacheSink, method: string, acceptEncoding: string | undefined): CacheSink {
  if (acceptEncoding !== undefined && asksFor(acceptEncoding, sharedCoding)) return caller
  const isHead = method === 'HEAD'
  return isHead || method === 'GET' ? new PlainAnswer(caller, (why) => answerRefused(why), isHead) : caller
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
