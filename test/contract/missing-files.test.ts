// A checkout without certificate, key and store secrets: every command but `start` does its work, and `check` says what a
// start still needs. What is there has to be right.

import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createAuthority, longAgo } from '../support/certificates.ts'
import { callCommand, type Ended } from '../support/command.ts'
import { createSite, type Site } from '../support/site.ts'
import { usualKeys } from '../support/start-gateway.ts'

const authority = createAuthority('a test authority')
const good = authority.issue({ name: 'localhost' })

let site: Site
beforeEach(async () => {
  site = await createSite({
    listen: '{ gateway: "127.0.0.1:0", admin: "127.0.0.1:9", tls: { cert: cert.pem, key: key.pem } }',
    config: `store:
  nodes: valkeys://store.corp.example
  ca: store-ca.pem
  password: { env: STORE_PASSWORD }
  secret: { file: no/such/folder/secret }`,
  })
})
afterEach(() => site.remove())

const call = async (command: string, ...more: string[]): Promise<Ended> =>
  await callCommand([command, '--config', site.configFile, ...more], usualKeys)
const put = async (name: string, text: string): Promise<void> => await writeFile(join(site.directory, name), text)
const all = ['listen.tls.cert', 'listen.tls.key', 'store.ca', 'store.secret.file', 'store.password.env']

test('`check` warns of each at its place, and names them as what a start still needs', async () => {
  const { code, out, err } = await call('check')
  expect(code).toBe(0)
  expect(out).toContain(`what a start still needs here: what these settings name: ${all.join(', ')}`)
  const lines = err.split('\n').filter((line) => line.startsWith(site.configFile))
  expect(lines).toHaveLength(all.length)
  for (const line of lines) expect(line).toMatch(/gateway\.yaml:\d+:\d+: warning: .*(there is no such file|is not set)/)
  expect((await call('check', '--strict')).code).toBe(1)
  expect(JSON.parse((await call('check', '--json')).out)).toMatchObject({
    ok: true,
    keys_without_value: [],
    settings_without_value: all,
  })
})

test('many keys without a value share one line, in which no other warning drowns; the machine-readable form keeps each', async () => {
  const entry = (id: string, secret: string): string =>
    `  - { id: ${id}, scope: organization, organization: org-payments, permissions: [ViewOrgSessions], secret: ${secret} }\n`
  const absent = ['a', 'b', 'c', 'd'].map((id) => entry(id, `{ env: NOT_SET_${id.toUpperCase()} }`))
  const other = entry('e', '{ file: . }') + entry('f', '{ env: PAYMENTS_RUNER_KEY }')
  const policies = join(site.directory, 'policies')
  await put('policies/keys.yaml', `keys:\n${absent.join('')}${entry('g', '{ file: no/such/key }')}${other}`)
  const keyLines = (err: string): string[] =>
    err.split('\n').filter((line) => line.includes(join(policies, 'keys.yaml')))
  const { err, out } = await call('check')
  expect(keyLines(err)).toEqual([
    expect.stringMatching(
      /keys\.yaml:2:\d+: warning: 5 keys have no value here, because their variables or files are missing: a start needs them, and they are named below$/,
    ),
    expect.stringMatching(/key "e": the file .* cannot be read: it is a directory$/),
    expect.stringMatching(/PAYMENTS_RUNER_KEY is not set: .*; did you mean "PAYMENTS_RUNNER_KEY"\?$/),
  ])
  expect(out).toContain('what a start still needs here: the values of these keys: a, b, c, d, g, e, f')
  expect((await call('check', '--json')).out.match(/NOT_SET_\w is not set: it should hold the key/g)).toHaveLength(4)
  await put(
    'policies/teams/broken.yaml',
    'team: broken\nmembers: [{ groups: [x] }]\norganizations: [org-x]\ngrants: [{ id: a, allow: [org.sesions.list] }]\n',
  )
  const refused = await call('check')
  expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('unknown operation "org.sesions.list"')])
  expect(refused.err).not.toMatch(/NOT_SET|have no value/)
  await rm(join(policies, 'teams/broken.yaml'))
  await put('policies/keys.yaml', `keys:\n${absent.slice(1).join('')}`)
  expect(keyLines((await call('check')).err)).toHaveLength(3)
})

test('`start` refuses all of them', async () => {
  const { code, err } = await call('start')
  expect(code).toBe(1)
  expect(err.match(/there is no such file|is not set/g)).toHaveLength(all.length)
  expect(err).not.toContain('warning')
})

describe.each([
  ['test', [], 0],
  ['explain', ['--team', 'payments', 'GET', '/v3/organizations/org-payments/sessions'], 0],
  ['keys', [], 0],
  ['catalogue', [], 0],
  ['diff', ['POLICIES', 'POLICIES'], 0],
  // These ask a running gateway, and there is none.
  ['budget', [], 1],
  ['purge', ['--organization', 'org-payments'], 1],
  ['blocks', [], 1],
])('%s', (command, args, expected) => {
  test('does not need them', async () => {
    const policies = join(site.directory, 'policies')
    const { code, err } = await call(command, ...args.map((each) => (each === 'POLICIES' ? policies : each)))
    expect(err).not.toMatch(/pem|STORE_PASSWORD|secret/)
    expect(code).toBe(expected)
  })
})

test.each<[string, Record<string, string>, RegExp]>([
  ['a certificate without its key', { 'cert.pem': 'no PEM' }, /cert\.pem: it holds no PEM certificate/],
  [
    'an ended certificate without its key',
    { 'cert.pem': authority.issue({ name: 'localhost', validity: longAgo }).cert },
    /cert\.pem: the certificate ended at 2021/,
  ],
  ['a key without its certificate', { 'key.pem': 'no PEM' }, /key\.pem: it holds no usable PEM private key/],
  ['authorities of the store', { 'store-ca.pem': '' }, /store-ca\.pem: it holds no PEM certificate/],
  [
    "another's key",
    { 'cert.pem': good.cert, 'key.pem': authority.issue({ name: 'localhost' }).key },
    /key\.pem: the private key does not belong/,
  ],
])('`check` refuses wrong content: %s', async (_name, files, why) => {
  for (const [name, text] of Object.entries(files)) await put(name, text)
  const { code, err } = await call('check')
  expect(code).toBe(1)
  expect(
    err
      .split('\n')
      .filter((line) => !line.includes(': warning: '))
      .join('\n'),
  ).toMatch(why)
})

test('`check` says nothing of what is there and right', async () => {
  await put('cert.pem', good.cert)
  await put('key.pem', good.key)
  await put('store-ca.pem', authority.ca)
  const { code, out } = await call('check')
  expect([code, out]).toEqual([
    0,
    expect.stringContaining('what these settings name: store.secret.file, store.password.env\n'),
  ])
})
