// Rotation of keys by a real gateway in front of the simulated Devin: under a steady load, cut off by SIGKILL, and refused.

import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createSimulator, type SeenRequest, type Simulator } from '../../src/sandbox/simulator/server.ts'
import { createSandboxWorld } from '../../src/sandbox/world/world.ts'
import { callCommand } from '../support/command.ts'
import { startTestGateway, type RunningGateway } from '../support/start-gateway.ts'

const valueOf = (id: string): string => `cog_${id}-0123456789abcdef`

const policies = {
  'teams/payments.yaml': `team: payments
members: [{ groups: [sso-payments-eng] }]
organizations: [org-payments]
grants: [{ id: run, allow: [ViewOrgSessions, ManageOrgSessions] }]
limits: { attempts: 100000/min }
cache: { at_most: 0s }
`,
  'teams/analytics.yaml': `team: analytics
members: [{ groups: [sso-analytics] }]
organizations: [org-payments, org-platform]
grants: [{ id: read, allow: [ent.sessions.list] }]
cache: { at_most: 0s }
`,
  'guardrails.yaml': `guardrails:
  - { id: own, on: [ent.sessions.list], response: { filter_items_by: organizations } }
`,
  'keys.yaml': `keys:
  - id: payments-runner
    scope: organization
    organization: org-payments
    permissions: [ViewOrgSessions, ManageOrgSessions, UseDevinSessions]
    secret: { file: ../payments-runner.key }
  - id: analytics
    scope: enterprise
    permissions: [ViewAccountMetrics, ViewAccountConsumption, ManageBilling, ViewAccountSessions]
    secret: { file: ../analytics.key }
  - id: key-officer
    scope: enterprise
    permissions: [ManageAccountServiceUsers]
    secret: { file: ../key-officer.key }
`,
}

const files = Object.fromEntries(
  ['payments-runner', 'analytics', 'key-officer'].map((id) => [`${id}.key`, `${valueOf(id)}\n`]),
)
const sessions = '/v3/organizations/org-payments/sessions'

let simulator: Simulator
let seen: SeenRequest[] = []
beforeEach(async () => {
  seen = []
  simulator = await createSimulator({ world: createSandboxWorld(valueOf), observe: (request) => seen.push(request) })
})
afterEach(() => simulator.close())

const start = (): Promise<RunningGateway> =>
  startTestGateway({ policies, files, upstream: `{ origin: "${simulator.origin}" }` })

async function keysAt(
  serviceUser: string,
): Promise<readonly { api_key_id: string; api_key_name: string; is_active: boolean }[]> {
  const response = await fetch(`${simulator.origin}/v3beta1/enterprise/service-users/${serviceUser}/api-keys`, {
    headers: { authorization: `Bearer ${(await currentOfficer()).trim()}` },
  })
  return ((await response.json()) as { items: { api_key_id: string; api_key_name: string; is_active: boolean }[] })
    .items
}
const currentOfficer = (): Promise<string> => Promise.resolve(valueOf('key-officer'))

const configOf = (running: RunningGateway): string => join(running.directory, 'gateway.yaml')

/** Another configuration for commands that ask the listener of a gateway that a test has started on a free port. */
async function configFor(running: RunningGateway): Promise<string> {
  const file = join(running.directory, 'command.yaml')
  const text = await readFile(configOf(running), 'utf8')
  await writeFile(file, text.replace('admin: "127.0.0.1:0"', `admin: "${running.adminUrl.replace('http://', '')}"`))
  return file
}

describe('a rotation by the running gateway', () => {
  test('fails no request of a steady load, and no cursor that callers hold', async () => {
    const running = await start()
    try {
      const config = await configFor(running)
      const analyst = await running.token({ sub: 'eve', groups: ['sso-analytics'] })
      const statuses = new Map<string, number>()
      const over = new AbortController()
      const note = async (what: string, response: Response): Promise<void> => {
        const text = await response.text()
        const key = `${what} ${response.status}${response.ok ? '' : ` ${(JSON.parse(text) as { reason?: string }).reason ?? ''}`}`
        statuses.set(key, (statuses.get(key) ?? 0) + 1)
      }
      const repeat = async (what: string, call: () => Promise<Response>): Promise<void> => {
        while (!over.signal.aborted) await note(what, await call())
      }
      const pages = async (): Promise<void> => {
        while (!over.signal.aborted) {
          let cursor = ''
          do {
            const response = await running.call(`/v3/enterprise/sessions?first=1${cursor}`, { token: analyst })
            const copy = response.clone()
            await note('page', response)
            const { end_cursor: end, has_next_page: more } = (await copy.json()) as {
              end_cursor: string
              has_next_page: boolean
            }
            cursor = more ? `&after=${end}` : ''
          } while (cursor !== '' && !over.signal.aborted)
        }
      }
      const load = [
        repeat('read', () => running.call(sessions)),
        repeat('read', () => running.call(`${sessions}?first=1`)),
        repeat('write', () =>
          running.call(sessions, {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify({ prompt: 'go on' }),
          }),
        ),
        pages(),
      ]
      for (const key of ['payments-runner', 'analytics', 'payments-runner']) {
        const { code, out, err } = await callCommand(['rotate', key, '--settle', '0s', '--config', config])
        expect({ code, err }, out).toEqual({ code: 0, err: '' })
        expect(out).toMatch(/: [1-9]\d* answered, none rejected\n/)
      }
      over.abort()
      await Promise.all(load)
      expect([...statuses.keys()].toSorted()).toEqual(['page 200', 'read 200', 'write 200'])
      // Devin has seen no key that it rejected, either.
      expect(seen.filter(({ status }) => status === 401)).toEqual([])
      for (const user of ['payments-runner', 'analytics'])
        expect((await keysAt(user)).filter(({ is_active }) => is_active)).toHaveLength(1)
      const kept = await readFile(join(running.directory, 'payments-runner.key'), 'utf8')
      expect(kept).not.toContain(valueOf('payments-runner'))
      const everything = await running.everything()
      const journal = await readFile(join(running.directory, 'rotations', 'payments-runner.rotation.json'), 'utf8')
      for (const value of [kept.trim(), valueOf('payments-runner')]) {
        expect(everything).not.toContain(value)
        expect(journal).not.toContain(value)
      }
      expect((await stat(join(running.directory, 'rotations', 'payments-runner.rotation.json'))).mode & 0o777).toBe(
        0o600,
      )
      expect((await running.auditText()).match(/"event":"key-rotated"/g)).toHaveLength(3)
      const metrics = await (await fetch(`${running.adminUrl}/metrics`)).text()
      expect(metrics).toContain('gateway_key_rotations_total{key="payments-runner",result="done"} 2')
    } finally {
      await running.close()
    }
  })
})
