// Who may use the operators' listener, as config/gateway.yaml says it: what is refused, warned of, and taken from the issuers.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatDiagnostic, Refused } from '../../src/config/diagnostics.ts'
import { loadConfig, type LoadedConfig } from '../../src/config/load.ts'
import { createAuthority } from '../support/certificates.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gateway-operators-'))
  const authority = createAuthority('a test authority')
  const { cert, key } = authority.issue({ name: 'localhost' })
  for (const [name, text] of Object.entries({ 'ca.pem': authority.ca, 'cert.pem': cert, 'key.pem': key }))
    await writeFile(join(folder, name), text, { mode: 0o600 })
})
afterAll(() => rm(folder, { recursive: true }))

const least = `upstream: { origin: https://api.corp.example }
issuers: [{ issuer: https://sso.corp.example, audience: devin-gateway, ca: ca.pem, jwks_uri: https://sso.corp.example/keys }]
`
const auth = (more = ''): string => `admin:
  auth:
    issuer: https://sso.corp.example
    client_id: console
    client_secret: { env: CONSOLE_SECRET }
    roles: { viewer: { groups: [sso-eng] } }
${more}`

async function load(text: string): Promise<LoadedConfig> {
  const file = join(folder, 'gateway.yaml')
  await writeFile(file, `${least}${text}`)
  return await loadConfig(file, { CONSOLE_SECRET: 'x' })
}

async function problems(text: string): Promise<readonly string[]> {
  const refused: unknown = await load(text).then(
    () => null,
    (error: unknown) => error,
  )
  if (!(refused instanceof Refused)) throw new Error('the configuration should be refused')
  return refused.diagnostics.map((each) => formatDiagnostic(each).replaceAll(`${folder}/`, ''))
}

describe("an operators' listener that other machines can reach", () => {
  it.each(['0.0.0.0:9090', '"[::]:9090"', '10.1.2.3:9090', 'gateway.corp.example:9090', '"[::ffff:127.0.0.1]:9090"'])(
    'is refused without a login: %s',
    async (address) => {
      const [line, ...others] = await problems(`listen: { admin: ${address} }\n`)
      expect(others).toEqual([])
      expect(line).toMatch(
        /^gateway\.yaml:3:18: other machines can reach .*set admin\.auth .*127\.0\.0\.1:9090.*listen\.health/,
      )
    },
  )

  it.each(['127.0.0.1:9090', '127.1.2.3:9090', '"[::1]:9090"', 'localhost:9090', '9090'])(
    'is none on loopback: %s',
    async (address) => {
      const { config, warnings } = await load(`listen: { admin: ${address} }\n`)
      expect([config.admin.auth, config.listen.adminTls, warnings]).toEqual([null, null, []])
    },
  )

  it('starts with a login, with a warning while it has no TLS', async () => {
    const { config, warnings } = await load(`listen: { admin: 0.0.0.0:9090 }\n${auth()}`)
    expect(warnings.map(({ message }) => message)).toEqual([
      expect.stringMatching(/^0\.0\.0\.0:9090 has no TLS: .*listen\.admin_tls/),
    ])
    expect(config.admin.auth).toMatchObject({
      clientId: 'console',
      clientSecret: { env: 'CONSOLE_SECRET' },
      scopes: null,
      sessionIdleMs: 1_800_000,
      sessionLongestMs: 28_800_000,
    })
    for (const url of ['  url: https://console.corp.example\n', '  url: https://console.corp.example:8443/\n'])
      expect((await load(`listen: { admin: 0.0.0.0:9090 }\n${auth(url)}`)).warnings).toEqual([])
  })

  it('takes its own certificate, else that of the callers; on loopback its own alone', async () => {
    const pair = '{ cert: cert.pem, key: key.pem }'
    const files = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') }
    const tlsOf = async (listen: string) => (await load(`listen: { ${listen} }\n${auth()}`)).config.listen.adminTls
    expect(await tlsOf(`admin: 0.0.0.0:9090, tls: ${pair}`)).toEqual(files)
    expect(await tlsOf(`admin: 0.0.0.0:9090, admin_tls: ${pair}`)).toEqual(files)
    expect(await tlsOf(`admin_tls: ${pair}`)).toEqual(files)
    expect(await tlsOf(`tls: ${pair}`)).toBe(null)
  })

  it('leaves health to a listener of its own, whose port is free', async () => {
    const { config } = await load('listen: { health: 9091 }\n')
    expect(config.listen.health).toEqual({ host: '0.0.0.0', port: 9091 })
    expect(await problems('listen: { health: 8080 }\n')).toEqual([
      'gateway.yaml:3:19: listen.gateway has port 8080, too: choose another port for one of the two',
    ])
    expect(await problems('listen: { health: 9090 }\n')).toEqual([
      'gateway.yaml:3:19: listen.admin has port 9090, too: choose another port for one of the two',
    ])
  })
})

describe('the login', () => {
  it('takes authorities and keys of the same issuer from issuers, and names its audience', async () => {
    const { config } = await load(auth())
    expect(config.admin.auth?.issuer).toMatchObject({
      issuer: 'https://sso.corp.example',
      audience: ['console'],
      jwksUri: 'https://sso.corp.example/keys',
      ca: expect.stringContaining('BEGIN CERTIFICATE'),
    })
    const other = await load(auth().replace('https://sso.corp.example', 'https://other.corp.example'))
    expect(other.config.admin.auth?.issuer).toMatchObject({ jwksUri: null, ca: null })
  })

  it.each([
    [
      'a secret in the file',
      auth().replace('{ env: CONSOLE_SECRET }', 'hunter2'),
      /7:20: a client secret is never written here/,
    ],
    [
      'a variable that is not set',
      auth().replace('CONSOLE_SECRET', 'CONSOLE_SECRT'),
      /7:27: the environment variable CONSOLE_SECRT is not set: it should hold the client secret/,
    ],
    [
      'no role',
      auth().replace('{ viewer: { groups: [sso-eng] } }', '{}'),
      /8:12: name at least one of viewer, operator, key_officer/,
    ],
    ['an unknown role', auth().replace('viewer:', 'viewr:'), /8:14: unknown key "viewr".*viewer/],
    [
      'a condition for everybody',
      auth().replace('{ groups: [sso-eng] }', '{}'),
      /8:22: a condition must name at least one of groups/,
    ],
    ['a misspelled attribute', auth().replace('groups:', 'group:'), /8:24: unknown key "group".*groups/],
    ['no client', auth().replace('    client_id: console\n', ''), /client_id/],
    ['an address with a path', auth('  url: https://console.corp.example/x\n'), /9:8: .*must end behind the host/],
    ['plain http to others', auth('  url: http://console.corp.example\n'), /9:8: .*must begin with https/],
    ['a page that cannot be open', auth('  open: [api]\n'), /9:10: /],
  ])('is refused with its place: %s', async (_name, text, message) => {
    const found = await problems(text)
    expect(found.join('\n')).toMatch(message)
    expect(found.join('\n')).not.toContain('hunter2')
  })
})
