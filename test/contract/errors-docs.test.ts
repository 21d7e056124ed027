// The page about errors: it lists every kind with its status, and every finer reason and Proxy-Status that the code names.

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { rejectionReasons } from '../../src/identity/rejection.ts'
import { problemKinds } from '../../src/problem-kinds.ts'

const repository = fileURLToPath(new URL('../..', import.meta.url))
const page = await readFile(join(repository, 'docs/errors.md'), 'utf8')
const identity = await readFile(join(repository, 'docs/identity.md'), 'utf8')

/** What the code gives as reasons of problems and as errors of the upstream, wherever it is written as a word. */
async function wordsInCode(pattern: RegExp): Promise<string[]> {
  const found = new Set<string>()
  for (const part of ['gateway', 'identity', 'policy', 'filtering', 'idempotency', 'catalogue', 'cache']) {
    const folder = join(repository, 'src', part)
    for (const file of await readdir(folder, { recursive: true })) {
      if (!file.endsWith('.ts')) continue
      for (const match of (await readFile(join(folder, file), 'utf8')).matchAll(pattern)) found.add(match[1] ?? '')
    }
  }
  return [...found].sort()
}

test('every kind stands there with its status', () => {
  const rows = [...page.matchAll(/^\| `([a-z-]+)` \| (\d{3}) \|/gm)].map(([, kind, status]) => `${kind} ${status}`)
  expect(rows.toSorted()).toEqual(
    Object.entries(problemKinds)
      .map(([kind, { status }]) => `${kind} ${status}`)
      .toSorted(),
  )
})

test('every reason that is finer than its kind stands there, or on the page about identity', async () => {
  const reasons = [...(await wordsInCode(/\breason(?::| =) '([a-z-]+)'/g)), ...rejectionReasons]
  expect(reasons.length).toBeGreaterThan(20)
  const plain = new Set([...Object.keys(problemKinds), 'granted'])
  const listed = (reason: string): boolean => page.includes(`\`${reason}\``) || identity.includes(`\`${reason}\``)
  expect(reasons.filter((reason) => !plain.has(reason) && !listed(reason))).toEqual([])
})

test('every error of Proxy-Status stands there', async () => {
  const errors = await wordsInCode(/'((?:connection|destination|dns|http|proxy|tls)_[a-z]+(?:_[a-z]+)*)'/g)
  expect(errors.length).toBeGreaterThan(5)
  expect(errors.filter((error) => !page.includes(`\`${error}\``))).toEqual([])
})
