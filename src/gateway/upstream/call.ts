// One request to the upstream, from its place in the queue to the end of its answer.

import type { Dispatcher } from 'undici'
import type { KeyVersion } from '../../keys/keyring.ts'
import type { Precedence } from '../../limits/precedence.ts'
import type { Problem } from '../../problems.ts'
import type { Breakers, CallResult } from './breakers.ts'
import type { Connection, Connections } from './connections.ts'
import {
  blamesUpstream,
  impossibleStatus,
  isConnectionLoss,
  notAsked,
  tooManyInterim,
  upstreamProblem,
  type CallStage,
} from './errors.ts'
import type { QueueCallbacks, QueueEntry, UpstreamQueue } from './queue.ts'

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

/** Who asks the upstream. */
export interface Asker {
  readonly version: KeyVersion
  readonly precedence: Precedence
  /** The caller, as circuit breakers tell callers apart. */
  readonly caller: string
  /** The upstream answered, and not with 429. */
  readonly isAccepted: boolean
  request(): Dispatcher.DispatchOptions
  /** The request will not be sent. */
  refuse(problem: Problem): void
  /** How long it was in the queue; null when it did not have to wait. */
  waited(waitedMs: number | null): void
}

/** What all calls share. */
export interface CallParts {
  readonly connections: Connections
  readonly queue: UpstreamQueue
  readonly breakers: Breakers
  /** A request was not sent, because the circuit breaker of its key is open. */
  readonly onBroken: (key: string) => void
}

/** More interim answers than any honest server sends. */
const mostInterim = 64

export class Call implements Dispatcher.DispatchHandler, QueueCallbacks {
  readonly #parts: CallParts
  readonly #asker: Asker
  readonly #receiver: AnswerReceiver
  readonly #entry: QueueEntry
  #passage: 'pass' | 'probe' | null = null
  #request: Dispatcher.DispatchOptions | null = null
  #connection: Connection | null = null
  #controller: Dispatcher.DispatchController | null = null
  #stage: CallStage = 'connecting'
  #interim = 0
  #isAbandoned = false
  #isEnded = false

  /** Throws what is refused at once. */
  constructor(parts: CallParts, asker: Asker, receiver: AnswerReceiver) {
    const { breakers, queue } = parts
    const { precedence, version } = asker
    const key = version.handle.id
    const waitMs = breakers.troubled ? breakers.refusalMs(key, asker.caller) : null
    if (waitMs !== null) {
      parts.onBroken(key)
      throw notAsked(waitMs)
    }
    this.#parts = parts
    this.#asker = asker
    this.#receiver = receiver
    this.#entry = queue.open(key, precedence)
  }

  /** Begins at once, or in its turn. */
  enter(): void {
    this.#parts.queue.enter(this.#entry, this)
  }

  /** Its turn has come: takes a connection and sends the request. */
  begin(): void {
    const { breakers, onBroken } = this.#parts
    const passage = breakers.troubled ? breakers.begin(this.#entry.key, this.#asker.caller) : 'pass'
    if (typeof passage === 'number') {
      onBroken(this.#entry.key)
      this.refuse(notAsked(passage))
      return
    }
    this.#passage = passage
    if (this.#isEnded) return
    this.#request = this.#asker.request()
    this.#send(this.#request, false)
  }

  refuse(problem: Problem): void {
    this.#asker.refuse(problem)
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
    this.#receiver.started(controller)
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    // Interim answers (102, 103) are for one hop.
    if (status >= 100 && status < 200) {
      this.#interim += 1
      if (this.#interim > mostInterim) this.#refuseAnswer(tooManyInterim())
      return
    }
    if (status < 100 || status > 599) {
      this.#refuseAnswer(impossibleStatus(status))
      return
    }
    this.#stage = 'body'
    this.#receiver.head(status, controller)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#isAbandoned && !this.#receiver.data(chunk)) controller.pause()
  }

  onResponseEnd(): void {
    if (this.#isEnded) return
    this.#receiver.end()
    this.#end('answered', true)
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#isEnded || this.#isAbandoned) return
    if (this.#stage === 'sent' && this.#connection?.isAnswering === true) this.#stage = 'head'
    if (this.#mayRepeat(error)) {
      this.#discard()
      this.#controller = null
      this.#stage = 'connecting'
      if (this.#request !== null) this.#send(this.#request, true)
      return
    }
    this.#end(this.#resultOf(error), false)
    this.#receiver.failed(upstreamProblem(error, this.#stage), error)
  }

  /**
   * Whether the kept connection was closed by the other side before the request was sent, or before there was an answer
   * to a read, which is safe to repeat. It goes on a new connection then, whose end ends the request.
   */
  #mayRepeat(error: Error): boolean {
    if (this.#connection?.isReused !== true || !isConnectionLoss(error)) return false
    const { method = '', body = null } = this.#request ?? {}
    if (this.#stage === 'connecting') return body === null || Buffer.isBuffer(body)
    return this.#stage === 'sent' && (method === 'GET' || method === 'HEAD')
  }

  #send(request: Dispatcher.DispatchOptions, fresh: boolean): void {
    this.#connection = this.#parts.connections.take(this.#asker.version.secret, fresh)
    this.#connection.dispatch(request, this)
  }

  /** What came is no HTTP answer. */
  #refuseAnswer(problem: Problem): void {
    if (this.#isEnded) return
    this.#isAbandoned = true
    this.#controller?.abort(problem)
    this.#end('answered', false)
    this.#receiver.failed(problem, problem)
  }

  #resultOf(error: Error): CallResult {
    if (this.#stage === 'head' || this.#stage === 'body') return 'answered'
    if (!blamesUpstream(error)) return 'abandoned'
    return this.#stage === 'connecting' ? 'unsent' : 'unanswered'
  }

  #end(result: CallResult, isReusable: boolean): void {
    if (this.#isEnded) return
    this.#isEnded = true
    const { breakers, connections, queue } = this.#parts
    if (isReusable && this.#connection !== null) connections.release(this.#connection)
    else this.#discard()
    this.#connection = null
    this.#asker.waited(this.#entry.waitedMs)
    if (this.#passage !== null && (result !== 'answered' || breakers.troubled))
      breakers.ended(this.#entry.key, this.#asker.caller, this.#passage, result)
    queue.leave(this.#entry, this.#asker.isAccepted)
  }

  #discard(): void {
    if (this.#connection !== null) this.#parts.connections.discard(this.#connection)
  }
}
