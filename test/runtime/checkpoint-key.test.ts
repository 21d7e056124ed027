// The key that signs checkpoints: what `check` says of it, and the session with the vault that keeps it.

import { generateKeyPairSync } from 'node:crypto'
import { chmod, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { createLog } from '../../src/records/log.ts'
import { openCheckpoints } from '../../src/runtime/audit/checkpoints.ts'
import { callCommand } from '../support/command.ts'
import { createSite, type Site } from '../support/site.ts'
import { usualKeys } from '../support/start-gateway.ts'
import { startVault } from '../support/vault.ts'

const ed25519 = generateKeyPairSync('ed25519')
const pem = String(ed25519.privateKey.export({ type: 'pkcs8', format: 'pem' }))
const encrypted = { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' } as const
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs1', format: 'pem' })

let site: Site
let file: string
beforeAll(async () => {
  site = await createSite({
    config: 'checkpoints: { key: { file: audit.pem }, to: [{ file: checkpoints.ndjson }] }',
  })
  file = join(site.directory, 'audit.pem')
})
afterAll(() => site.remove())

async function check(...more: string[]): Promise<{ code: number | null; said: string[]; missing: unknown }> {
  const { code, out } = await callCommand(['check', '--config', site.configFile, '--json', ...more], usualKeys)
  const report = JSON.parse(out) as {
    diagnostics: { file: string; line: number; severity: string; message: string }[]
    settings_without_value: unknown
  }
  const said = report.diagnostics
    .filter(({ message }) => message.includes(file))
    .map((each) => {
      expect([each.file, each.line]).toEqual([site.configFile, 10])
      return `${each.severity}: ${each.message}`
    })
  return { code, said, missing: report.settings_without_value }
}

test.each([
  ['no key at all', 'cog_this-is-no-signing-key-0123456789', /it is no key in PEM form: make one with/],
  ['an empty file', '', /it is no key in PEM form/],
  ['the public half', ed25519.publicKey.export({ type: 'spki', format: 'pem' }), /it is the public key, which only/],
  ['a key with a passphrase', ed25519.privateKey.export(encrypted), /it is encrypted with a passphrase/],
  ['a key of another kind', rsa, /it is a key of type rsa, and must be Ed25519/],
])('`check` refuses %s, and repeats nothing of it', async (_name, text, why) => {
  await writeFile(file, text, { mode: 0o600 })
  const { code, said } = await check()
  expect([code, said.length]).toEqual([1, 1])
  expect(said[0]).toMatch(/^error: the signing key of audit checkpoints cannot be used: /)
  expect(said[0]).toMatch(why)
  expect(said[0]).toContain(`it was read from the file ${file}`)
  expect(said[0]).not.toContain('cog_')
})

test('`check` warns of a key that is missing here, and of one that others may read; --online refuses a missing one', async () => {
  await rm(file)
  const absent = await check()
  expect(absent).toMatchObject({ code: 0, missing: ['checkpoints.key.file'] })
  expect(absent.said).toEqual([expect.stringMatching(/^warning: the signing key .* there is no such file$/)])
  expect((await check('--online')).said).toEqual([expect.stringMatching(/^error: the signing key/)])
  await writeFile(file, pem)
  await chmod(file, 0o644)
  expect((await check()).said).toEqual([expect.stringMatching(/^warning: other users of this machine may read/)])
  await chmod(file, 0o600)
  expect(await check()).toMatchObject({ code: 0, said: [], missing: [] })
})

test('a session with the vault that keeps it ends with the checkpoints; `check` asks the vault only with --online', async () => {
  const vault = await startVault()
  onTestFinished(() => vault.close())
  const { roleId, secretId } = vault
  vault.keep('kv/audit', { pem })
  const auth = `{ approle: { role_id: ${roleId}, secret_id: { env: SECRET_ID } } }`
  const other = await createSite({
    config: `checkpoints: { key: { vault: { address: "${vault.address}", path: kv/data/audit, field: pem, auth: ${auth} } }, to: [{ stdout: true }] }`,
  })
  onTestFinished(() => other.remove())
  const env = { ...usualKeys, SECRET_ID: secretId }
  const asked = (): string[] => vault.requests.splice(0).map(({ path }) => path)
  const session = ['auth/approle/login', 'kv/data/audit', 'auth/token/revoke-self']
  const open = async () =>
    await openCheckpoints({
      config: (await loadConfig(other.configFile, env)).config,
      env,
      log: createLog({ level: 'silent' }),
      now: Date.now,
      head: () => ({ seq: 0, hash: '' }),
    })

  const checkpoints = await open()
  expect(checkpoints?.status().keyError).toBeNull()
  await checkpoints?.close()
  expect(asked()).toEqual(session)
  // A start that is refused leaves no session behind either.
  vault.keep('kv/audit', { pem: 'no key' })
  await expect(open()).rejects.toThrow(/it was read from the field pem of the Vault secret kv\/data\/audit/)
  expect(asked()).toEqual(session)
  const args = ['check', '--config', other.configFile]
  expect((await callCommand(args, env)).code).toBe(0)
  expect(asked()).toEqual([])
  expect((await callCommand([...args, '--online'], env)).err).toContain('it is no key in PEM form')
  expect(asked()).toEqual(session)
})
