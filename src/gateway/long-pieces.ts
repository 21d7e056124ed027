// What is there already of an answer and is long: an answer from the cache, or a large piece of one. It is cut up and written as
// fast as the caller reads it, in turns with other long answers.

import type { ResponseHead, ResponseSink, ResponseSource } from '../cache/response-stream.ts'
import type { Problem } from '../problems.ts'
import { shortBytes, StreamTurn, type StreamTurns } from './stream-turns.ts'

/** What comes in larger pieces is cut up; most that come from the upstream are smaller. */
export const mostAtOnce = 2 * shortBytes

/** Writes to the caller. */
export interface PieceWriter {
  /** False asks for a pause until `release`. Nothing is done once the caller has left. */
  write(piece: Buffer): boolean
  end(last: Buffer | null): void
  /** All of it was written after `add` asked for a pause. */
  drained(): void
}

export class LongPieces {
  readonly #turn: StreamTurn
  readonly #writer: PieceWriter
  readonly #pieceBytes: number
  #rest: Buffer[] = []
  #isEnding = false

  /** A smaller piece counts as much as a usual one: whoever takes it needs as long for it. */
  constructor(turns: StreamTurns, team: string, writer: PieceWriter, pieceBytes = shortBytes) {
    this.#pieceBytes = pieceBytes
    this.#turn = new StreamTurn(turns, team, () => this.#goOn())
    this.#writer = writer
  }

  get isEmpty(): boolean {
    return this.#rest.length === 0
  }

  /** False asks for a pause until `drained` is called. */
  add(bytes: Buffer): boolean {
    const isFirst = this.isEmpty
    this.#rest.push(bytes)
    return isFirst && this.#turn.enter() && this.#pass()
  }

  /** Nothing more comes. */
  end(): void {
    this.#isEnding = true
    if (this.isEmpty) this.#writer.end(null)
  }

  /** The caller has room again. */
  release(): void {
    this.#turn.release()
  }

  /** The caller has left. */
  drop(): void {
    this.#rest = []
  }

  #goOn(): void {
    if (this.#pass() && !this.#isEnding) this.#writer.drained()
  }

  /** Writes what may be written now; true when that was all, and there is room for more. */
  #pass(): boolean {
    let hasRoom = true
    for (let piece = this.#next(); piece !== null; piece = this.#next()) {
      const isLast = this.isEmpty && this.#isEnding
      if (isLast) this.#writer.end(piece)
      else if (!this.#writer.write(piece)) this.#turn.hold()
      hasRoom = this.#turn.read(piece.length * (shortBytes / this.#pieceBytes))
      if (!hasRoom) break
    }
    return hasRoom && this.isEmpty
  }

  #next(): Buffer | null {
    const [first] = this.#rest
    if (first === undefined) return null
    if (first.length <= this.#pieceBytes) this.#rest.shift()
    else this.#rest[0] = first.subarray(this.#pieceBytes)
    return first.subarray(0, this.#pieceBytes)
  }
}

/** What is read closely takes several times as long as what is only passed on. */
const readPieceBytes = 16 * 1024

/** Before a sink that reads what it gets, which takes time: a filter. It is fed small pieces in turns. */
export class InPieces implements ResponseSink {
  readonly #sink: ResponseSink
  readonly #pieces: LongPieces
  #flow: ResponseSource | null = null

  constructor(sink: ResponseSink, turns: StreamTurns, team: string) {
    this.#sink = sink
    const writer: PieceWriter = {
      write: (piece) => sink.data(piece),
      end: (last) => sink.end(last),
      drained: () => this.#flow?.resume(),
    }
    this.#pieces = new LongPieces(turns, team, writer, readPieceBytes)
  }

  attach(flow: ResponseSource): void {
    this.#flow = flow
    this.#sink.attach({
      resume: () => this.#pieces.release(),
      abort: () => {
        this.#pieces.drop()
        flow.abort()
      },
    })
  }

  head(head: ResponseHead): void {
    this.#sink.head(head)
  }

  data(chunk: Buffer): boolean {
    return this.#pieces.isEmpty && chunk.length <= readPieceBytes ? this.#sink.data(chunk) : this.#pieces.add(chunk)
  }

  end(last: Buffer | null): void {
    if (this.#pieces.isEmpty && (last === null || last.length <= readPieceBytes)) this.#sink.end(last)
    else {
      if (last !== null) this.#pieces.add(last)
      this.#pieces.end()
    }
  }

  fail(problem: Problem): void {
    this.#pieces.drop()
    this.#sink.fail(problem)
  }
}
