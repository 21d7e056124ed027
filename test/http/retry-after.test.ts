// How long an upstream that answered 429 wants to be left alone.

import { expect, test } from 'vitest'
import { restMs } from '../../src/http/retry-after.ts'

const date = 'Tue, 24 Nov 2026 11:00:00 GMT'

test.each<[string, string[], number]>([
  ['seconds', ['retry-after', '17'], 17_000],
  ['with spaces', ['retry-after', ' 2 '], 2_000],
  ['none at all', ['retry-after', '0'], 0],
  ['milliseconds, which are more exact', ['retry-after', '2', 'retry-after-ms', '1250'], 1_250],
  ['a date, from the answer’s own', ['date', date, 'retry-after', 'Tue, 24 Nov 2026 11:00:42 GMT'], 42_000],
  ['a date that is over', ['date', date, 'retry-after', 'Tue, 24 Nov 2026 10:59:00 GMT'], 0],
  ['a date without one to count from', ['retry-after', 'Tue, 24 Nov 2026 11:00:42 GMT'], 1_000],
  ['nothing', [], 1_000],
  ['no number', ['retry-after', 'soon'], 1_000],
  ['less than nothing', ['retry-after', '-5'], 1_000],
  ['a number that is none', ['retry-after', '1e9'], 1_000],
  ['longer than anybody is believed', ['retry-after', '86400'], 600_000],
])('%s', (_name, fields, expected) => {
  expect(restMs(fields)).toBe(expected)
})
