// Counts in messages: the word behind a number fits it.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { counted, plural } from '../../src/config/plural.ts'

test('one is one thing, and every other count is several', () => {
  expect([0, 1, 2].map((count) => counted(count, 'warning'))).toEqual(['0 warnings', '1 warning', '2 warnings'])
  expect([1, 2].map((count) => counted(count, 'entry', 'entries'))).toEqual(['1 entry', '2 entries'])
  expect([1, 2].map((count) => plural(count, 'is', 'are'))).toEqual(['is', 'are'])
})

/** What can be one, and is counted somewhere. */
const things =
  'answers|bytes|cases|cells|characters|days|decisions|entries|errors|files|gaps|grants|instances|items|keys|lines|operations|permissions|policies|policy tests|problems|questions|records|requests|rows|seconds|segments|sessions|teams|tests|tokens|warnings'
/** Bounds that are constants of more than one, and counts that are more than one where they are said. */
const severalAnyway =
  /^(?:least|longest|most|max|limits|mostCloseCharacters|instances$|fitting|issuers|entries|covers|days$|served|coverage\.total|guardrail$|slowSyncMs)/i

test('no message puts a fixed plural behind a count', () => {
  const found = new RegExp(String.raw`\$\{([^{}]+)\} (?:more |stored |audit |recorded |other )?(?:${things})\b`, 'g')
  const root = join(import.meta.dirname, '../../src')
  const plurals = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => /^(?!sandbox).*\.ts$/.test(name))
    .flatMap((name) =>
      [...readFileSync(join(root, name), 'utf8').matchAll(found)].map(([text, count = '']) => ({ name, text, count })),
    )
    .filter(({ count }) => !severalAnyway.test(count.replace(/^this\.#?/, '')))
  expect(plurals.map(({ name, text }) => `${name}: ${text}`)).toEqual([])
})
