// How many pieces a body may come in, and when others have their turn.

import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Pieces } from '../../src/gateway/bodies/pieces.ts'

function count(sizes: readonly number[], nowMs: () => number = () => 0): number {
  const pieces = new Pieces(new IncomingMessage(new Socket()), nowMs, () => {})
  const index = sizes.findIndex((size) => !pieces.add(size))
  return index === -1 ? sizes.length : index
}
const times = (count: number, size: number): number[] => Array.from({ length: count }, () => size)

test.each([
  ['a thousand of one byte and a few', times(5_000, 1), 1_015],
  ['as many as there are of 64 bytes', times(100_000, 64), 100_000],
  ['twice as many of 32', times(5_000, 32), 2_000],
  ['one for each 64 bytes of large ones', [...times(100, 64 * 1024), ...times(200_000, 1)], 105_040],
  ['none that are empty beyond a thousand', times(5_000, 0), 1_000],
])('%s', (_name, sizes, expected) => {
  expect(Math.abs(count(sizes) - expected)).toBeLessThanOrEqual(10)
})

test('so many more a second, however long it takes', () => {
  let nowMs = 0
  expect(count(times(50_000, 1), () => nowMs++)).toBe(50_000)
})

test('after each 128 the request is paused, and goes on in a later turn', async () => {
  const request = new IncomingMessage(new Socket())
  let went = 0
  const pieces = new Pieces(
    request,
    () => 0,
    () => (went += 1),
  )
  request.resume()
  const paused = times(300, 100).map((size) => {
    pieces.add(size)
    const was = request.isPaused()
    request.resume()
    return was
  })
  expect(paused.flatMap((was, index) => (was ? [index + 1] : []))).toEqual([128, 256])
  expect(went).toBe(0)
  await setImmediate()
  await setImmediate()
  expect(went).toBe(2)
})
