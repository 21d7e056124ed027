// A real process whose audit log is signed: killed between an entry and its checkpoint, rotated while it ran and while it did not, its key changed, and
// checked by the command with the public key alone.

import { generateKeyPairSync } from 'node:crypto'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePort } from '../support/free-ports.ts'
import { callCommand, startGatewayProcess, type StartedGateway } from '../support/command.ts'
import { startIssuer, type Issuer } from '../support/issuer.ts'
import { createSite, type Site } from '../support/site.ts'
import { until, usualKeys } from '../support/start-gateway.ts'

let issuer: Issuer
let site: Site
let gateway: StartedGateway
let place: (name: string) => string

const makeKey = (): { privatePem: string; publicPem: string } => {
  const pair = generateKeyPairSync('ed25519')
  return {
    privatePem: String(pair.privateKey.export({ type: 'pkcs8', format: 'pem' })),
    publicPem: String(pair.publicKey.export({ type: 'spki', format: 'pem' })),
  }
}

beforeAll(async () => {
  issuer = await startIssuer()
  site = await createSite({
    issuer,
    listen: `{ gateway: "127.0.0.1:0", admin: "127.0.0.1:${await freePort()}" }`,
    config:
      'checkpoints: { origin: test/site, every: 1h, key: { file: audit.pem }, to: [{ file: checkpoints.ndjson }, { stdout: true }] }',
  })
  place = (name) => join(site.directory, name)
  const { privatePem, publicPem } = makeKey()
  await writeFile(place('audit.pem'), privatePem)
  await writeFile(place('public.pem'), publicPem)
  await start()
})
afterAll(async () => {
  await gateway.kill()
  await issuer.stop()
  await site.remove()
})

async function start(): Promise<void> {
  gateway = await startGatewayProcess(site.configFile, { env: usualKeys })
}

/** An entry of the audit log. */
async function change(): Promise<void> {
  const path = '/api/purge?organization=org-payments'
  expect((await fetch(`http://127.0.0.1:${gateway.adminPort}${path}`, { method: 'POST' })).status).toBe(200)
}

async function lastSequence(name = 'audit.ndjson'): Promise<number> {
  const last = (await readFile(place(name), 'utf8')).trimEnd().split('\n').at(-1) ?? ''
  return (JSON.parse(last) as { seq: number }).seq
}

interface Verdict {
  readonly ok: boolean
  readonly anchored: readonly { from: number; to: number }[]
  readonly unanchored: readonly { from: number; to: number }[]
  readonly problems: readonly { problem: string }[]
}

async function verify(
  files: readonly string[],
  keys: readonly string[] = ['public.pem'],
): Promise<Verdict & { code: number }> {
  const args = ['audit', 'verify', ...files.map(place), '--checkpoints', place('checkpoints.ndjson')]
  const { code, out, err } = await callCommand(
    [...args, ...keys.flatMap((key) => ['--public-key', place(key)]), '--json'],
    {},
  )
  if (out === '') throw new Error(err)
  return { ...(JSON.parse(out) as Verdict), code: code ?? 3 }
}

async function checkpoint(): Promise<{ sequence: number; key_id: string }> {
  const { code, out, err } = await callCommand(['audit', 'checkpoint', '--config', site.configFile], usualKeys)
  expect([code, err]).toEqual([0, ''])
  return JSON.parse(out) as { sequence: number; key_id: string }
}

test('the signed head outlives the process, its files and its key', async () => {
  await change()
  const first = await checkpoint()
  expect(first.sequence).toBe(await lastSequence())
  expect(gateway.out.split('\n')).toContain((await readFile(place('checkpoints.ndjson'), 'utf8')).trimEnd())

  // Killed between entries and their checkpoint: nothing is broken, and what no checkpoint has seen is named.
  await change()
  await change()
  await gateway.kill()
  const end = await lastSequence()
  expect(await verify(['audit.ndjson'])).toMatchObject({
    code: 0,
    ok: true,
    anchored: [{ from: 1, to: first.sequence }],
    unanchored: [{ from: first.sequence + 1, to: end }],
  })

  // Moved away and compressed while nothing runs: the next file goes on from there.
  const text = await readFile(place('audit.ndjson'))
  await writeFile(place('audit.ndjson.2.gz'), gzipSync(text))
  await rm(place('audit.ndjson'))
  await start()
  await change()
  const opening = JSON.parse((await readFile(place('audit.ndjson'), 'utf8')).split('\n')[0] ?? '') as {
    seq: number
    details: object
  }
  expect(opening).toMatchObject({ seq: end + 1, details: { previous_seq: end } })

  // Moved away while it runs, and the key changed.
  const later = makeKey()
  await rename(place('audit.ndjson'), place('audit.ndjson.1'))
  await writeFile(place('audit.pem'), later.privatePem)
  await writeFile(place('public-2.pem'), later.publicPem)
  gateway.signal('SIGHUP')
  await until(async () => (await checkpoint()).key_id !== first.key_id, 'a checkpoint by the new key')
  await change()
  gateway.signal('SIGTERM')
  expect((await gateway.ended).code).toBe(0)

  const files = ['audit.ndjson.1', 'audit.ndjson', 'audit.ndjson.2.gz']
  const keys = ['public.pem', 'public-2.pem']
  // The last checkpoint is signed at the end.
  expect(await verify(files, keys)).toMatchObject({
    code: 0,
    ok: true,
    unanchored: [],
    anchored: [{ from: 1, to: await lastSequence() }],
  })
  // One key of the two is not enough.
  expect((await verify(files)).problems[0]?.problem).toContain('signed by key')

  // A deleted file, a cut end, and lines that are said otherwise.
  const problemOf = async (given: readonly string[]): Promise<string> => {
    const { code, problems } = await verify(given, keys)
    expect(code).toBe(1)
    return problems.map(({ problem }) => problem).join('; ')
  }
  expect(await problemOf(['audit.ndjson.2.gz', 'audit.ndjson'])).toContain('is missing')
  expect(await problemOf(['audit.ndjson.2.gz', 'audit.ndjson.1'])).toContain('are gone: a checkpoint of')
  expect(await problemOf(['audit.ndjson.1', 'audit.ndjson'])).toContain('before it were removed')
  await writeFile(
    place('edited'),
    (await readFile(place('audit.ndjson.1'), 'utf8')).replace('org-payments', 'org-other'),
  )
  expect(await problemOf(['audit.ndjson.2.gz', 'edited', 'audit.ndjson'])).toContain('was changed')
})

test('a key that cannot sign stops the start with a sentence', async () => {
  await gateway.kill()
  await writeFile(place('audit.pem'), 'cog_not-a-key-of-this-kind')
  await expect(start()).rejects.toThrow(/the signing key of audit checkpoints cannot be used: it is no key in PEM form/)
  await rm(place('audit.pem'))
  await expect(start()).rejects.toThrow(
    /the signing key of audit checkpoints cannot be used: .*audit\.pem cannot be read/,
  )
})
