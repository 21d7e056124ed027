// Rotation of keys by a real gateway in front of the simulated Devin: under a steady load, cut off by SIGKILL, and refused.

import { once } from 'node:events'
import { readFile, rm, stat } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { callCommand, startCommand, startGatewayProcess } from '../support/command.ts'
import {
  configFor,
  rotationFiles,
  rotationPolicies,
  rotationSessions as sessions,
  startRotatedDevin,
  valueOf,
  writeRotationSetup,
  type RotatedDevin,
} from '../support/rotation.ts'
import { startTestGateway, until, type RunningGateway } from '../support/start-gateway.ts'
import { startVault, type StandInVault } from '../support/vault.ts'

let devin: RotatedDevin
beforeEach(async () => {
  devin = await startRotatedDevin()
})
afterEach(() => devin.simulator.close())

const start = (): Promise<RunningGateway> =>
  startTestGateway({
    policies: rotationPolicies,
    files: rotationFiles,
    upstream: `{ origin: "${devin.simulator.origin}" }`,
  })

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
      for (const key of ['payments-runner', 'analytics']) {
        const { code, out, err } = await callCommand(['rotate', key, '--settle', '0s', '--config', config])
        expect({ code, err }, out).toEqual({ code: 0, err: '' })
        expect(out).toMatch(/: [1-9]\d* answered, none rejected\n/)
      }
      over.abort()
      await Promise.all(load)
      // A starved machine makes the gateway shed load, which has nothing to do with keys.
      statuses.delete('read 503 gateway-busy')
      expect([...statuses.keys()].toSorted()).toEqual(['page 200', 'read 200', 'write 200'])
      // Devin has seen no key that it rejected, either.
      expect(devin.seen.filter(({ status }) => status === 401)).toEqual([])
      for (const user of ['payments-runner', 'analytics']) expect(await devin.activeKeys(user)).toHaveLength(1)
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
      const rotated = (await running.auditText()).match(/"event":"key-rotated".*/g)
      expect(rotated).toHaveLength(2)
      for (const entry of rotated ?? [])
        expect(entry).toMatch(/"api_key_id":"api-key-\w+","old_api_key_id":"api-key-\w+"/)
      const metrics = await (await fetch(`${running.adminUrl}/metrics`)).text()
      expect(metrics).toContain('gateway_key_rotations_total{key="payments-runner",result="done"} 1')
    } finally {
      await running.close()
    }
  })
})

/** Stands before Devin, and passes a request whose target holds the word on only when it is told to. */
async function holdingProxy(target: string, word: string) {
  const held: (() => void)[] = []
  const server = createServer((incoming, outgoing) => {
    const pass = (): void => {
      const { method, url, headers } = incoming
      const onward = request(`${target}${url}`, { method, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(outgoing)
      })
      onward.on('error', () => outgoing.destroy())
      incoming.pipe(onward)
    }
    if (incoming.url?.includes(word) === true) held.push(pass)
    else pass()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    held,
    close(): void {
      server.closeAllConnections()
      server.close()
    },
  }
}

describe('the old key', () => {
  test('is alive as long as a request with it is under way, whose caller gets its answer', async () => {
    const proxy = await holdingProxy(devin.simulator.origin, 'first=77')
    const running = await startTestGateway({
      policies: rotationPolicies,
      files: rotationFiles,
      upstream: `{ origin: "${proxy.origin}" }`,
    })
    try {
      const slow = running.call(`${sessions}?first=77`)
      await until(() => proxy.held.length === 1, 'the request at Devin')
      const config = await configFor(running)
      const command = ['rotate', 'payments-runner', '--settle', '0s', '--config', config]
      const twice = Promise.all([callCommand(command), callCommand(command)])
      const list = async (): Promise<string> => (await fetch(`${running.adminUrl}/api/rotations`)).text()
      await until(async () => (await list()).includes('1 request with the other value is under way'), 'it to wait')
      expect(await devin.activeKeys('payments-runner')).toHaveLength(2)
      expect((await running.call(sessions)).status).toBe(200)
      proxy.held[0]?.()
      expect((await slow).status).toBe(200)
      const [done, refused] = (await twice).toSorted((one, other) => Number(one.code) - Number(other.code))
      expect(done).toMatchObject({ code: 0, err: '' })
      expect(refused).toMatchObject({ code: 1, err: expect.stringContaining('is being rotated already') })
      expect(await devin.activeKeys('payments-runner')).toHaveLength(1)
    } finally {
      await running.close()
      proxy.close()
    }
  })
})

const journalOf = async (directory: string, key = 'payments-runner'): Promise<string> =>
  await readFile(join(directory, 'rotations', `${key}.rotation.json`), 'utf8').catch(() => '')

describe('a rotation that is killed', () => {
  test('with its gateway goes on in the next one, which says until then that it has stopped', async () => {
    const directory = await writeRotationSetup(devin.simulator.origin)
    const config = join(directory, 'gateway.yaml')
    const first = await startGatewayProcess(config, { awaitReady: false })
    await fetch(`http://127.0.0.1:${first.adminPort}/api/rotations?key=payments-runner`, { method: 'POST' })
    await until(async () => (await journalOf(directory)).includes('"phase": "trying"'), 'the new value in the source')
    await first.kill()
    expect(await devin.activeKeys('payments-runner')).toHaveLength(2)
    const second = await startGatewayProcess(config, { awaitReady: false })
    try {
      const ready = await (await fetch(`http://127.0.0.1:${second.adminPort}/readyz`)).text()
      expect(ready).toContain('of key \\"payments-runner\\" has stopped: it was cut off. Take it up with')
      const { code, out } = await callCommand([
        'rotate',
        'payments-runner',
        '--resume',
        '--settle',
        '0s',
        '--config',
        config,
      ])
      expect({ code, out }).toEqual({ code: 0, out: expect.stringMatching(/is rotated: api-key-\w+ is in use\n$/) })
      expect(await devin.activeKeys('payments-runner')).toHaveLength(1)
      const after = await (await fetch(`http://127.0.0.1:${second.adminPort}/readyz`)).text()
      expect(after).not.toContain('has stopped')
    } finally {
      await second.kill()
      await rm(directory, { recursive: true, force: true })
    }
  })

  test('without a gateway keeps others out while it runs, and can be undone afterwards', async () => {
    const directory = await writeRotationSetup(devin.simulator.origin)
    const config = join(directory, 'gateway.yaml')
    const file = join(directory, 'payments-runner.key')
    try {
      const killed = startCommand(['rotate', 'payments-runner', '--settle', '1h', '--config', config])
      await until(async () => (await journalOf(directory)).includes('"phase": "settling"'), 'it to wait')
      expect(await readFile(file, 'utf8')).not.toContain(valueOf('payments-runner'))
      for (const words of [[], ['--resume'], ['--undo']]) {
        const { code, err } = await callCommand(['rotate', 'payments-runner', ...words, '--config', config])
        expect({ code, err }).toEqual({
          code: 1,
          err: expect.stringContaining('another process rotates key "payments-runner"'),
        })
      }
      await killed.kill()
      const again = await callCommand(['rotate', 'payments-runner', '--config', config])
      expect(again.err).toContain('is not over: finish it with --resume, or go back with --undo')
      const { code, out } = await callCommand([
        'rotate',
        'payments-runner',
        '--undo',
        '--settle',
        '0s',
        '--config',
        config,
      ])
      expect({ code, out }).toEqual({
        code: 0,
        out: expect.stringMatching(/key "payments-runner" is as it was before\n$/),
      })
      expect(await readFile(file, 'utf8')).toBe(`${valueOf('payments-runner')}\n`)
      expect((await stat(file)).mode & 0o777).toBe(0o640)
      expect(await devin.activeKeys('payments-runner')).toHaveLength(1)
      const audit = await callCommand(['audit', 'verify', join(directory, 'audit.ndjson')])
      expect(audit.code, audit.err).toBe(0)
      expect(await readFile(join(directory, 'audit.ndjson'), 'utf8')).toContain('"event":"key-rotation-undone"')
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  })
})

describe('a rotation is refused, or shown, by the command without a gateway', () => {
  test('with key, source, and what to do', async () => {
    const extra = `  - { id: in-environment, scope: organization, organization: org-payments, permissions: [ViewOrgSessions], secret: { env: PAYMENTS_KEY } }
  - { id: twin, scope: enterprise, permissions: [ViewAccountMetrics], secret: { file: ../analytics.key } }
  - { id: absent, scope: enterprise, permissions: [], secret: { file: ../absent.key } }
  - { id: elsewhere, scope: organization, organization: org-research, permissions: [], secret: { file: ../payments-runner.key } }
`
    const directory = await writeRotationSetup(devin.simulator.origin, `${rotationPolicies['keys.yaml']}${extra}`)
    const config = join(directory, 'gateway.yaml')
    const env = { PAYMENTS_KEY: valueOf('payments-reader') }
    const refusalOf = async (...words: readonly string[]): Promise<readonly string[]> => {
      const { code, out } = await callCommand(['rotate', ...words, '--dry-run', '--json', '--config', config], env)
      expect(code, out).toBe(1)
      const { refused } = JSON.parse(out) as { refused: readonly string[] }
      return refused
    }
    try {
      expect(await refusalOf('in-environment')).toEqual([
        'the environment variable PAYMENTS_KEY cannot be written: keep the value in a file or a vault, so that the new one can be put there',
      ])
      const shown = await callCommand(['rotate', 'in-environment', '--dry-run', '--config', config], env)
      expect(shown.out).toMatch(/refused: the environment variable PAYMENTS_KEY cannot be written/)
      expect(shown.out).not.toMatch(/write the new value/)
      expect(await refusalOf('twin')).toEqual([
        'key "analytics" has the same value, and would be left with a revoked one: give each entry a key of its own',
      ])
      expect((await refusalOf('absent'))[0]).toContain('absent.key')
      expect((await refusalOf('elsewhere')).join()).toContain(
        'its value is a key of org-payments, and the inventory says org-research',
      )
      expect(await refusalOf('key-officer')).toEqual([expect.stringContaining('a key does not rotate itself')])
      expect(await refusalOf('payment-runner')).toEqual([
        'there is no key "payment-runner" in the inventory; did you mean "payments-runner"?',
      ])
      devin.simulator.issueKey('analytics')
      const [many = ''] = await refusalOf('analytics')
      expect(many).toContain('key "twin" has the same value')
      devin.simulator.revokeKey(valueOf('payments-runner'))
      const { code, err } = await callCommand(['rotate', 'payments-runner', '--config', config], env)
      expect({ code, err }).toEqual({
        code: 1,
        err: expect.stringContaining('Devin rejects the value that the file'),
      })
      expect(await journalOf(directory)).toBe('')
      await rm(join(directory, 'key-officer.key'))
      expect((await refusalOf('twin')).join()).toContain(
        'key "key-officer", which would rotate it, cannot be used: no value of it is known here',
      )
      for (const [words, text] of [
        [['rotate'], 'name the key'],
        [['rotate', 'a', '--undo', '--resume'], 'do not go together'],
        [['rotate', 'a', '--settle', 'soon'], '--settle: "soon" is not a duration'],
      ] as const) {
        const usage = await callCommand([...words, '--config', config])
        expect([usage.code, usage.err]).toEqual([2, expect.stringContaining(text)])
      }
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  })
})

describe('a key that is kept in Vault', () => {
  let vault: StandInVault
  let directory: string
  beforeEach(async () => {
    vault = await startVault()
    vault.keep('kv/devin/payments', { key: valueOf('payments-runner'), owner: 'payments' })
    const reference = `{ vault: { address: "${vault.address}", path: kv/data/devin/payments, field: key, auth: { token: { env: VAULT_TOKEN } } } }`
    const keys = rotationPolicies['keys.yaml'].replace('{ file: ../payments-runner.key }', reference)
    directory = await writeRotationSetup(devin.simulator.origin, keys)
  })
  afterEach(async () => {
    await vault.close()
    await rm(directory, { recursive: true, force: true })
  })
  const rotate = (...words: readonly string[]) =>
    callCommand(
      ['rotate', 'payments-runner', ...words, '--settle', '0s', '--config', join(directory, 'gateway.yaml')],
      {
        VAULT_TOKEN: vault.rootToken,
      },
    )

  test('is rotated there, beside its other fields, also when the vault is sealed in the middle', async () => {
    let sealedAfter = Infinity
    vault.interfereOnce(() => {
      vault.be('sealed')
      sealedAfter = vault.requests.length
    })
    const rotated = rotate()
    await until(() => vault.requests.length > sealedAfter, 'a request to the sealed vault')
    vault.be('serving')
    const { code, out, err } = await rotated
    expect({ code, err }, out).toEqual({ code: 0, err: '' })
    expect(out).toMatch(
      /kept in the field key of the Vault secret kv\/data\/devin\/payments at \S+, step "write the new value": the source: Vault at \S+ is sealed.*; it is tried again/,
    )
    const kept = JSON.parse(vault.latest('kv/devin/payments')) as { key: string; owner: string }
    expect(kept.owner).toBe('payments')
    expect(kept.key).not.toBe(valueOf('payments-runner'))
    expect(await devin.activeKeys('payments-runner')).toHaveLength(1)
    for (const text of [out, await journalOf(directory), await readFile(join(directory, 'audit.ndjson'), 'utf8')])
      for (const secret of [kept.key, valueOf('payments-runner'), vault.rootToken]) expect(text).not.toContain(secret)
  })

  test('stays as it is where the vault does not let us write, and so does Devin', async () => {
    vault.forbidWriting()
    const { code, err } = await rotate()
    expect(code).toBe(1)
    expect(err).toMatch(
      /^the rotation of key "payments-runner" went back: key "payments-runner", kept in the field key of the Vault secret kv\/data\/devin\/payments at \S+, step "write the new value": the source may not be written: .*\n$/,
    )
    expect(JSON.parse(vault.latest('kv/devin/payments'))).toEqual({
      key: valueOf('payments-runner'),
      owner: 'payments',
    })
    expect(await devin.activeKeys('payments-runner')).toHaveLength(1)
  })
})
