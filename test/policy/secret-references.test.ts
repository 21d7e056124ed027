// How inventories name the places of secrets: what is accepted, what it means, and what is said of mistakes.

import { describe, expect, it } from 'vitest'
import { formatDiagnostic } from '../../src/config/diagnostics.ts'
import { readKeys } from '../../src/policy/documents/key-document.ts'

function read(secret: string) {
  return readKeys(
    '/etc/policies/keys.yaml',
    `keys:\n  - { id: a, scope: enterprise, permissions: [], secret: ${secret} }\n`,
  )
}

/** The reference, or what is said about it. */
function referenceOf(secret: string): unknown {
  const { document, diagnostics } = read(secret)
  return document === null ? diagnostics.map(saidOf) : document.keys[0]?.secret
}

function saidOf(diagnostic: Parameters<typeof formatDiagnostic>[0]): string {
  return formatDiagnostic(diagnostic).replace(/^\/etc\/policies\/keys\.yaml:/, '')
}

const auth = 'auth: { token: { env: VAULT_TOKEN } }'
const vault = (rest: string): string =>
  `{ vault: { address: https://v.example, path: kv/data/a, field: key, ${rest} } }`

describe('a reference', () => {
  it.each<[string, unknown]>([
    ['{ env: A }', { env: 'A' }],
    ['{ file: keys/a }', { file: '/etc/policies/keys/a' }],
    ['{ file: /run/a }', { file: '/run/a' }],
    [
      '{ exec: { command: [get-key, a] } }',
      { exec: { command: ['get-key', 'a'], timeoutMs: 5_000, env: [], refreshMs: 60_000 } },
    ],
    [
      '{ exec: { command: [./get, ""], timeout: 250ms, env: [OP_TOKEN], refresh: 5m } }',
      { exec: { command: ['/etc/policies/get', ''], timeoutMs: 250, env: ['OP_TOKEN'], refreshMs: 300_000 } },
    ],
    [
      vault(auth),
      {
        vault: {
          address: 'https://v.example',
          path: 'kv/data/a',
          field: 'key',
          namespace: null,
          ca: null,
          auth: { token: { env: 'VAULT_TOKEN' } },
          refreshMs: 60_000,
        },
      },
    ],
    [
      vault(
        'namespace: corp/team, ca: ca.pem, refresh: 5m, auth: { approle: { role_id: r, secret_id: { file: id }, mount: a/b } }',
      ),
      {
        vault: {
          address: 'https://v.example',
          path: 'kv/data/a',
          field: 'key',
          namespace: 'corp/team',
          ca: '/etc/policies/ca.pem',
          auth: { approle: { roleId: 'r', secretId: { file: '/etc/policies/id' }, mount: 'a/b' } },
          refreshMs: 300_000,
        },
      },
    ],
    [
      vault('auth: { approle: { role_id: { file: role }, secret_id: { env: S } } }'),
      expect.objectContaining({
        vault: expect.objectContaining({
          auth: { approle: { roleId: { file: '/etc/policies/role' }, secretId: { env: 'S' }, mount: 'approle' } },
        }),
      }),
    ],
    [
      vault('auth: { kubernetes: { role: devin-gateway } }'),
      expect.objectContaining({
        vault: expect.objectContaining({
          auth: {
            kubernetes: {
              role: 'devin-gateway',
              path: '/var/run/secrets/kubernetes.io/serviceaccount/token',
              mount: 'kubernetes',
            },
          },
        }),
      }),
    ],
    [
      `{ vault: { address: "HTTPS://V.example:8200/prefix/", path: team/kv/data/a/b, field: key, ${auth} } }`,
      expect.objectContaining({
        vault: expect.objectContaining({ address: 'https://v.example:8200/prefix', path: 'team/kv/data/a/b' }),
      }),
    ],
  ])('%s is what it says, with whole paths', (written, reference) => {
    expect(referenceOf(written)).toEqual(reference)
  })
})

/** What is said about a reference, each with the text at which it points. */
function pointed(written: string): unknown {
  const line = `  - { id: a, scope: enterprise, permissions: [], secret: ${written} }`
  return read(written).diagnostics.map((diagnostic) => {
    const said = saidOf(diagnostic)
    const column = Number(/^2:(\d+): /.exec(said)?.[1])
    return said.replace(/^2:\d+/, line.slice(column - 1, column + 5))
  })
}

describe('a mistake', () => {
  it.each<[string, string]>([
    ['{ exec: [get-key] }', '[get-k: expected a mapping, found a list'],
    [
      '{ exec: { command: get-key } }',
      'get-ke: expected a list, found the text "get-key": put it in brackets, [get-key]',
    ],
    ['{ exec: { command: [] } }', '[] } }: name the program'],
    ['{ exec: { command: [""] } }', '""] } : name the program'],
    ['{ exec: { comand: [a] } }', 'comand: unknown key "comand"; did you mean "command"?'],
    [
      '{ exec: { command: [a], timeout: 5 } }',
      '5 } } : "5" is not a duration: write a whole number and a unit, like 250ms, 5s, 5m, 24h or 1d',
    ],
    ['{ exec: { command: [a], timeout: 10m } }', '10m } : "10m" is out of bounds: at least 10ms, at most 30s'],
    ['{ exec: { command: [a], env: ["A=b"] } }', '"A=b"]: must be the name of an environment variable, without "$"'],
    ['{ vualt: { path: kv/data/a } }', 'vualt:: unknown key "vualt"; did you mean "vault"?'],
    [vault('auth: {}'), '{} } }: a login has exactly one method: write token, approle or kubernetes'],
    [
      vault('auth: { token: hvs.needle }'),
      'hvs.ne: a token is never written in a policy: write { env: NAME } or { file: PATH }',
    ],
    [
      vault('auth: { approle: { role_id: r, secret_id: needle } }'),
      'needle: a secret ID is never written in a policy: write { env: NAME } or { file: PATH }',
    ],
    [
      vault('auth: { token: { env: A, file: b } }'),
      '{ env:: a token has exactly one source: write { env: NAME } or { file: PATH }',
    ],
    [
      vault('auth: { approle: { role_id: r, secret_id: { env: S }, mount: /x/ } }'),
      '/x/ } : must be a mount path like "approle", without slashes around it',
    ],
    [vault('nmespace: x, auth: { token: { env: A } }'), 'nmespa: unknown key "nmespace"; did you mean "namespace"?'],
  ])('in %s is named at its place, and no secret is repeated', (written, message) => {
    expect(pointed(written)).toContain(message)
    expect(JSON.stringify(referenceOf(written))).not.toContain('needle')
  })

  it.each<[string, string]>([
    [
      'kv/devin/a',
      '"kv/devin/a" is no path of KV version 2, whose API has "data" behind the mount; did you mean "kv/data/devin/a"?',
    ],
    [
      'kv/metadata/devin/a',
      '"kv/metadata/devin/a" is no path of KV version 2, whose API has "data" behind the mount; did you mean "kv/data/devin/a"?',
    ],
    ['kv', '"kv" lacks the secret behind the mount: write one like kv/data/devin/payments'],
    ['kv/data', '"kv/data" is no path of KV version 2, whose API has "data" behind the mount'],
    ['/v1/kv/data/a', '"/v1/kv/data/a" is written without "/v1" and without slashes around it: "kv/data/a"'],
    ['kv/data/../a', '"kv/data/../a" is no path of a secret: write one like kv/data/devin/payments'],
    ['kv/data/a?version=1', '"kv/data/a?version=1" is no path of a secret: write one like kv/data/devin/payments'],
  ])('in the path %s is named', (path, message) => {
    expect(referenceOf(vault(auth).replace('kv/data/a', JSON.stringify(path)))).toEqual([`2:103: ${message}`])
  })

  it.each<[string, string]>([
    ['v.example', '"v.example" is no address of a server: write one like https://vault.corp.example:8200'],
    ['https://v.example/v1', '"https://v.example/v1" must end before "/v1": the gateway puts it there'],
    ['https://ann:needle@v.example', 'the address must not hold credentials'],
    [
      'https://v.example/?a=b',
      '"https://v.example/?a=b" is no address of a server: write one like https://vault.corp.example:8200',
    ],
  ])('in the address %s is named', (address, message) => {
    const said = referenceOf(vault(auth).replace('https://v.example', JSON.stringify(address)))
    expect(said).toEqual([`2:78: ${message}`])
    expect(JSON.stringify(said)).not.toContain('needle')
  })
})

it('warns of a vault that is asked without TLS, but not on this machine', () => {
  const over = (address: string): string[] =>
    read(vault(auth).replace('https://v.example', address)).diagnostics.map(saidOf)
  expect(over('http://v.example')).toEqual([
    '2:78: warning: http://v.example is asked without TLS: whoever is on the way reads the login and the key; write https',
  ])
  for (const address of ['http://127.0.0.1:8200', 'http://localhost', '"http://[::1]:8200"'])
    expect(over(address)).toEqual([])
})
