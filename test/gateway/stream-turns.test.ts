// Long answers that share the event loop, with sources that always have more and a loop that the test turns.

import * as fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { betweenTurns, StreamTurn, StreamTurns } from '../../src/gateway/stream-turns.ts'

const mebibyte = 1024 * 1024

/** An event loop that runs what was put off when it is told to. */
class Loop {
  #work: (() => void)[] = []
  readonly later = (work: () => void): void => void this.#work.push(work)

  get isIdle(): boolean {
    return this.#work.length === 0
  }

  turn(): void {
    const work = this.#work
    this.#work = []
    for (const each of work) each()
  }
}

/** An answer that comes in chunks of one size as fast as it is read. */
class Source {
  readonly #turn: StreamTurn
  readonly #chunkBytes: number
  isPaused = false
  readBytes = 0
  /** How often it had to wait. */
  pauses = 0

  constructor(turns: StreamTurns, team: string, chunkBytes: number) {
    this.#chunkBytes = chunkBytes
    this.#turn = new StreamTurn(turns, team, () => {
      this.isPaused = false
      this.read()
    })
  }

  /** The socket is readable. */
  read(): void {
    if (this.isPaused) return
    this.readBytes += this.#chunkBytes
    if (this.#turn.read(this.#chunkBytes)) return
    this.isPaused = true
    this.pauses += 1
  }
}

/** Each turn every source is readable many times, as Node reads a socket. */
function run(loop: Loop, sources: readonly Source[], turns: number, readsPerTurn = 32): number {
  let most = 0
  const total = (): number => sources.reduce((sum, { readBytes }) => sum + readBytes, 0)
  for (let turn = 0; turn < turns; turn += 1) {
    const before = total()
    loop.turn()
    for (const source of sources) for (let read = 0; read < readsPerTurn; read += 1) source.read()
    // Each of them has its first chunk in the first turn.
    if (turn > 0) most = Math.max(most, total() - before)
  }
  return most
}

describe('answers that always have more', () => {
  test('a hundred of them together are read a bounded amount in each turn', () => {
    const loop = new Loop()
    const turns = new StreamTurns(loop.later)
    const sources = Array.from({ length: 100 }, () => new Source(turns, 'payments', 64 * 1024))
    expect(run(loop, sources, 200)).toBeLessThanOrEqual(1.25 * mebibyte)
    expect(Math.min(...sources.map(({ readBytes }) => readBytes))).toBeGreaterThan(64 * 1024)
  })

  test('one alone is read several chunks in each turn', () => {
    const loop = new Loop()
    const source = new Source(new StreamTurns(loop.later), 'payments', 64 * 1024)
    run(loop, [source], 100)
    expect(source.readBytes).toBeGreaterThanOrEqual(100 * 2 * 64 * 1024)
  })

  test('any number of teams with any number of answers: what a turn reads is bounded, and teams get the same', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 2, maxLength: 6 }),
        fc.integer({ min: 5 * 1024, max: 64 * 1024 }),
        (answers, chunkBytes) => {
          const loop = new Loop()
          const turns = new StreamTurns(loop.later)
          const teams = answers.map((count, team) =>
            Array.from({ length: count }, () => new Source(turns, `team-${team}`, chunkBytes)),
          )
          const most = run(loop, teams.flat(), 400)
          expect(most).toBeLessThanOrEqual(1.25 * mebibyte)
          const read = teams.map((sources) => sources.reduce((sum, { pauses }) => sum + pauses, 0))
          // But for the first chunk of each answer, and one round of teams.
          expect(Math.max(...read) - Math.min(...read)).toBeLessThanOrEqual(Math.max(...answers) + answers.length + 16)
          for (const source of teams.flat()) expect(source.pauses).toBeGreaterThan(0)
        },
      ),
      { numRuns: 60 },
    )
  })
})

test('an answer of a few bytes at a time goes on while others use up every turn', () => {
  const loop = new Loop()
  const turns = new StreamTurns(loop.later)
  const long = Array.from({ length: 50 }, () => new Source(turns, 'payments', 64 * 1024))
  const events = new Source(turns, 'checkout', 200)
  for (let turn = 0; turn < 20; turn += 1) {
    run(loop, long, 1)
    events.read()
  }
  expect(events).toMatchObject({ pauses: 0, readBytes: 20 * 200 })
})

test('answers that give nothing in their turn hold nobody up', () => {
  const loop = new Loop()
  const turns = new StreamTurns(loop.later)
  const silent = Array.from({ length: 30 }, () => new StreamTurn(turns, 'payments', () => {}))
  expect(silent.map((turn) => turn.read(mebibyte))).not.toContain(true)
  const other = new Source(turns, 'checkout', 128 * 1024)
  other.read()
  expect(other.isPaused).toBe(true)
  loop.turn()
  expect(other.readBytes).toBeGreaterThan(128 * 1024)
})

describe('an answer whose caller has no room', () => {
  function open(): { readonly loop: Loop; readonly turn: StreamTurn; readonly went: () => number } {
    const loop = new Loop()
    let went = 0
    const turn = new StreamTurn(new StreamTurns(loop.later), 'payments', () => (went += 1))
    return { loop, turn, went: () => went }
  }

  test('pauses, however short it is, and goes on at once when there is room', () => {
    const { turn, went } = open()
    turn.hold()
    expect([turn.read(100), went()]).toEqual([false, 0])
    turn.release()
    expect([turn.read(100), went()]).toEqual([true, 1])
  })

  test('goes on only when there is room and its turn has come, whichever is first', () => {
    for (const roomFirst of [true, false]) {
      const { loop, turn, went } = open()
      expect(turn.read(mebibyte)).toBe(false)
      turn.hold()
      if (roomFirst) turn.release()
      else loop.turn()
      expect(went()).toBe(0)
      if (roomFirst) loop.turn()
      else turn.release()
      expect(went()).toBe(1)
      loop.turn()
      expect({ went: went(), idle: loop.isIdle }).toEqual({ went: 1, idle: true })
    }
  })
})

describe('between two turns', () => {
  afterEach(() => vi.useRealTimers())

  test('there is a pause while requests come, and none when the last one began a while ago', () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'setImmediate', 'clearTimeout', 'clearImmediate'] })
    let [requests, nowMs, begun] = [0, 0, 0]
    const later = betweenTurns(
      () => requests,
      () => nowMs,
    )
    /** Whether the next turn waits for more than the event loop. */
    const isPaused = (): boolean => {
      const before = begun
      later(() => (begun += 1))
      vi.advanceTimersByTime(0)
      const paused = begun === before
      vi.advanceTimersByTime(2)
      expect(begun).toBe(before + 1)
      return paused
    }
    expect(isPaused()).toBe(false)
    requests = 1
    expect([isPaused(), isPaused()]).toEqual([true, true])
    nowMs = 24
    expect(isPaused()).toBe(true)
    nowMs = 25
    expect([isPaused(), isPaused()]).toEqual([false, false])
    requests = 7
    expect(isPaused()).toBe(true)
    // Each request begins the time anew.
    nowMs = 30
    requests = 8
    expect(isPaused()).toBe(true)
    nowMs = 54
    expect(isPaused()).toBe(true)
    nowMs = 1000
    expect(isPaused()).toBe(false)
  })
})
