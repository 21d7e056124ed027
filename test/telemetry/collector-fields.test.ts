// Header fields for the collector of traces: when their values are read again, and what holds where they cannot be.

import { expect, test } from 'vitest'
import { createCollectorFields } from '../../src/telemetry/collector-fields.ts'

function startFields() {
  let [nowMs, readings, kept] = [0, 0, 'a' as string | Error]
  const read = async (): Promise<string> => {
    readings += 1
    if (kept instanceof Error) throw kept
    return kept
  }
  const fields = createCollectorFields([{ name: 'x-key', read, everyMs: 60_000 }], () => nowMs)
  return {
    refused: fields.refused,
    after: async (ms: number, keeps: string | Error = kept): Promise<readonly [string | undefined, number]> => {
      nowMs += ms
      kept = keeps
      return [(await fields.current())['x-key'], readings]
    },
  }
}

test('a value is read again when it is due, and sooner where the collector refuses it, but not with every refusal', async () => {
  const { after, refused } = startFields()
  expect(await after(0)).toEqual(['a', 1])
  expect(await after(59_999, 'b')).toEqual(['a', 1])
  expect(await after(1)).toEqual(['b', 2])
  refused()
  expect(await after(10_000, 'c')).toEqual(['b', 2])
  expect(await after(1)).toEqual(['b', 2])
  refused()
  expect(await after(0)).toEqual(['c', 3])
})

test('a value that cannot be read is an error at first, and later the one from before', async () => {
  const { after } = startFields()
  await expect(after(0, new Error('away'))).rejects.toThrow('away')
  expect(await after(0, 'a')).toEqual(['a', 2])
  expect(await after(60_000, new Error('away'))).toEqual(['a', 3])
  expect(await after(59_999, 'b')).toEqual(['a', 3])
  expect(await after(1)).toEqual(['b', 4])
})

test.each(['a\r\nx-other: b', 'a\0', 'ключ'])(
  'a value that no header field may have is refused unread: %j',
  async (value) => {
    const failure: unknown = await startFields()
      .after(0, value)
      .catch((error: unknown) => error)
    expect(String(failure)).toBe('Error: the value of the header field x-key has characters that none may have')
  },
)
