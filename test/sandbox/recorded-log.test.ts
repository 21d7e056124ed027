// The log that the sandbox ships: the sample policies decide it as they did, and it has something to show.

import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { callCommand, type Ended } from '../support/command.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const log = join(root, 'examples/decisions.ndjson')

const asked = (...args: string[]): Promise<Ended> =>
  callCommand([...args, '--log', log, '--config', join(root, 'config/gateway.yaml')], {
    GATEWAY_ISSUER: 'https://sso.corp.example',
  })

test('comes out the same under the sample policies', async () => {
  const { code, out, err } = await asked('simulate', '--json', '--policies', join(root, 'policies'))
  expect([code, err]).toEqual([0, ''])
  expect(JSON.parse(out)).toMatchObject({ records: 150, same: 150, gaps: 0 })
})

test('lets suggest propose something for a team and for all of them, which denies nothing', async () => {
  for (const choice of [
    ['--team', 'payments'],
    ['--unused', '30d'],
  ]) {
    const { out } = await asked('suggest', '--json', '--policies', join(root, 'policies'), ...choice)
    const found = JSON.parse(out) as { patch: string; proof: { denied: number } }
    expect(found.patch).toContain('--- a/policies/')
    expect(found.proof.denied).toBe(0)
  }
})
