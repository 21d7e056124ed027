// `store` of config/gateway.yaml: the forms it takes, where user and password come from, and what does not fit together.

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { Refused } from '../../src/config/diagnostics.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { StoreConfig } from '../../src/config/store-schema.ts'
import { createAuthority } from '../support/certificates.ts'

const folder = mkdtempSync(join(tmpdir(), 'gateway-config-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const { ca } = createAuthority('store authority')
writeFileSync(join(folder, 'ca.pem'), ca)
writeFileSync(join(folder, 'password'), 'from-a-file\n', { mode: 0o600 })
writeFileSync(join(folder, 'empty'), '')

async function load(store: string, env: Record<string, string> = {}): Promise<StoreConfig | null> {
  const file = join(folder, 'gateway.yaml')
  writeFileSync(
    file,
    `upstream: { origin: https://api.corp.example }
issuers: [{ issuer: https://sso.corp.example, audience: a }]
store: ${store}
`,
  )
  return (await loadConfig(file, env)).config.store
}

it.runIf(process.platform !== 'win32')(
  'warns of every file with a secret that other users may read, the key of the certificate included',
  async () => {
    const { cert, key } = createAuthority('gateway').issue({ name: 'localhost' })
    const secret = 'x'.repeat(40)
    const texts = { cert, key, 'store-secret': secret, 'store-password': 'p' }
    for (const [name, text] of Object.entries(texts)) writeFileSync(join(folder, name), text)
    const file = join(folder, 'open.yaml')
    writeFileSync(
      file,
      `upstream: { origin: https://api.corp.example }
issuers: [{ issuer: https://sso.corp.example, audience: a }]
listen: { tls: { cert: cert, key: key } }
store: { nodes: [valkeys://a], password: { file: store-password }, secret: { file: store-secret } }
`,
    )
    const warned = async (mode: number): Promise<string[]> => {
      for (const name of Object.keys(texts)) chmodSync(join(folder, name), mode)
      return (await loadConfig(file, {})).warnings
        .map(({ line, message }) => `${line}: ${message}`)
        .filter((text) => text.includes('other users'))
    }
    const open = (name: string): string =>
      `other users of this machine may read ${join(folder, name)}: chmod o-rwx takes that away`
    expect((await warned(0o644)).toSorted()).toEqual([
      `3: ${open('key')}`,
      `4: ${open('store-password')}`,
      `4: ${open('store-secret')}`,
    ])
    expect(await warned(0o640)).toEqual([])
  },
)

async function problems(store: string, env: Record<string, string> = {}): Promise<string[]> {
  const error = await load(store, env).then(
    () => null,
    (refused: unknown) => refused,
  )
  if (!(error instanceof Refused)) throw new Error('was accepted')
  return error.diagnostics.map(({ line, column, message }) => `${line}:${column}: ${message}`)
}

const usual = {
  kind: 'single',
  tls: null,
  sentinel: null,
  user: null,
  password: null,
  secret: null,
  database: 0,
  prefix: 'devin-gateway',
  timeoutMs: 50,
  budgetsWhenAway: 'refuse',
}

describe('the store', () => {
  it.each<[string, object | null]>([
    ['memory', null],
    ['valkey://store:6380/3', { ...usual, nodes: [{ host: 'store', port: 6380 }], database: 3 }],
    ['"redis://[::1]"', { ...usual, nodes: [{ host: '::1', port: 6379 }] }],
    ['rediss://10.0.0.1', { ...usual, nodes: [{ host: '10.0.0.1', port: 6379 }], tls: { ca: null } }],
    [
      '[valkeys://a, "valkeys://b:7000"]',
      {
        ...usual,
        kind: 'cluster',
        nodes: [
          { host: 'a', port: 6379 },
          { host: 'b', port: 7000 },
        ],
        tls: { ca: null },
      },
    ],
    [
      '{ nodes: [valkey://a], sentinel: main, prefix: "x:y", timeout: 5ms, budgets_when_away: share }',
      {
        ...usual,
        kind: 'sentinel',
        nodes: [{ host: 'a', port: 26_379 }],
        sentinel: 'main',
        prefix: 'x:y',
        timeoutMs: 5,
        budgetsWhenAway: 'share',
      },
    ],
    [
      '{ nodes: valkeys://a, ca: ca.pem }',
      { ...usual, nodes: [{ host: 'a', port: 6379 }], tls: { ca: expect.stringContaining('BEGIN CERTIFICATE') } },
    ],
  ])('may be %s', async (written, expected) => {
    expect(await load(written)).toEqual(expected)
  })

  it.each<[string, string | null, string]>([
    ['{ nodes: valkey://a, password: { env: WORD } }', null, 'from env'],
    ['{ nodes: valkey://a, user: gateway, password: { file: password } }', 'gateway', 'from-a-file'],
    ['"valkey://gateway:${WORD}@a"', 'gateway', 'from env'],
    ['"valkey://:p%40ss@a"', null, 'p@ss'],
  ])('takes user and password from %s, and shows no password', async (written, user, password) => {
    const store = await load(written, { WORD: 'from env' })
    expect(store?.user).toBe(user)
    expect(store?.password?.()).toBe(password)
    expect(JSON.stringify(store)).not.toContain(password)
  })

  it.each<[string, readonly string[]]>([
    ['valkey://a:70000', ['3:8: port 70000 does not exist: ports are 1 to 65535']],
    ['[]', ['3:8: name at least one node']],
    ['[valkey://a, valkeys://b]', ['3:8: either all nodes speak TLS (valkeys://) or none does']],
    ['["valkey://x:y@a", valkey://b]', ['3:8: the nodes name different users or passwords: name one for all']],
    ['[valkey://a/1]', ['3:8: a cluster has no numbered databases: remove the number']],
    ['{ nodes: valkey://a, user: x }', ['3:8: a user needs a password']],
    ['{ nodes: "valkey://:y@a", password: { file: password } }', ['3:44: the password stands in the address already']],
    ['{ nodes: valkey://a, ca: ca.pem }', ['3:33: authorities are for TLS: write valkeys:// in the address']],
    [
      '{ nodes: valkey://a, password: { env: NONE } }',
      ['3:46: the environment variable NONE is not set: it should hold the password'],
    ],
    [
      '{ nodes: valkey://a, password: { env: A, file: b } }',
      ['3:39: a password has exactly one source: write { env: NAME } or { file: PATH }'],
    ],
    [
      '{ nodes: valkey://a, secret: { env: SHORT } }',
      ['3:37: the secret is shorter than 32 characters: openssl rand -base64 32 makes one'],
    ],
    [
      '{ nodes: valkey://a, secret: { env: NONE } }',
      ['3:44: the environment variable NONE is not set: it should hold the secret'],
    ],
    [
      '{ nodes: valkey://a, secret: {} }',
      ['3:37: a secret has exactly one source: write { env: NAME } or { file: PATH }'],
    ],
    ['{ nodes: valkey://a, passwort: x }', ['3:29: unknown key "passwort"; did you mean "password"?']],
  ])('is refused as %s', async (written, expected) => {
    expect(await problems(written, { SHORT: 'x'.repeat(31) })).toEqual(expected)
  })

  it('seals with a secret from elsewhere, and shows none', async () => {
    const store = await load('{ nodes: valkey://a, secret: { env: SECRET } }', { SECRET: 'x'.repeat(32) })
    expect(store?.secret?.().toString()).toBe('x'.repeat(32))
    expect(JSON.stringify(store)).not.toContain('xxx')
  })

  it('is refused without repeating what stands before the host, and with the file that says too little', async () => {
    expect((await problems('"valkey://user:hidden@host:port"')).join()).not.toContain('hidden')
    expect(await problems('{ nodes: valkey://a, password: { file: empty } }')).toEqual([
      `3:47: ${join(folder, 'empty')}: it is empty`,
    ])
  })
})
