// Unasked 100 answers become 102 of HTTP/1.1 while they pass, the fields of interim answers lose their names, and nothing else
// changes.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { InterimAnswers } from '../../../src/gateway/upstream/interim-answers.ts'

const answer = 'HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\nHTTP/1.1 100'
const interim = [
  'HTTP/1.1 100 Continue\r\n\r\n',
  'HTTP/1.1 100\r\n\r\n',
  'HTTP/1.1 100 Continue\r\nx: \r\r\nHTTP/1.0 100 a field\r\n\r\n',
  'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n',
  'HTTP/1.1 102 Processing\r\n\r\n',
  'HTTP/1.0 100 Continue\r\nx: HTTP/1.0 1\r\n\r\n',
  'HTTP/1.0 103 Early Hints\r\n\r\n',
  'HTTP/1.1 100 Continue\r\nConnection: close\r\nUpgrade: y\r\n-: z\r\n\r\n',
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
      return filter.pass(bytes).toString('latin1')
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
          const expected = before.map((each) =>
            each
              .replace(/^HTTP\/1.0/, 'HTTP/1.1')
              .replace(/^(HTTP\/1.1 10)0/, '$12')
              .replaceAll(/(?<=\r\n)[A-Za-z]/g, 'x'),
          )
          expect(passed(before.join('') + answer, cuts)).toBe(expected.join('') + answer)
        },
      ),
    )
  })

  test.each(['100', '102', '103', '199'])(
    'behind a %s of HTTP/1.0 passes as it is, and that becomes HTTP/1.1',
    (status) => {
      const text = `HTTP/1.0 ${status}\r\na: HTTP/1.0 100\r\n\r\nHTTP/1.0 200 OK\r\n\r\nHTTP/1.0 100`
      const expected = text
        .replace(/^HTTP\/1.0 \d+/, `HTTP/1.1 ${status === '100' ? '102' : status}`)
        .replace('\na:', '\nx:')
      expect(passed(text)).toBe(expected)
      expect(passed(`\r\n${text}`, [9, 10, 11, 12])).toBe(`\r\n${expected}`)
      expect(passed(text + text)).toBe(expected + text)
    },
  )

  test('any bytes pass, and change only in a status, in a minor version, and where a field begins', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const filter = new InterimAnswers()
        filter.begin()
        const after = filter.pass(Buffer.from(bytes))
        // A minor version at the end waits for its status.
        expect(after.length).toBeGreaterThanOrEqual(bytes.length - 2)
        for (const [index, byte] of after.entries())
          if (byte !== bytes[index])
            expect(
              [/^0[12]$/, /^[A-Za-z]x$/].some((form) => form.test(String.fromCharCode(bytes[index] ?? 0, byte))),
            ).toBe(true)
      }),
    )
  })
})
