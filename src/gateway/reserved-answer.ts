// The answer to a create that something was reserved for, on its way through: passes everything on and tells the
// reservation once what became of the create. Made by budgeting.ts; admission.ts puts it right behind the upstream.

import type { AnswerHead, AnswerTaker, Flow } from '../cache/answer.ts'
import type { Reservation } from '../budgets/budgets.ts'
import { Problem } from '../problems.ts'
import type { Exchange } from './exchange.ts'

/** Answers to creates have a kilobyte or two; a larger one is left unread, and settlement looks for the session. */
const maxBytes = 256 * 1024

export class ReservedAnswer implements AnswerTaker {
  readonly #exchange: Exchange
  readonly #reservation: Reservation
  #taker: AnswerTaker | null = null
  #attached = false
  #told = false
  #status = 0
  #chunks: Buffer[] | null = []
  #bytes = 0

  constructor(exchange: Exchange, reservation: Reservation) {
    this.#exchange = exchange
    this.#reservation = reservation
  }

  /** The taker behind it, for the request that is sent now. Throws when it was called off before. */
  behind(taker: AnswerTaker): this {
    if (this.#told)
      throw new Problem('budget-unavailable', 'The request was called off before it was sent. Send it again.')
    this.#taker = taker
    return this
  }

  /** Nothing will be sent any more. Without effect once it is on its way: then the answer tells. */
  cancel(): void {
    if (!this.#attached) this.#tell('released')
  }

  attach(flow: Flow): void {
    this.#attached = true
    this.#taker?.attach({
      resume: () => flow.resume(),
      abort: () => {
        this.#tell(this.#exchange.upstreamStartedAtMs === null ? 'released' : this.#verdict())
        flow.abort()
      },
    })
  }

  head(head: AnswerHead): void {
    this.#status = head.status
    const coded = head.fields.some((name, index) => index % 2 === 0 && name === 'content-encoding')
    if (coded || head.status < 200 || head.status >= 300) this.#chunks = null
    this.#taker?.head(head)
  }

  data(chunk: Buffer): boolean {
    this.#collect(chunk)
    return this.#taker?.data(chunk) ?? true
  }

  end(last: Buffer | null): void {
    if (last !== null) this.#collect(last)
    this.#tell(this.#verdict())
    this.#taker?.end(last)
  }

  fail(problem: Problem): void {
    const { upstreamStartedAtMs } = this.#exchange
    const unsent = upstreamStartedAtMs === null || surelyUnsent.has(problem.kind)
    this.#tell(unsent ? 'released' : this.#verdict())
    this.#taker?.fail(problem)
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
    if (this.#told) return
    this.#told = true
    if (verdict === 'released') this.#reservation.released()
    else if (verdict === 'unclear') this.#reservation.unclear()
    else this.#reservation.opened(verdict.session)
  }
}

/** Nothing of the request left, or the key was refused before anything was done. */
const surelyUnsent: ReadonlySet<Problem['kind']> = new Set(['upstream-tls-failed', 'upstream-credential-rejected'])

function sessionIn(bytes: Buffer): string | null {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'))
    const id: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, 'session_id') : null
    return typeof id === 'string' && id !== '' && id.length <= 200 ? id : null
  } catch {
    return null
  }
}
