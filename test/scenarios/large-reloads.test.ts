// Large and stupid policy files while callers are served: they get answers meanwhile, under the set before, and the newest
// sound set ends up in force.

import { readdirSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startTestGateway, until, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const payments = usualPolicies['teams/payments.yaml'] ?? ''
const refusesAll = 'team: payments\nmembers: [{ groups: [sso-payments-eng] }]\norganizations: [org-payments]\n'

let running: RunningGateway
beforeEach(async () => {
  running = await startTestGateway()
})
afterEach(async () => {
  await running.close()
})

interface Reloaded {
  readonly result: string
  readonly diagnostics: readonly string[]
}

async function reload(): Promise<Reloaded> {
  return (await (await fetch(`${running.adminUrl}/api/reload`, { method: 'POST' })).json()) as Reloaded
}

async function revision(): Promise<string> {
  const { policies } = (await (await fetch(`${running.adminUrl}/api/status`)).json()) as {
    policies: { revision: string }
  }
  return policies.revision
}

const put = (name: string, text: string): Promise<void> => writeFile(join(running.directory, 'policies', name), text)

/** What callers get while a reload is under way, one call after the other. */
async function answersDuring<Result>(work: Promise<Result>): Promise<{ result: Result; answers: readonly number[] }> {
  const token = await running.token()
  const answers: number[] = []
  const reading = { isOver: false }
  const done = work.finally(() => (reading.isOver = true))
  while (!reading.isOver) {
    answers.push((await running.call(sessions, { token })).status)
    // Leaves the machine to the thread.
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  return { result: await done, answers }
}

/** Of this process. */
const threads = (): number => readdirSync('/proc/self/task').length

const list = (count: number, line: (index: number) => string): string =>
  Array.from({ length: count }, (_, i) => line(i)).join('')

/** A team of its own, which takes long to examine: the more grants, the longer. */
const teamOf = (grants: number): string => `team: large
members: [{ groups: [large] }]
organizations: [org-payments]
grants:
${list(grants, (index) => `  - { id: g${index}, allow: [org.sessions.*, ManageOrgSessions], when: { groups: [x${index}] } }\n`)}`
const largeTeam = teamOf(120)

/** Few answers would fit between the turns of an event loop that reads, checks or compiles such a file at once. */
const many = 10

describe('while policies are loaded', () => {
  test('callers are answered under the set before, until the new one is in force', async () => {
    const before = await revision()
    await put('teams/large.yaml', largeTeam)
    await put('teams/payments.yaml', refusesAll)
    const { result, answers } = await answersDuring(reload())
    expect(result).toMatchObject({ result: 'replaced' })
    expect(answers.length).toBeGreaterThan(many)
    // A call may have begun before the change, and no call sees the old set after the new one.
    expect(answers.toSorted((one, other) => one - other)).toEqual(answers)
    expect(answers[0]).toBe(200)
    expect((await running.call(sessions)).status).toBe(403)
    await running.settled(answers.length + 1)
    const revisions = new Set((await running.decisions()).map((entry) => entry.policy_revision))
    expect([...revisions]).toEqual([before, await revision()])
  })

  test.each([
    ['nothing but mistakes', 'a: {b: c} d\n'.repeat(3000)],
    ['words that nobody knows', largeTeam.replaceAll('org.sessions.*', 'org.sesions.lst')],
    ['keys that nobody knows', `team: large\n${list(1500, (index) => `kez${index}: 1\n`)}`],
  ])('a file with %s is refused in a few lines, and hurts nobody', async (_what, text) => {
    const before = await revision()
    await put('teams/large.yaml', text)
    const { result, answers } = await answersDuring(reload())
    expect(result.result).toBe('refused')
    expect(result.diagnostics.length).toBeLessThanOrEqual(201)
    expect(result.diagnostics.join('\n')).toMatch(/teams\/large\.yaml:\d+:\d+: and \d+ more in this file/)
    expect(answers.length).toBeGreaterThan(many)
    expect(new Set(answers)).toEqual(new Set([200]))
    expect(await revision()).toBe(before)
    await rm(join(running.directory, 'policies', 'teams/large.yaml'))
    expect(await reload()).toMatchObject({ result: 'unchanged' })
  })

  test('a change that comes meanwhile is the one that counts in the end', async () => {
    await put('teams/large.yaml', largeTeam)
    const first = reload()
    await put('teams/payments.yaml', refusesAll)
    const second = reload()
    await put('teams/payments.yaml', payments.replace('run-sessions', 'run-all'))
    const third = reload()
    await Promise.all([first, second, third])
    await running.call(sessions)
    expect((await running.recorded(1)).decision).toMatchObject({ grant: 'run-all' })
    expect(await reload()).toMatchObject({ result: 'unchanged' })
  })

  test.runIf(process.platform === 'linux')(
    'a stop gives up what is under way, and says nothing of a refusal',
    async () => {
      // It would take minutes.
      // Together they take longer than the thread is waited for below.
      for (let index = 0; index < 60; index += 1)
        await put(`teams/t${index}.yaml`, teamOf(2000).replace('team: large', `team: t${index}`))
      const before = threads()
      const under = reload().catch(() => null)
      await until(() => threads() > before, 'the thread that reads them')
      await running.gateway.drain()
      await under
      await expect.poll(threads, { timeout: 8_000 }).toBeLessThanOrEqual(before)
      expect(running.logLines.join('\n')).not.toMatch(/policies-refused|defect/)
      expect(await running.auditText()).not.toContain('policies-refused')
    },
  )
})
