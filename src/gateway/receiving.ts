// The upstream's answer on its way to the caller: status and fields through the allow-list, every byte through the leak
// guard, one write for an answer that comes in one piece. One object per forwarded request.

import type { ServerResponse } from 'node:http'
import type { Dispatcher } from 'undici'
import type { KeyVersion } from '../keys/keyring.ts'
import { Problem } from '../problems.ts'
import { inspectCompressed, decodersFor, type Inspector } from './content-coding.ts'
import type { Exchange } from './exchange.ts'
import { readAnswerFields, weakened, type AnswerFields, type RawFields } from './fields.ts'
import type { Forward } from './forwarding.ts'
import type { LeakGuard, Scanner } from './leak-guard.ts'
import { proxyStatus, upstreamProblem } from './upstream-errors.ts'

/** What the rest of the house wants to know of answers. */
export interface ReceivingEvents {
  now(): number
  /** The upstream took the key. */
  accepted(version: KeyVersion): void
  /** The upstream answered 401; resolves when the secret has been read again. */
  rejected(version: KeyVersion): Promise<void>
  /** Key values were found in an answer and masked. */
  leaked(exchange: Exchange): void
  /** No answer has been sent yet; answer with this problem. */
  failed(exchange: Exchange, response: ServerResponse, problem: Problem): void
  /** An error of the connection, for the log. */
  trouble(exchange: Exchange, error: unknown): void
}

export class Receiving implements Dispatcher.DispatchHandler {
  readonly #forward: Forward
  readonly #guard: LeakGuard
  readonly #events: ReceivingEvents
  readonly #release: () => void
  #controller: Dispatcher.DispatchController | null = null
  #answer: AnswerFields | null = null
  #scanner: Scanner | null = null
  #inspector: Inspector | null = null
  #over = false

  constructor(forward: Forward, guard: LeakGuard, events: ReceivingEvents, release: () => void) {
    this.#forward = forward
    this.#guard = guard
    this.#events = events
    this.#release = release
  }

  /** The caller has left: let go of the upstream at once. */
  abandon(): void {
    if (this.#over) return
    this.#finish()
    this.#inspector?.abort()
    this.#controller?.abort(new Error('the caller left'))
  }

  /** Stops the exchange with a problem of ours; the upstream is let go. */
  refuse(problem: Problem): void {
    if (this.#over) return
    this.#finish()
    this.#inspector?.abort()
    this.#controller?.abort(problem)
    const { exchange, response } = this.#forward
    if (response.headersSent) this.#breakOff(problem)
    else this.#events.failed(exchange, response, problem)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#over) controller.abort(new Error('the caller left'))
    else this.#forward.exchange.upstreamStartedAtMs ??= this.#events.now()
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    // Interim answers (100, 103) are for one hop.
    if (status < 200 || this.#over) return
    const { exchange, version } = this.#forward
    exchange.upstreamStatus = status
    if (status === 401) {
      this.#credentialRejected(controller)
      return
    }
    this.#events.accepted(version)
    // undici hands on name and value buffers alternating; its type speaks of every form there is.
    const rawFields = (controller.rawHeaders ?? []) as RawFields
    const answer = readAnswerFields(rawFields, (value) => this.#masked(value))
    this.#answer = answer
    if (hasNoBody(exchange.method, status)) return
    const coding = answer.contentEncoding
    if (coding === null || coding === 'identity') return
    const decoders = decodersFor(coding)
    if (decoders === null) {
      this.refuse(unsearchable('its content coding is one the gateway cannot look into'))
      return
    }
    this.#inspector = this.#inspect(decoders)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const answer = this.#answer
    if (this.#over || answer === null) return
    if (this.#inspector !== null) {
      this.#inspector.push(chunk)
      return
    }
    if (this.#scanner === null) {
      if (answer.contentLength === chunk.length) {
        const whole = this.#guard.maskBuffer(chunk)
        if (whole !== chunk) this.#events.leaked(this.#forward.exchange)
        this.#end(answer.contentLength, null, whole)
        return
      }
      this.#head(answer.contentLength, null)
      this.#scanner = this.#guard.createScanner()
    }
    const passed = this.#scanner.push(chunk)
    if (passed !== null && !this.#write(passed)) this.#pause(controller)
  }

  onResponseEnd(): void {
    const answer = this.#answer
    if (this.#over || answer === null) return
    if (this.#inspector !== null) {
      this.#inspector.end()
      return
    }
    const tail = this.#scanner?.end() ?? null
    if ((this.#scanner?.found ?? 0) > 0) this.#events.leaked(this.#forward.exchange)
    const { exchange } = this.#forward
    // An answer to HEAD, a 204 and a 304 keep the length and coding they speak of.
    const length = hasNoBody(exchange.method, exchange.upstreamStatus ?? 0)
      ? answer.contentLength
      : (answer.contentLength ?? 0)
    this.#end(length, answer.contentEncoding, tail)
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#over) return
    this.#events.trouble(this.#forward.exchange, error)
    this.refuse(upstreamProblem(error))
  }

  #credentialRejected(controller: Dispatcher.DispatchController): void {
    this.#finish()
    controller.abort(new Error('the upstream rejected the key'))
    const { exchange, response, version } = this.#forward
    const problem = new Problem(
      'upstream-credential-rejected',
      'The Devin API rejected the gateway’s key, not your token. Its secret has been read again; try once more after Retry-After.',
      {
        fields: { 'retry-after': '1' },
      },
    )
    void this.#events.rejected(version).finally(() => this.#events.failed(exchange, response, problem))
  }

  #inspect(decoders: NonNullable<ReturnType<typeof decodersFor>>): Inspector {
    return inspectCompressed(this.#guard, decoders, {
      onHead: ({ identity, length }) => {
        if (identity && this.#answer !== null) this.#answer = weakened(this.#answer)
        this.#head(length, identity ? null : (this.#answer?.contentEncoding ?? null))
      },
      onData: (chunk) => {
        const more = this.#write(chunk)
        if (!more && this.#controller !== null) this.#pause(this.#controller)
        return more
      },
      onEnd: (found) => {
        if (found > 0) this.#events.leaked(this.#forward.exchange)
        this.#finish()
        this.#forward.response.end()
      },
      onError: () => this.refuse(unsearchable('its content coding is broken')),
      onFlow: (more) => {
        if (more) this.#controller?.resume()
        else this.#controller?.pause()
      },
    })
  }

  #masked(value: string): string {
    const masked = this.#guard.maskText(value)
    if (masked !== value) this.#events.leaked(this.#forward.exchange)
    return masked
  }

  #head(length: number | null, coding: string | null): void {
    const { exchange, response } = this.#forward
    if (response.headersSent) return
    const fields = this.#answer?.pass ?? []
    if (length !== null) fields.push('content-length', String(length))
    if (coding !== null) fields.push('content-encoding', coding)
    fields.push('x-request-id', exchange.requestId, 'gateway-decision', exchange.decisionId)
    exchange.status = exchange.upstreamStatus
    response.writeHead(exchange.upstreamStatus ?? 502, fields)
  }

  #end(length: number | null, coding: string | null, last: Buffer | null): void {
    this.#head(length, coding)
    this.#finish()
    const { exchange, response } = this.#forward
    if (last === null) response.end()
    else {
      exchange.bytesOut += last.length
      response.end(last)
    }
  }

  #write(chunk: Buffer): boolean {
    this.#forward.exchange.bytesOut += chunk.length
    return this.#forward.response.write(chunk)
  }

  #pause(controller: Dispatcher.DispatchController): void {
    controller.pause()
    this.#forward.response.once('drain', () => {
      this.#inspector?.resume()
      controller.resume()
    })
  }

  #finish(): void {
    if (this.#over) return
    this.#over = true
    this.#forward.exchange.upstreamEndedAtMs = this.#events.now()
    this.#release()
  }

  /** The head is out, so the only honest sign of an incomplete answer is a broken connection. */
  #breakOff(problem: Problem): void {
    this.#forward.exchange.problem = problem
    this.#forward.exchange.brokenOff = true
    this.#forward.response.destroy()
  }
}

function hasNoBody(method: string | null, status: number): boolean {
  return method === 'HEAD' || status === 204 || status === 304
}

function unsearchable(why: string): Problem {
  return new Problem(
    'upstream-answer-refused',
    `The answer of the Devin API was not passed on because ${why}. Ask for it with Accept-Encoding: identity.`,
    {
      fields: { 'proxy-status': proxyStatus('http_protocol_error') },
    },
  )
}
