// Unasked 100 answers become 102 while they pass, and nothing else changes.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { InterimAnswers } from '../../../src/gateway/upstream/interim-answers.ts'

const answer = 'HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\nHTTP/1.1 100'
const interim = [
  'HTTP/1.1 100 Continue\r\n\r\n',
  'HTTP/1.1 100\r\n\r\n',
  'HTTP/1.0 100 Continue\r\nx: \r\r\nHTTP/1.1 100 a field\r\n\r\n',
  'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n',
  'HTTP/1.1 102 Processing\r\n\r\n',
  '\r\n',
]

/** What comes out when the text is cut at these places. */
function passed(text: string, cuts: readonly number[] = []): string {
  const filter = new InterimAnswers()
  filter.begin()
  const places = [0, ...cuts.map((cut) => cut % (text.length + 1)).toSorted((a, b) => a - b), text.length]
  return places
    .slice(1)
    .map((end, index) => {
      const bytes = Buffer.from(text.slice(places[index], end), 'latin1')
      filter.pass(bytes)
      return bytes.toString('latin1')
    })
    .join('')
}

describe('an answer', () => {
  test.each(['200', '204', '304', '404', '500', '101', '999', '099'])('of %s passes as it is', (status) => {
    const text = `HTTP/1.1 ${status} X\r\na: HTTP/1.1 100\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n`
    expect(passed(text)).toBe(status === '101' ? text.replace('100 Continue', '102 Continue') : text)
  })

  test('behind interim ones, cut anywhere, passes as it is, and only a 100 before it becomes 102', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(...interim), { maxLength: 5 }),
        fc.array(fc.nat(), { maxLength: 8 }),
        (before, cuts) => {
          const expected = before.map((each) => each.replace(/^(HTTP\/1\.\d 10)0/, '$12')).join('') + answer
          expect(passed(before.join('') + answer, cuts)).toBe(expected)
        },
      ),
    )
  })

  test('any bytes keep their length and change only in the last digit of a status', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const filter = new InterimAnswers()
        filter.begin()
        const after = Buffer.from(bytes)
        filter.pass(after)
        for (const [index, byte] of after.entries())
          if (byte !== bytes[index]) expect([bytes[index], byte]).toEqual([48, 50])
      }),
    )
  })
})
