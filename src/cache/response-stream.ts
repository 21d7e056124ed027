// An answer as a stream from a source to a sink: the caller, or a cache that keeps a copy. Types only.

import type { Problem } from '../problems.ts'

export interface ResponseHead {
  readonly status: number
  /** Name and value alternating, names in lower case; with Content-Encoding, without Content-Length and connection fields. */
  readonly fields: readonly string[]
  /** Bytes of the body, or of the body a HEAD or a 304 speaks of; null when not known. */
  readonly length: number | null
  /** Why the answer must not be shared, where a field that is not passed on says so (Set-Cookie): a token. */
  readonly unshared?: string | null
}

/** The source of an answer, as its sink sees it. */
export interface ResponseSource {
  /** The sink has room again after `data` returned false. */
  resume(): void
  /** The sink needs no more: stop the source at once. Nothing more is delivered. */
  abort(): void
}

/** Takes one answer: `attach`, then `head`, `data`…, `end`; `fail` may take the place of anything after `attach`. */
export interface ResponseSink {
  attach(source: ResponseSource): void
  head(head: ResponseHead): void
  /** False asks the source to pause until `resume`. */
  data(chunk: Buffer): boolean
  /** The last bytes, or null when everything came before. */
  end(last: Buffer | null): void
  /** There is no (complete) answer. */
  fail(problem: Problem): void
}
