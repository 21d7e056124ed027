// The sink of a create with a budget reservation, before any filter: tells the reservation what became of the create.

import { memberOf, parseObject } from '../../json/untyped.ts'
import type { ResponseHead, ResponseSink, ResponseSource } from '../../cache/response-stream.ts'
import type { Problem } from '../../problems.ts'
import type { RequestContext } from '../context.ts'

/** Answers to creates are small; a larger one is not read, and settlement finds the session. */
const maxBytes = 256 * 1024

export class ReservationSink implements ResponseSink {
  readonly #context: RequestContext
  readonly #next: ResponseSink
  #status = 0
  #chunks: Buffer[] | null = []
  #bytes = 0

  constructor(context: RequestContext, next: ResponseSink) {
    this.#context = context
    this.#next = next
  }

  attach(flow: ResponseSource): void {
    this.#next.attach({
      resume: () => flow.resume(),
      abort: () => {
        this.#tell(this.#context.upstreamStartedAtMs === null ? 'released' : this.#verdict())
        flow.abort()
      },
    })
  }

  head(head: ResponseHead): void {
    this.#status = head.status
    const coded = head.fields.some((name, index) => index % 2 === 0 && name === 'content-encoding')
    if (coded || head.status < 200 || head.status >= 300) this.#chunks = null
    this.#next.head(head)
  }

  data(chunk: Buffer): boolean {
    this.#collect(chunk)
    return this.#next.data(chunk)
  }

  end(last: Buffer | null): void {
    if (last !== null) this.#collect(last)
    this.#tell(this.#verdict())
    this.#next.end(last)
  }

  fail(problem: Problem): void {
    const { upstreamStartedAtMs } = this.#context
    const unsent = upstreamStartedAtMs === null || surelyUnsent.has(problem.kind)
    this.#tell(unsent ? 'released' : this.#verdict())
    this.#next.fail(problem)
  }

  #collect(chunk: Buffer): void {
    if (this.#chunks === null) return
    this.#bytes += chunk.length
    if (this.#bytes > maxBytes) this.#chunks = null
    else this.#chunks.push(chunk)
  }

  /** A 4xx says that there is no session; a 5xx may come from behind one. */
  #verdict(): 'released' | 'unclear' | { readonly session: string } {
    if (this.#status >= 400 && this.#status < 500) return 'released'
    if (this.#chunks === null) return 'unclear'
    const session = sessionIn(Buffer.concat(this.#chunks))
    return session === null ? 'unclear' : { session }
  }

  #tell(verdict: 'released' | 'unclear' | { readonly session: string }): void {
    const reservation = this.#context.takeReservation()
    if (verdict === 'released') reservation?.released()
    else if (verdict === 'unclear') reservation?.unclear()
    else reservation?.opened(verdict.session)
  }
}

/** Nothing of the request was sent, or the key was refused before anything was done. */
export const surelyUnsent: ReadonlySet<Problem['kind']> = new Set([
  'upstream-tls-failed',
  'upstream-credential-rejected',
])

function sessionIn(bytes: Buffer): string | null {
  const id = memberOf(parseObject(bytes.toString('utf8')), 'session_id')
  return typeof id === 'string' && id !== '' && id.length <= 200 ? id : null
}
