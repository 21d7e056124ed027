// Passes one answer of the upstream back: fields through the allow-list, every byte through the leak guard.

import type { Dispatcher } from 'undici'
import type { ResponseSink, ResponseSource } from '../../cache/response-stream.ts'
import type { KeyVersion } from '../../keys/keyring.ts'
import { Problem } from '../../problems.ts'
import { Inspector } from './compressed-answer.ts'
import { decodersFor, type Decoder } from '../../http/content-coding.ts'
import type { RequestContext } from '../context.ts'
import { restMs } from '../../http/retry-after.ts'
import { readAnswerFields, weakened, type AnswerFields, type RawFields } from './response-fields.ts'
import type { LeakGuard, Scanner } from './leak-guard.ts'
import type { AnswerReceiver } from '../upstream/call.ts'
import { answerRefused, proxyStatus } from '../upstream/errors.ts'
import type { StreamTurn } from '../stream-turns.ts'

export interface ResponseEvents {
  now(): number
  accepted(version: KeyVersion): void
  /** The upstream answered 401, to a caller's call or to a check; resolves when the secret has been read again. */
  rejected(version: KeyVersion, isCheck?: boolean): Promise<void>
  /** The upstream answered 429: the key has to pause so long, milliseconds. */
  throttled(version: KeyVersion, waitMs: number): void
  leaked(context: RequestContext): void
  trouble(context: RequestContext, error: unknown): void
}

export interface AskedRequest {
  readonly context: RequestContext
  /** As the upstream got it. */
  readonly method: string
  readonly version: KeyVersion
}

/** The call to the upstream, as its answer sees it. */
export interface UpstreamCall {
  /** Gives the request up; nothing more is received of it. */
  abandon(reason: Error): void
  /** An answer has begun; its fields as they are passed on. */
  answered(fields: readonly string[]): void
  /** The upstream answered 429 and asked to wait so long, milliseconds. */
  throttled(waitMs: number): void
  /** The answer comes in pieces and takes turns with others; `goOn` is called when its turn has come. */
  takeTurns(goOn: () => void): StreamTurn
}

export class UpstreamResponseHandler implements AnswerReceiver, ResponseSource {
  readonly #asked: AskedRequest
  readonly #context: RequestContext
  readonly #sink: ResponseSink
  readonly #guard: LeakGuard
  readonly #events: ResponseEvents
  readonly #call: UpstreamCall
  #controller: Dispatcher.DispatchController | null = null
  #answer: AnswerFields | null = null
  #scanner: Scanner | null = null
  #inspector: Inspector | null = null
  /** Null before the answer comes in pieces. */
  #turn: StreamTurn | null = null
  #over = false
  #endCall = (): void => {}

  constructor(asked: AskedRequest, sink: ResponseSink, guard: LeakGuard, events: ResponseEvents, call: UpstreamCall) {
    this.#asked = asked
    this.#context = asked.context
    this.#sink = sink
    this.#guard = guard
    this.#events = events
    this.#call = call
  }

  /** The request has its place in the queue. The call ends when all sinks have run, or at once when one gives it up. */
  begin(): void {
    this.#endCall = this.#context.beginCall()
    this.#sink.attach(this)
  }

  /** Nothing more is given to the sink. */
  get isOver(): boolean {
    return this.#over
  }

  /** The upstream answered, and neither throttled the request nor rejected its key. */
  get isAccepted(): boolean {
    return this.#answer !== null && this.#context.upstreamStatus !== 429
  }

  /** The sink needs no more of the answer: the call is aborted at once. */
  abort(): void {
    if (!this.#over) this.#letGo(new Error('the caller left'))
    this.#endCall()
  }

  resume(): void {
    // An inspector pauses and resumes the upstream by itself.
    if (this.#inspector === null) this.#turn?.release()
    else this.#inspector.resume()
  }

  /** Ends the exchange with a problem of the gateway; the call is aborted. */
  refuse(problem: Problem): void {
    if (this.#over) return
    this.#letGo(problem)
    this.#failSink(problem)
  }

  started(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    this.#context.upstreamStartedAtMs ??= this.#events.now()
  }

  head(status: number, controller: Dispatcher.DispatchController): void {
    if (this.#over) return
    this.#context.upstreamStatus = status
    if (status === 401) {
      this.#credentialRejected()
      return
    }
    this.#events.accepted(this.#asked.version)
    // undici hands on name and value buffers alternating; its type speaks of every form there is.
    const rawFields = (controller.rawHeaders ?? []) as RawFields
    const answer = readAnswerFields(rawFields, (value) => this.#masked(value))
    this.#answer = answer
    this.#call.answered(answer.pass)
    if (status === 429) {
      const waitMs = restMs(answer.pass)
      this.#call.throttled(waitMs)
      this.#events.throttled(this.#asked.version, waitMs)
    }
    if (answer.requestId !== null && answer.requestId !== this.#context.requestId)
      this.#context.upstreamRequestId = answer.requestId
    if (hasNoBody(this.#asked.method, status)) {
      // Not at its end: undici takes the length that a 304 speaks of (RFC 9110 section 8.6) for one that did not come. The
      // length and coding of an answer to HEAD and of a 304 stay; a 204 has none.
      this.#end(status === 204 ? null : answer.contentLength, answer.contentEncoding, null)
      return
    }
    const decoders = answer.contentEncoding === null ? [] : decodersFor(answer.contentEncoding)
    if (decoders === null)
      this.refuse(answerRefused('its content coding is one the gateway cannot look into', plainInstead))
    else if (decoders.length > 0) this.#inspector = this.#inspect(decoders)
    else if (answer.contentLength === null) this.#stream(null)
  }

  data(chunk: Buffer): boolean {
    const answer = this.#answer
    if (this.#over || answer === null) return true
    if (this.#inspector !== null) {
      this.#inspector.push(chunk)
      return this.#mayGoOn(chunk)
    }
    if (this.#scanner === null) {
      if (answer.contentLength === chunk.length) {
        const whole = this.#guard.maskBuffer(chunk)
        if (whole !== chunk) this.#events.leaked(this.#context)
        this.#end(answer.contentLength, null, whole)
        return true
      }
      this.#stream(answer.contentLength)
    }
    const passed = this.#scanner?.push(chunk) ?? null
    if (passed !== null && !this.#sink.data(passed)) this.#turn?.hold()
    return this.#mayGoOn(chunk)
  }

  end(): void {
    const answer = this.#answer
    if (this.#over || answer === null) return
    if (this.#inspector !== null) {
      this.#inspector.end()
      return
    }
    if (this.#scanner !== null) {
      const tail = this.#scanner.end()
      if (this.#scanner.found > 0) this.#events.leaked(this.#context)
      this.#endSink(tail)
      return
    }
    // The body was empty.
    this.#end(0, answer.contentEncoding, null)
  }

  failed(problem: Problem, error: unknown): void {
    if (this.#over) return
    this.#events.trouble(this.#context, error)
    this.refuse(problem)
  }

  #mayGoOn(read: Buffer): boolean {
    return this.#over || this.#turn?.read(read.length) !== false
  }

  #takeTurns(): void {
    this.#turn = this.#call.takeTurns(() => {
      // Once the answer is over, the connection carries another one.
      if (!this.#over) this.#controller?.resume()
    })
  }

  #stream(length: number | null): void {
    this.#takeTurns()
    this.#head(length, null)
    this.#scanner = this.#guard.createScanner()
  }

  #credentialRejected(): void {
    this.#finish()
    this.#call.abandon(new Error('the upstream rejected the key'))
    const problem = new Problem(
      'upstream-credential-rejected',
      "The Devin API rejected the gateway's key, not your token. Its secret has been read again; try once more after Retry-After.",
      { fields: { 'retry-after': '1', 'proxy-status': proxyStatus('http_request_denied') } },
    )
    const fail = (): void => this.#failSink(problem)
    this.#events.rejected(this.#asked.version).then(fail, fail)
  }

  #inspect(decoders: readonly Decoder[]): Inspector {
    this.#takeTurns()
    return new Inspector(this.#guard, decoders, {
      onHead: ({ identity, length }) => {
        if (identity && this.#answer !== null) this.#answer = weakened(this.#answer)
        this.#head(length, identity ? null : (this.#answer?.contentEncoding ?? null))
      },
      onData: (chunk) => this.#sink.data(chunk),
      onEnd: (found) => {
        if (found > 0) this.#events.leaked(this.#context)
        this.#endSink(null)
      },
      onError: () => this.refuse(answerRefused('its content coding is broken', plainInstead)),
      onFlow: (more) => {
        if (more) this.#turn?.release()
        else this.#turn?.hold()
      },
    })
  }

  #masked(value: string): string {
    const masked = this.#guard.maskText(value)
    if (masked !== value) this.#events.leaked(this.#context)
    return masked
  }

  #head(length: number | null, coding: string | null): void {
    const fields = this.#answer?.pass ?? []
    if (coding !== null) fields.push('content-encoding', coding)
    const unshared = this.#answer?.unshared ?? null
    this.#sink.head({ status: this.#context.upstreamStatus ?? 502, fields, length, unshared })
  }

  #end(length: number | null, coding: string | null, last: Buffer | null): void {
    this.#head(length, coding)
    this.#endSink(last)
  }

  #endSink(last: Buffer | null): void {
    this.#finish()
    this.#sink.end(last)
    this.#endCall()
  }

  #failSink(problem: Problem): void {
    this.#sink.fail(problem)
    this.#endCall()
  }

  /** An answer that breaks off still raises the alarm for keys masked before. */
  #letGo(reason: Error): void {
    this.#finish()
    if ((this.#inspector?.found ?? this.#scanner?.found ?? 0) > 0) this.#events.leaked(this.#context)
    this.#inspector?.abort()
    this.#call.abandon(reason)
  }

  #finish(): void {
    if (this.#over) return
    this.#over = true
    this.#context.upstreamEndedAtMs = this.#events.now()
  }
}

function hasNoBody(method: string, status: number): boolean {
  return method === 'HEAD' || status === 204 || status === 304
}

const plainInstead = { advice: 'Ask for it with Accept-Encoding: identity and Cache-Control: no-store.' }
