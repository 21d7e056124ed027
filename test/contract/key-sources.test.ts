// What commands do with keys that a program or a server keeps: they ask nobody, for a pull request may have written the inventory.

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { callCommand } from '../support/command.ts'
import { createSite, type Site } from '../support/site.ts'
import { usualKeys } from '../support/start-gateway.ts'

let site: Site
let marker = ''
beforeAll(async () => {
  site = await createSite()
  marker = join(site.directory, 'ran')
  const file = join(site.directory, 'policies', 'keys.yaml')
  const [, first = ''] = /(secret: \{ env: \w+ \})/.exec(await readFile(file, 'utf8')) ?? []
  const changed = (await readFile(file, 'utf8')).replace(first, `secret: { exec: { command: [touch, ${marker}] } }`)
  await writeFile(file, changed)
})
afterAll(() => site.remove())

test.each([
  ['check', []],
  ['test', []],
  ['keys', []],
  ['diff', ['POLICIES', 'POLICIES']],
  ['explain', ['--team', 'payments', 'GET', '/v3/organizations/org-payments/sessions']],
] as const)('`%s` runs no program that the inventory names', async (command, more) => {
  const words = more.map((word) => (word === 'POLICIES' ? join(site.directory, 'policies') : word))
  const { code } = await callCommand([command, '--config', site.configFile, ...words], usualKeys)
  expect(code).toBe(0)
  expect(await readFile(marker, 'utf8').catch(() => 'never ran')).toBe('never ran')
})

test('`check` says which keys it did not ask for, and `keys` that nobody knows', async () => {
  const { out } = await callCommand(['check', '--config', site.configFile], usualKeys)
  expect(out).toContain('not asked for a value, because ')
  const { out: json } = await callCommand(['check', '--config', site.configFile, '--json'], usualKeys)
  expect(JSON.parse(json)).toMatchObject({ ok: true, keys_without_value: [], keys_not_asked: ['payments-runner'] })
  const { out: keys } = await callCommand(['keys', '--config', site.configFile, '--json'], usualKeys)
  expect(JSON.parse(keys)).toMatchObject({ keys: [{ id: 'payments-runner', state: 'unknown' }, {}, {}] })
})
