// In how many pieces a body may come: each chunk or frame costs the parser, the streams and the event loop the same, however small it is.

import type { IncomingMessage } from 'node:http'
import { Problem } from '../../problems.ts'
import { isHttp2 } from '../listener/http-versions.ts'
import { stopInput } from '../listener/input-flow.ts'

/** Small pieces that a body may have at once, and so many more a second: clients write documents token by token. */
const mostSmallPieces = 1_000
/** For so many bytes a piece is always allowed. */
const leastPieceBytes = 64
/** Behind so many the others have their turn. */
const mostInTurn = 128

/** The pieces of one body. */
export class Pieces {
  readonly #request: IncomingMessage
  readonly #monotonic: () => number
  readonly #startedAtMs: number
  readonly #goOn: () => void
  #count = 0
  #bytes = 0

  /** `goOn` is called in a later turn of the event loop than the one in which the request was paused. */
  constructor(request: IncomingMessage, monotonic: () => number, goOn: () => void) {
    this.#request = request
    this.#monotonic = monotonic
    this.#startedAtMs = monotonic()
    this.#goOn = goOn
  }

  /** Counts a piece, and pauses the request when others wait long enough. False when there are too many for what they bring. */
  add(bytes: number): boolean {
    this.#count += 1
    this.#bytes += bytes
    if (this.#count % mostInTurn === 0) {
      this.#request.pause()
      setImmediate(this.#goOn)
    }
    const small = this.#count - this.#bytes / leastPieceBytes
    if (small <= mostSmallPieces) return true
    return small <= mostSmallPieces * (1 + (this.#monotonic() - this.#startedAtMs) / 1000)
  }
}

/** What has been read already of a refused body is not made into pieces any more. */
export function dropPieces(request: IncomingMessage): void {
  // Node does so with a body that nobody reads, and does not document it.
  Reflect.set(request, '_dumped', true)
  // Nor is more of it read before the connection closes.
  if (!isHttp2(request)) stopInput(request.socket)
}

export function tooManyPieces(): Problem {
  return new Problem(
    'malformed-request',
    `The body comes in too many small pieces: more than ${mostSmallPieces} a second have less than ${leastPieceBytes} bytes. Gather what you write, for example into pieces of 16 KiB, and send the request again.`,
    { reason: 'body-in-pieces', fields: { connection: 'close' } },
  )
}
