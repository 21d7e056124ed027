// Keys that a vault or a program keeps, in a running gateway: what happens when their place is away, comes back, or has another value;
// and that neither a value nor what opens the place is found anywhere.

import { chmod, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { expectNowhere } from '../support/planted.ts'
import { startTestGateway, until, usualKeys, type RunningGateway } from '../support/start-gateway.ts'
import { callCommand } from '../support/command.ts'
import { configFor } from '../support/rotation.ts'
import { startVault, type StandInVault } from '../support/vault.ts'

const sessions = '/v3/organizations/org-payments/sessions'
const consumption = '/v3/enterprise/consumption/cycles'
const firstValue = 'cog_vault-needle-first-0123456789'
const secondValue = 'cog_vault-needle-second-9876543210'
const analystToken = { groups: ['sso-analytics'] }

function keysWith(secret: string): string {
  return `keys:
  - id: payments-runner
    scope: organization
    organization: org-payments
    permissions: [ViewOrgSessions, ManageOrgSessions]
    secret: ${secret}
  - id: analytics
    scope: enterprise
    permissions: [ViewAccountMetrics, ViewAccountConsumption, ManageBilling, ViewAccountSessions, ManageAccountMembership]
    secret: { env: ANALYTICS_KEY }
`
}

const inVault = (vault: StandInVault, refresh = '1s'): string =>
  `{ vault: { address: "${vault.address}", path: kv/data/devin/a, field: key, refresh: ${refresh}, auth: { approle: { role_id: ${vault.roleId}, secret_id: { env: VAULT_SECRET_ID } } } } }`

async function startWith(vault: StandInVault, secret = inVault(vault)): Promise<RunningGateway> {
  const running = await startTestGateway({
    policies: { 'keys.yaml': keysWith(secret) },
    env: { VAULT_SECRET_ID: vault.secretId },
  })
  onTestFinished(() => running.close())
  return running
}

async function newVault(): Promise<StandInVault> {
  const vault = await startVault()
  onTestFinished(() => vault.close())
  vault.keep('kv/devin/a', { key: firstValue })
  return vault
}

interface ShownKey {
  readonly state: string
  readonly version: number
  readonly value_age_seconds: number | null
  readonly source_version: string | null
  readonly source_error: string | null
}

async function shownKey({ adminUrl }: RunningGateway): Promise<ShownKey> {
  const keys = (await (await fetch(`${adminUrl}/api/keys`)).json()) as (ShownKey & { id: string })[]
  const found = keys.find(({ id }) => id === 'payments-runner')
  if (found === undefined) throw new Error('the key is not shown')
  return found
}

async function readyz({ adminUrl }: RunningGateway): Promise<{ status: number; text: string }> {
  const answer = await fetch(`${adminUrl}/readyz`)
  return { status: answer.status, text: await answer.text() }
}

/** The key that the upstream saw last. */
function sentKey({ upstream }: RunningGateway): string | undefined {
  const sent = upstream.seen.at(-1)?.headers['authorization']
  return typeof sent === 'string' ? sent.replace(/^Bearer /, '') : undefined
}

describe('a key whose vault is away at the start', () => {
  test('takes down no other key, is refused with a reason, and works as soon as the vault answers', async () => {
    const vault = await newVault()
    vault.be('sealed')
    const running = await startWith(vault)
    expect((await running.call(consumption, { claims: analystToken })).status).toBe(200)
    const refused = await running.call(sessions)
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5'])
    expect(await refused.json()).toMatchObject({
      reason: 'key-unresolved',
      type: '/gateway/v1/problems/key-unavailable',
    })
    const { status, text } = await readyz(running)
    expect(status).toBe(200)
    expect(text).toContain('is sealed: somebody has to unseal it; calls that need it are refused')
    expect(await shownKey(running)).toMatchObject({ state: 'unresolved', version: 0, value_age_seconds: null })
    const { out } = await callCommand(['keys', '--config', await configFor(running)])
    expect(out).toMatch(/payments-runner {2}unresolved[^]*its source {3}.*is sealed: somebody has to unseal it\n/)
    vault.be('serving')
    await until(async () => (await running.call(sessions)).status === 200, 'the key to work')
    expect(sentKey(running)).toBe(firstValue)
    expect(await shownKey(running)).toMatchObject({
      state: 'ready',
      version: 1,
      source_version: '1',
      source_error: null,
    })
    expect((await readyz(running)).text).not.toContain('sealed')
  })

  test('keeps an instance from being ready when it is the only one', async () => {
    const vault = await newVault()
    vault.be('sealed')
    const running = await startTestGateway({
      policies: {
        'keys.yaml': keysWith(inVault(vault)).split('  - id: analytics')[0] ?? '',
        'teams/analytics.yaml': null,
      },
      env: { VAULT_SECRET_ID: vault.secretId },
      awaitReady: false,
    })
    onTestFinished(() => running.close())
    expect(await readyz(running)).toMatchObject({ status: 503 })
    expect((await readyz(running)).text).toContain('no key has a value yet')
    vault.be('serving')
    await until(async () => (await readyz(running)).status === 200, 'the instance to be ready')
  })

  test('refuses the start when it says that there is no such secret', async () => {
    const vault = await newVault()
    vault.remove('kv/devin/a')
    await expect(startWith(vault)).rejects.toThrow(
      /keys.yaml:6:13: key "payments-runner": the field key of the Vault secret kv\/data\/devin\/a at \S+ is not there: nothing was ever written to this path/,
    )
  })
})

describe('a key whose vault goes away later', () => {
  test('keeps its value; age and cause are seen, the instance stays ready, and no other key is concerned', async () => {
    const vault = await newVault()
    const running = await startWith(vault)
    expect((await running.call(sessions)).status).toBe(200)
    vault.be('sealed')
    await until(async () => (await shownKey(running)).source_error !== null, 'the failed reading')
    await until(async () => ((await shownKey(running)).value_age_seconds ?? 0) >= 1, 'the value to be older')
    expect((await running.call(sessions)).status).toBe(200)
    expect(sentKey(running)).toBe(firstValue)
    expect(await shownKey(running)).toMatchObject({ state: 'ready', version: 1 })
    const { status, text } = await readyz(running)
    expect(status).toBe(200)
    expect(text).toContain('its value stays in use, as it was less than a minute ago')
    const metrics = await (await fetch(`${running.adminUrl}/metrics`)).text()
    expect(metrics).toMatch(/^gateway_key_value_age_seconds\{key="payments-runner"\} [1-9]/m)
    expect(metrics).toMatch(/^gateway_key_source_failing\{key="payments-runner"\} 1$/m)
    expect(metrics).toMatch(/^gateway_key_source_failing\{key="analytics"\} 0$/m)
    expect(metrics).not.toContain('gateway_key_value_age_seconds{key="analytics"}')
    const lines = running.logLines.filter((line) => line.includes('"key-source"'))
    expect(lines).toHaveLength(1)
    // A reload changes nothing about it.
    const reload = await fetch(`${running.adminUrl}/api/reload`, {
      method: 'POST',
      headers: { 'x-gateway-admin': '1' },
    })
    expect(await reload.json()).toMatchObject({ result: 'unchanged' })
    expect((await running.call(sessions)).status).toBe(200)
    vault.keep('kv/devin/a', { key: secondValue })
    vault.be('serving')
    await until(async () => (await shownKey(running)).version === 2, 'the new value')
    expect((await running.call(sessions)).status).toBe(200)
    expect(sentKey(running)).toBe(secondValue)
  })

  test('and whose secret was deleted there keeps its value too: only the inventory and Devin end a key', async () => {
    const vault = await newVault()
    const running = await startWith(vault)
    vault.markDeleted('kv/devin/a')
    await until(async () => (await shownKey(running)).source_error !== null, 'the failed reading')
    expect((await running.call(sessions)).status).toBe(200)
    expect(await shownKey(running)).toMatchObject({ state: 'ready', version: 1 })
  })

  test('holds no reload back, though it hangs', async () => {
    const vault = await newVault()
    const running = await startWith(vault, inVault(vault, '24h'))
    vault.be('silent')
    await running.writePolicy(
      'teams/extra.yaml',
      'team: extra\nmembers: [{ groups: [x] }]\norganizations: [org-payments]\ngrants: []\n',
    )
    const reload = await fetch(`${running.adminUrl}/api/reload`, {
      method: 'POST',
      headers: { 'x-gateway-admin': '1' },
    })
    expect(await reload.json()).toMatchObject({ result: 'replaced' })
    expect((await running.call(sessions)).status).toBe(200)
    expect(await shownKey(running)).toMatchObject({ state: 'ready', version: 1 })
  })

  test('and whose inventory names another place that is away keeps what worked, and the change comes later', async () => {
    const vault = await newVault()
    const other = await newVault()
    other.keep('kv/devin/a', { key: secondValue })
    other.be('sealed')
    const running = await startTestGateway({
      policies: { 'keys.yaml': keysWith(inVault(vault)) },
      env: { VAULT_SECRET_ID: vault.secretId, OTHER_SECRET_ID: other.secretId },
    })
    onTestFinished(() => running.close())
    await running.writePolicy('keys.yaml', keysWith(inVault(other).replace('VAULT_SECRET_ID', 'OTHER_SECRET_ID')))
    const reload = await fetch(`${running.adminUrl}/api/reload`, {
      method: 'POST',
      headers: { 'x-gateway-admin': '1' },
    })
    const { result, diagnostics } = (await reload.json()) as { result: string; diagnostics: string[] }
    expect(result).toBe('deferred')
    expect(diagnostics[0]).toMatch(
      /keys.yaml:2: key "payments-runner": .* it has a value from its earlier place, so the change waits until the new place answers$/,
    )
    expect((await running.call(sessions)).status).toBe(200)
    expect(sentKey(running)).toBe(firstValue)
    other.be('serving')
    await until(
      async () => (await running.call(sessions)).status === 200 && sentKey(running) === secondValue,
      'the new place',
    )
  })
})

describe('a key that Devin rejects', () => {
  test('is read from the vault again at once, and rejections that follow each other ask it no more than once a second', async () => {
    const vault = await newVault()
    const running = await startWith(vault, inVault(vault, '24h'))
    running.upstream.respond((request, response) => {
      const isOld = request.headers.authorization === `Bearer ${firstValue}`
      response.writeHead(isOld ? 401 : 200, { 'content-type': 'application/json' }).end('{}')
    })
    vault.keep('kv/devin/a', { key: secondValue })
    expect((await running.call(sessions)).status).toBe(502)
    expect((await running.call(sessions)).status).toBe(200)
    expect(sentKey(running)).toBe(secondValue)
    running.upstream.respond((_, response) => response.writeHead(401).end())
    const asked = vault.requests.filter(({ path }) => path.startsWith('kv/')).length
    await Promise.all(Array.from({ length: 20 }, () => running.call(sessions)))
    expect(vault.requests.filter(({ path }) => path.startsWith('kv/')).length - asked).toBeLessThanOrEqual(2)
  })
})

describe('a key that a program prints', () => {
  test('is used, and its next value too', async () => {
    const running = await startTestGateway()
    onTestFinished(() => running.close())
    const script = join(running.directory, 'print-key')
    const print = async (value: string): Promise<void> => {
      await writeFile(`${script}.new`, `#!/bin/sh\necho "trying ${value}" >&2\necho ${value}\n`)
      await chmod(`${script}.new`, 0o755)
      await rename(`${script}.new`, script)
    }
    await print(firstValue)
    await running.writePolicy('keys.yaml', keysWith('{ exec: { command: [../print-key], refresh: 1s } }'))
    await until(
      async () => (await running.call(sessions)).status === 200 && sentKey(running) === firstValue,
      'the printed key',
    )
    await print(secondValue)
    await until(
      async () => (await running.call(sessions)).status === 200 && sentKey(running) === secondValue,
      'the next one',
    )
    expectNowhere(await running.everything(), [firstValue, secondValue])
  })
})

test('neither a value nor what opens the vault is found in anything that is written or shown, in good days and bad', async () => {
  const vault = await newVault()
  const running = await startWith(vault)
  const answers: string[] = []
  const call = async (): Promise<void> => {
    const answer = await running.call(sessions)
    answers.push(JSON.stringify([...answer.headers]), await answer.text())
  }
  await call()
  const wrong = async (spoil: () => void): Promise<void> => {
    const { source_error: before } = await shownKey(running)
    spoil()
    await until(async () => (await shownKey(running)).source_error !== before, 'another state')
    await call()
    answers.push((await readyz(running)).text)
  }
  // What stands there is no key, but it is a secret all the same.
  await wrong(() => vault.keep('kv/devin/a', { key: `"${secondValue}"` }))
  await wrong(() => vault.keep('kv/devin/a', { [secondValue]: 'x' }))
  await wrong(() => vault.be('sealed'))
  await wrong(() => {
    vault.be('serving')
    vault.remove('kv/devin/a')
  })
  await wrong(() => vault.forbidReading())
  await fetch(`${running.adminUrl}/api/reload`, { method: 'POST', headers: { 'x-gateway-admin': '1' } })
  const planted = [
    firstValue,
    secondValue,
    vault.secretId,
    usualKeys['ANALYTICS_KEY'] ?? '',
    ...new Set(vault.requests.flatMap(({ token }) => (token === null ? [] : [token]))),
  ]
  expect(planted.length).toBeGreaterThan(4)
  expectNowhere([await running.everything(), ...answers].join('\n'), planted)
})
