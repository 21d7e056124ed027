// The operators' listener for other machines: TLS with the certificate of the callers' listener, a listener of health beside it, and
// commands that sign in.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { freePort } from '../support/free-ports.ts'
import { createAuthority } from '../support/certificates.ts'
import { callCommand } from '../support/command.ts'
import { consoleAudience, startSignInProvider, type SignInProvider } from '../support/sign-in-provider.ts'
import { startTestGateway, usualKeys, type RunningGateway } from '../support/start-gateway.ts'

const authority = createAuthority('a test authority')
const first = authority.issue({ name: 'console.corp.example' })
let provider: SignInProvider
let running: RunningGateway
let port: number
const operatorToken = () => provider.token('operator-service')

beforeAll(async () => {
  const silenced = [vi.spyOn(console, 'warn'), vi.spyOn(console, 'info')].map((spy) => spy.mockReturnValue())
  provider = await startSignInProvider()
  provider.open('https://console.corp.example/api/session/callback')
  provider.groups['operator-service'] = ['sso-platform']
  provider.groups['viewer-service'] = ['sso-eng']
  port = await freePort()
  running = await startTestGateway({
    listen: `{ gateway: "127.0.0.1:0", admin: "0.0.0.0:${port}", health: "127.0.0.1:0", tls: { cert: cert.pem, key: key.pem } }`,
    files: { 'cert.pem': first.cert, 'key.pem': first.key },
    config: `admin:
  url: https://console.corp.example
  open: [livez]
  auth:
    issuer: ${provider.issuer}
    client_id: console
    audience: ${consoleAudience}
    roles: { viewer: { groups: sso-eng }, operator: { groups: sso-platform } }
`,
  })
  return () => silenced.forEach((spy) => spy.mockRestore())
})
afterAll(async () => {
  await running.close()
  await provider.close()
})

/** The whole answer to a request over TLS, by an authority that clients trust. */
function ask(head: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const socket = connect({ host: '127.0.0.1', port, ca: authority.ca, servername: 'console.corp.example' }, () =>
      socket.write(`${head}\r\nConnection: close\r\n\r\n`),
    )
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => (text += chunk))
    socket.once('end', () => resolve(text))
    socket.once('error', reject)
  })
}

describe('over TLS', () => {
  test('cookies are of this host and of TLS alone, and the issuer is told the address of the proxy', async () => {
    const answer = await ask('GET /api/session/sign-in HTTP/1.1\r\nHost: console.corp.example')
    expect(answer).toMatch(/^HTTP\/1\.1 303 /)
    expect(answer).toMatch(
      /^set-cookie: __Host-gateway-sign-in=[\w-]{200,2000}; Path=\/; HttpOnly; SameSite=Lax; Secure\r$/m,
    )
    expect(answer).toContain(encodeURIComponent('https://console.corp.example/api/session/callback'))
  })

  test('names that nobody configured are refused', async () => {
    for (const host of ['console.corp.example.evil.example', 'evil.example', 'gateway'])
      expect(await ask(`GET /api/session/sign-in HTTP/1.1\r\nHost: ${host}`)).toMatch(/^HTTP\/1\.1 403 /)
  })

  test('what is not open is not', async () => {
    expect(await ask('GET /livez HTTP/1.1\r\nHost: 10.0.0.1')).toMatch(/^HTTP\/1\.1 200 /)
    for (const path of ['/readyz', '/metrics', '/api/status'])
      expect(await ask(`GET ${path} HTTP/1.1\r\nHost: 10.0.0.1`)).toMatch(/^HTTP\/1\.1 401 /)
  })

  test('a renewed certificate is used by both listeners', async () => {
    const renewed = authority.issue({ name: 'console.corp.example' })
    await writeFile(join(running.directory, 'cert.pem'), renewed.cert)
    await writeFile(join(running.directory, 'key.pem'), renewed.key)
    const { code, out } = await command(['purge', '--organization', 'org-payments'], await operatorToken())
    // The command trusts the certificate of the files, and the listener does not have it yet.
    expect([code, out]).toEqual([1, ''])
    await running.gateway.reload('test')
    expect((await command(['purge', '--organization', 'org-payments'], await operatorToken())).code).toBe(0)
  })
})

describe('a listener of health', () => {
  test('is plain, open, and nothing else', async () => {
    const url = `http://127.0.0.1:${running.gateway.health?.port}`
    for (const path of ['/livez', '/readyz', '/metrics']) expect((await fetch(`${url}${path}`)).status).toBe(200)
    for (const path of ['/api/status', '/api/session', '/console/', '/api/blocks'])
      expect((await fetch(`${url}${path}`)).status).toBe(404)
    expect((await fetch(`${url}/api/reload`, { method: 'POST' })).status).toBe(404)
  })
})

async function command(args: readonly string[], token: string | null, options: readonly string[] = []) {
  const env = { ...usualKeys, ...(token === null ? {} : { GATEWAY_OPERATOR_TOKEN: token }) }
  return await callCommand([...args, '--config', join(running.directory, 'gateway.yaml'), ...options], env)
}

describe('commands', () => {
  const all: readonly (readonly string[])[] = [
    ['blocks'],
    ['block', 'app', 'leaky', '--reason', 'leaked'],
    ['unblock', 'app', 'leaky'],
    ['purge', '--organization', 'org-payments'],
    ['budget'],
    ['rotate', 'payments-runner', '--dry-run'],
    ['diff', 'running', 'running'],
  ]

  test.each(all)('say how to sign in: %s', async (...args) => {
    const { code, err } = await command(args, null)
    expect(code).toBe(1)
    expect(err).toContain(
      `needs a login: give a token of ${provider.issuer} with --operator-token FILE (- for standard input), or in GATEWAY_OPERATOR_TOKEN`,
    )
  })

  test('keys and explain go on without, and say so', async () => {
    const keys = await command(['keys', '--json'], null)
    expect([keys.code, JSON.parse(keys.out)]).toEqual([0, expect.objectContaining({ live: false })])
    expect(keys.err).toContain('needs a login')
    const explained = await command(['explain', '--team', 'payments', 'GET', '/v3/self'], null)
    expect(explained.err + explained.out).toContain('needs a login')
  })

  test('sign in by a variable, and by a file; blocks are made by who is signed in', async () => {
    const token = await operatorToken()
    const made = await command(['block', 'app', 'leaky', '--reason', 'leaked', '--json'], token)
    expect([made.code, JSON.parse(made.out)]).toEqual([0, expect.objectContaining({ by: 'operator-service' })])
    const file = join(running.directory, 'token')
    await writeFile(file, `${token}\n`)
    const listed = await command(['blocks', '--json'], null, ['--operator-token', file])
    expect(JSON.parse(listed.out)).toHaveLength(1)
    expect((await command(['unblock', 'app', 'leaky'], token)).code).toBe(0)
    expect((await command(['diff', 'running', 'running'], token)).code).toBe(0)
    expect(JSON.parse((await command(['keys', '--json'], token)).out)).toMatchObject({ live: true })
  })

  test('say which role is needed, and that a token was not accepted', async () => {
    const refused = await command(['purge', '--organization', 'org-payments'], await provider.token('viewer-service'))
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('This needs the role operator')])
    const broken = await command(['blocks'], 'x.y.z')
    expect([broken.code, broken.err]).toEqual([1, expect.stringContaining('did not accept the token')])
    const bad = await command(['blocks'], 'a\nb')
    expect([bad.code, bad.err]).toEqual([1, expect.stringContaining('characters that no token has')])
  })
})
