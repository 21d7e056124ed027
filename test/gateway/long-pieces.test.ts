// Long answers that are there already, with callers who read them at their own pace and a loop that the test turns.

import { describe, expect, test } from 'vitest'
import type { ResponseSource } from '../../src/cache/response-stream.ts'
import { InPieces, LongPieces } from '../../src/gateway/long-pieces.ts'
import { shortBytes, StreamTurns } from '../../src/gateway/stream-turns.ts'

/** Runs the next turn when it is told to. */
class Loop {
  #work: (() => void)[] = []
  readonly later = (work: () => void): void => void this.#work.push(work)

  get isIdle(): boolean {
    return this.#work.length === 0
  }

  turn(): void {
    for (const work of this.#work.splice(0)) work()
  }
}

/** A caller that takes `roomBytes` before it has to read. */
class Caller {
  readonly pieces: LongPieces
  readonly taken: Buffer[] = []
  drained = 0
  isComplete = false
  #room: number
  readonly #roomBytes: number

  constructor(turns: StreamTurns, team: string, roomBytes: number) {
    this.#room = this.#roomBytes = roomBytes
    this.pieces = new LongPieces(turns, team, {
      write: (piece) => {
        this.taken.push(piece)
        this.#room -= piece.length
        return this.#room > 0
      },
      end: (last) => {
        if (last !== null) this.taken.push(last)
        this.isComplete = true
      },
      drained: () => (this.drained += 1),
    })
  }

  get bytes(): number {
    return this.taken.reduce((sum, { length }) => sum + length, 0)
  }

  /** It has read what there was. */
  read(): void {
    this.#room = this.#roomBytes
    this.pieces.release()
  }
}

const body = Buffer.from(Array.from({ length: 1_000_003 }, (_byte, index) => index % 251))

test('an answer arrives whole and in order, in pieces of a bounded size, over several turns', () => {
  const loop = new Loop()
  const caller = new Caller(new StreamTurns(loop.later), 'payments', Infinity)
  caller.pieces.add(body)
  caller.pieces.end()
  expect(caller.bytes).toBeLessThan(body.length / 4)
  let turns = 0
  for (; !caller.isComplete; turns += 1) loop.turn()
  expect(turns).toBeGreaterThan(3)
  expect(Math.max(...caller.taken.map(({ length }) => length))).toBeLessThanOrEqual(shortBytes)
  expect(Buffer.concat(caller.taken).equals(body)).toBe(true)
})

test('a hundred that begin in the same moment write a bounded amount at once, and in each turn', () => {
  const loop = new Loop()
  const turns = new StreamTurns(loop.later)
  const callers = Array.from({ length: 100 }, () => new Caller(turns, 'payments', Infinity))
  const total = (): number => callers.reduce((sum, { bytes }) => sum + bytes, 0)
  const most = 3 * shortBytes
  for (const { pieces } of callers) {
    pieces.add(body)
    pieces.end()
  }
  expect(total()).toBeLessThanOrEqual(most)
  while (!loop.isIdle) {
    const before = total()
    loop.turn()
    expect(total() - before).toBeLessThanOrEqual(most)
  }
  expect(callers.every(({ bytes }) => bytes === body.length)).toBe(true)
})

test('one that another team begins waits for one turn, not for all before it', () => {
  const loop = new Loop()
  const turns = new StreamTurns(loop.later)
  for (let count = 0; count < 100; count += 1) new Caller(turns, 'payments', Infinity).pieces.add(body)
  const other = new Caller(turns, 'checkout', Infinity)
  other.pieces.add(body)
  loop.turn()
  expect(other.bytes).toBeGreaterThan(0)
})

describe('a caller who does not read', () => {
  test('gets what it has room for, and the rest as it reads', () => {
    const loop = new Loop()
    const caller = new Caller(new StreamTurns(loop.later), 'payments', shortBytes)
    caller.pieces.add(body)
    caller.pieces.end()
    for (let turn = 0; turn < 5; turn += 1) loop.turn()
    expect([caller.bytes, loop.isIdle]).toEqual([shortBytes, true])
    while (!caller.isComplete) {
      caller.read()
      loop.turn()
    }
    expect(Buffer.concat(caller.taken).equals(body)).toBe(true)
  })

  test('and leaves, is not written to any more', () => {
    const loop = new Loop()
    const caller = new Caller(new StreamTurns(loop.later), 'payments', shortBytes)
    caller.pieces.add(body)
    caller.pieces.drop()
    caller.read()
    loop.turn()
    expect(caller.bytes).toBe(shortBytes)
  })
})

test('what comes behind a large piece keeps its place, and the source goes on when there is room', () => {
  const loop = new Loop()
  const caller = new Caller(new StreamTurns(loop.later), 'payments', Infinity)
  expect(caller.pieces.add(body)).toBe(false)
  expect(caller.pieces.add(Buffer.from('tail'))).toBe(false)
  expect(caller.drained).toBe(0)
  while (!loop.isIdle) loop.turn()
  expect(caller.drained).toBe(1)
  expect(Buffer.concat(caller.taken).equals(Buffer.concat([body, Buffer.from('tail')]))).toBe(true)
  caller.pieces.end()
  expect(caller.isComplete).toBe(true)
})

test('a filter is fed a long answer that was decoded at once in pieces, over several turns, and pauses it', () => {
  const loop = new Loop()
  const fed: Buffer[] = []
  const source: ResponseSource[] = []
  const ended: boolean[] = []
  const pieces = new InPieces(
    {
      attach: (flow) => void source.push(flow),
      head() {},
      data(chunk) {
        fed.push(chunk)
        return fed.length !== 2
      },
      end(last) {
        if (last !== null) fed.push(last)
        ended.push(true)
      },
      fail() {},
    },
    new StreamTurns(loop.later),
    'payments',
  )
  pieces.attach({ resume() {}, abort() {} })
  pieces.end(body)
  for (let turn = 0; turn < 5; turn += 1) loop.turn()
  expect([fed.length, ended]).toEqual([2, []])
  source[0]?.resume()
  let turns = 0
  for (; ended.length === 0; turns += 1) loop.turn()
  expect(turns).toBeGreaterThan(3)
  expect(Math.max(...fed.map(({ length }) => length))).toBeLessThanOrEqual(shortBytes / 4)
  expect(Buffer.concat(fed).equals(body)).toBe(true)
})

test('a hundred filters are fed a quarter of what is only passed on in each turn, however an answer comes', () => {
  for (const chunkBytes of [shortBytes, 300_000]) {
    const loop = new Loop()
    const turns = new StreamTurns(loop.later)
    let fedBytes = 0
    const take = (bytes: Buffer | null): boolean => {
      fedBytes += bytes?.length ?? 0
      return true
    }
    const filters = Array.from(
      { length: 100 },
      () =>
        new InPieces(
          { attach() {}, head() {}, data: take, end: (last) => void take(last), fail() {} },
          turns,
          'payments',
        ),
    )
    const most = (3 * shortBytes) / 4
    for (const filter of filters) filter.attach({ resume() {}, abort() {} })
    for (const filter of filters) {
      for (let at = 0; at < body.length; at += chunkBytes) filter.data(body.subarray(at, at + chunkBytes))
      filter.end(null)
    }
    expect(fedBytes).toBeLessThanOrEqual(most)
    for (let before = fedBytes; !loop.isIdle; before = fedBytes) {
      loop.turn()
      expect(fedBytes - before).toBeLessThanOrEqual(most)
    }
    expect(fedBytes).toBe(100 * body.length)
  }
})
