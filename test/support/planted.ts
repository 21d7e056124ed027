// Searches for planted secrets in whatever a gateway says or writes.

import { expect } from 'vitest'

/** Every form in which a value could have been written down. */
function formsOf(value: string): readonly string[] {
  const base64 = [0, 1, 2].map((shift) =>
    // The middle of the encoding is the same wherever the value stands in what was encoded.
    Buffer.from(`${'x'.repeat(shift)}${value}`)
      .toString('base64')
      .slice(4, -4),
  )
  return [
    value,
    ...base64,
    ...base64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_')),
    encodeURIComponent(value),
    encodeURIComponent(value).replaceAll('_', '%5F'),
    Buffer.from(value).toString('hex'),
    value.split('').toReversed().join(''),
  ]
}

/** Fails with the name of the member or the text in front of every place where a value was found, never with the value. */
export function expectNowhere(text: string, values: readonly string[]): void {
  const places = values.flatMap(formsOf).flatMap((form) => {
    const found = text.split(form).slice(0, -1)
    return found.map((before) => [...before.slice(-2000).matchAll(/"([a-z_]+)":/g)].at(-1)?.[1] ?? before.slice(-60))
  })
  expect([...new Set(places)]).toEqual([])
}
