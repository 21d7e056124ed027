// The page about guardrails: its example is a valid file, and each `explain` in it says what the page says.

import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { callCommand } from '../support/command.ts'

const repository = fileURLToPath(new URL('../..', import.meta.url))
const page = await readFile(join(repository, 'docs/guardrails.md'), 'utf8')
const blocks = [...page.matchAll(/```(?<kind>yaml|console)\n(?<text>[\s\S]*?)```/g)].map(({ groups }) => ({
  kind: groups?.['kind'] ?? '',
  text: groups?.['text'] ?? '',
}))
const commands = blocks
  .filter(({ kind }) => kind === 'console')
  .map(({ text }) => {
    const [command = '', ...said] = text.trim().split('\n')
    return [command.replace('$ npx devin-gateway ', ''), said] as const
  })

let policies: string
beforeAll(async () => {
  policies = await mkdtemp(join(tmpdir(), 'gateway-docs-'))
  await cp(join(repository, 'policies'), policies, {
    recursive: true,
    filter: (file) => !/\.test\.yaml$|guardrails[^/\\]*\.yaml$/.test(basename(file)),
  })
  for (const { kind, text } of blocks) {
    const name = /^# policies\/(?<name>[a-z-]+\.yaml)/.exec(text)?.groups?.['name']
    if (kind === 'yaml' && name !== undefined) await writeFile(join(policies, name), text)
  }
})
afterAll(() => rm(policies, { recursive: true, force: true }))

/** As a shell would part them. */
function wordsOf(command: string): string[] {
  return [...command.matchAll(/'(?<quoted>[^']*)'|(?<plain>\S+)/g)].map(
    ({ groups }) => groups?.['quoted'] ?? groups?.['plain'] ?? '',
  )
}

test('has an explanation for every kind of refusal', () => {
  expect(commands.length).toBeGreaterThan(15)
})

test.each(commands)('%s', async (command, said) => {
  const { out } = await callCommand([
    ...wordsOf(command),
    '--policies',
    policies,
    '--config',
    join(repository, 'config/gateway.yaml'),
  ])
  const lines = out
    .trim()
    .split('\n')
    .filter((line) => /^. (guardrail|shadow) |^(allow|deny) /.test(line))
  expect(lines.map((line) => line.replace(/, policy revision .*/, ''))).toEqual(said)
})
