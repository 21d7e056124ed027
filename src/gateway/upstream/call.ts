// One request to the upstream, from taking a connection to giving it back.

import type { Dispatcher } from 'undici'
import type { Secret } from '../../keys/secret.ts'
import type { Problem } from '../../problems.ts'
import type { CallResult } from './breakers.ts'
import type { Connection, Connections } from './connections.ts'
import {
  blamesUpstream,
  impossibleStatus,
  isConnectionLoss,
  tooManyInterim,
  upstreamProblem,
  type CallStage,
} from './errors.ts'

/** Takes the answer as undici reads it: `started`, `head`, `data`…, `end`; `failed` may take the place of anything. */
export interface AnswerReceiver {
  /** The request leaves. The controller pauses and resumes the answer. */
  started(controller: Dispatcher.DispatchController): void
  head(status: number, controller: Dispatcher.DispatchController): void
  /** False asks for a pause. */
  data(chunk: Buffer): boolean
  end(): void
  /** There is no (complete) answer. `error` is for the log. */
  failed(problem: Problem, error: unknown): void
}

export interface CallOptions {
  readonly connections: Connections
  /** The value of a key: its connections are apart from all others. */
  readonly credential: Secret
  readonly receiver: AnswerReceiver
  /** Once, when nothing of the call is left. */
  readonly onEnded: (result: CallResult) => void
}

/** More interim answers than any honest server sends. */
const mostInterim = 64

export class Call implements Dispatcher.DispatchHandler {
  readonly #options: CallOptions
  #request: Dispatcher.DispatchOptions | null = null
  #connection: Connection | null = null
  #controller: Dispatcher.DispatchController | null = null
  #stage: CallStage = 'connecting'
  #isRepeated = false
  #interim = 0
  #isAbandoned = false
  #isEnded = false

  constructor(options: CallOptions) {
    this.#options = options
  }

  /** Takes a connection and sends the request. */
  start(request: Dispatcher.DispatchOptions): void {
    if (this.#isEnded) return
    this.#request = request
    this.#send(request, false)
  }

  /** Gives the request up, wherever it is; nothing more is received of it. */
  abandon(reason: Error): void {
    if (this.#isEnded || this.#isAbandoned) return
    this.#isAbandoned = true
    if (this.#controller !== null) this.#controller.abort(reason)
    // What was not sent yet has no controller: its connection is closed while it is being opened.
    this.#end(this.#stage === 'body' ? 'answered' : 'abandoned', false)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#isAbandoned) {
      controller.abort(new Error('the request was given up'))
      return
    }
    this.#connection?.expectAnswer()
    this.#stage = 'sent'
    this.#options.receiver.started(controller)
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    // Interim answers (102, 103) are for one hop.
    if (status >= 100 && status < 200) {
      this.#interim += 1
      if (this.#interim > mostInterim) this.#refuse(tooManyInterim())
      return
    }
    if (status < 100 || status > 599) {
      this.#refuse(impossibleStatus(status))
      return
    }
    this.#stage = 'body'
    this.#options.receiver.head(status, controller)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#isAbandoned && !this.#options.receiver.data(chunk)) controller.pause()
  }

  onResponseEnd(): void {
    if (this.#isEnded) return
    this.#options.receiver.end()
    this.#end('answered', true)
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#isEnded || this.#isAbandoned) return
    if (this.#stage === 'sent' && this.#connection?.isAnswering === true) this.#stage = 'head'
    if (this.#mayRepeat(error)) {
      this.#isRepeated = true
      this.#discard()
      this.#controller = null
      this.#stage = 'connecting'
      if (this.#request !== null) this.#send(this.#request, true)
      return
    }
    this.#end(this.#resultOf(error), false)
    this.#options.receiver.failed(upstreamProblem(error, this.#stage), error)
  }

  /** A read on a connection that the other side was closing: there was no answer, and repeating a read is safe. */
  #mayRepeat(error: Error): boolean {
    const method = this.#request?.method
    return (
      !this.#isRepeated &&
      this.#stage === 'sent' &&
      (method === 'GET' || method === 'HEAD') &&
      this.#connection?.isReused === true &&
      isConnectionLoss(error)
    )
  }

  #send(request: Dispatcher.DispatchOptions, fresh: boolean): void {
    const { connections, credential } = this.#options
    this.#connection = connections.take(credential, fresh)
    this.#connection.dispatch(request, this)
  }

  /** Not a valid HTTP answer. */
  #refuse(problem: Problem): void {
    if (this.#isEnded) return
    this.#isAbandoned = true
    this.#controller?.abort(problem)
    this.#end('answered', false)
    this.#options.receiver.failed(problem, problem)
  }

  #resultOf(error: Error): CallResult {
    if (this.#stage === 'head' || this.#stage === 'body') return 'answered'
    if (!blamesUpstream(error)) return 'abandoned'
    return this.#stage === 'connecting' ? 'unsent' : 'unanswered'
  }

  #end(result: CallResult, isReusable: boolean): void {
    if (this.#isEnded) return
    this.#isEnded = true
    if (isReusable && this.#connection !== null) this.#options.connections.release(this.#connection)
    else this.#discard()
    this.#connection = null
    this.#options.onEnded(result)
  }

  #discard(): void {
    if (this.#connection !== null) this.#options.connections.discard(this.#connection)
  }
}
