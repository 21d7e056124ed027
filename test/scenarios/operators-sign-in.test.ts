// The operators' listener behind a login: sign-in at a real OpenID provider, sessions, bearer tokens, roles, and pages of other sites.

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { Operator } from '../../src/admin/access/operator.ts'
import { BrowserSessions, StartedSignIns } from '../../src/admin/access/sessions.ts'
import { rawRequest, sendRaw } from '../support/raw-request.ts'
import { documentedRoutes } from '../support/admin-api.ts'
import { neededRole, operatorRoles } from '../support/operator-routes.ts'
import {
  Browser,
  clientSecret,
  consoleAudience,
  startSignInProvider,
  type SignInProvider,
} from '../support/sign-in-provider.ts'
import { startTestGateway, type RunningGateway } from '../support/start-gateway.ts'

let provider: SignInProvider
let running: RunningGateway
let url: string
let callback: string
let aheadMs = 0
/** By how much the computer's clock was set. */
let setMs = 0

beforeAll(async () => {
  // It warns about its memory store and its own pages at every start; both are what a test wants.
  const silenced = [vi.spyOn(console, 'warn'), vi.spyOn(console, 'info')].map((spy) => spy.mockReturnValue())
  provider = await startSignInProvider()
  Object.assign(provider.groups, {
    vera: ['sso-eng'],
    otto: ['sso-platform'],
    kay: ['sso-security'],
    nora: ['sso-canteen'],
    'viewer-service': ['sso-eng'],
    'operator-service': ['sso-platform'],
    'officer-service': ['sso-security'],
    'all-service': ['sso-platform', 'sso-security'],
    'nobody-service': ['sso-canteen'],
  })
  running = await startTestGateway({
    env: { CONSOLE_SECRET: clientSecret },
    now: () => Date.now() + aheadMs + setMs,
    monotonic: () => performance.now() + aheadMs,
    config: `admin:
  auth:
    issuer: ${provider.issuer}
    client_id: console
    client_secret: { env: CONSOLE_SECRET }
    audience: [console, ${consoleAudience}]
    roles:
      viewer: { groups: [sso-eng] }
      operator: [{ groups: [sso-platform] }, { subject: root }]
      key_officer: { groups: sso-security }
    session: { idle: 10m, longest: 1h }
`,
  })
  url = running.adminUrl
  callback = `${url}/api/session/callback`
  provider.open(callback)
  return () => silenced.forEach((spy) => spy.mockRestore())
})
afterAll(async () => {
  await running.close()
  await provider.close()
})

const signInAt = (): string => `${url}/api/session/sign-in?return_to=/console/keys`

async function signedIn(name: string): Promise<Browser> {
  const browser = new Browser()
  const back = await browser.signIn(signInAt(), name, callback)
  const answer = await browser.open(back)
  expect([answer.status, answer.headers.get('location')]).toEqual([303, '/console/keys'])
  return browser
}

const asScript = {
  accept: 'application/json',
  'sec-fetch-mode': 'cors',
  'sec-fetch-site': 'same-origin',
  'gateway-console': '1',
}

async function problemOf(response: Response): Promise<Record<string, unknown>> {
  return (await response.json()) as Record<string, unknown>
}

interface Entry {
  readonly event: string
  readonly actor: string
  readonly details: Readonly<Record<string, unknown>>
}

async function audited(event: string): Promise<readonly Entry[]> {
  const lines = (await running.auditText()).split('\n').slice(0, -1)
  return lines.map((line) => JSON.parse(line) as Entry).filter((entry) => entry.event === event)
}

describe('without a login', () => {
  test('health and metrics are open, and everything else is refused with what to do', async () => {
    for (const path of ['/livez', '/readyz', '/metrics']) expect((await fetch(`${url}${path}`)).status).toBe(200)
    for (const path of ['/api/status', '/api/session', '/api/nothing', '/api/livez']) {
      const response = await fetch(`${url}${path}`)
      expect([path, response.status, response.headers.get('www-authenticate')]).toEqual([path, 401, 'Bearer'])
      expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/)
      const problem = await problemOf(response)
      expect(problem).toMatchObject({
        type: '/gateway/v1/problems/sign-in-required',
        status: 401,
        reason: 'sign-in-required',
        sign_in: '/api/session/sign-in',
        detail: expect.stringContaining('--operator-token'),
      })
      // The log names the refusal by the same id.
      expect(running.logLines.join('')).toContain(String(problem['decision_id']))
    }
  })

  test('a browser that opens a page of the console is sent to sign in', async () => {
    const page = await new Browser().open(`${url}/console/decisions?team=payments`)
    expect([page.status, page.headers.get('location')]).toEqual([
      303,
      '/api/session/sign-in?return_to=%2Fconsole%2Fdecisions%3Fteam%3Dpayments',
    ])
  })
})

describe('sign-in', () => {
  test('a browser gets a session, which says who it is and until when', async () => {
    const browser = await signedIn('vera')
    const session = await problemOf(await browser.open(`${url}/api/session`))
    expect(session).toEqual({
      signed_in: 'browser',
      subject: 'vera',
      email: 'vera@corp.example',
      issuer: provider.issuer,
      roles: ['viewer'],
      since: expect.any(String),
      until: expect.any(String),
      idle_until: expect.any(String),
    })
    expect(Date.parse(String(session['until'])) - Date.parse(String(session['since']))).toBe(3_600_000)
    expect((await browser.open(`${url}/api/status`)).status).toBe(200)
  })

  test('the way to the issuer has PKCE, state and nonce, and the cookie is of this browser alone', async () => {
    const answer = await new Browser().open(signInAt())
    const location = new URL(answer.headers.get('location') ?? '')
    const { client_id, code_challenge_method, redirect_uri, response_type, scope } = Object.fromEntries(
      location.searchParams,
    )
    expect({ client_id, code_challenge_method, redirect_uri, response_type, scope }).toEqual({
      client_id: 'console',
      code_challenge_method: 'S256',
      redirect_uri: callback,
      response_type: 'code',
      scope: 'openid email groups',
    })
    for (const name of ['state', 'nonce', 'code_challenge'])
      expect(location.searchParams.get(name)).toMatch(/^[\w-]{43}$/)
    expect(answer.headers.get('set-cookie')).toMatch(
      /^gateway-sign-in=[\w-]{200,2000}; Path=\/; HttpOnly; SameSite=Lax$/,
    )
  })

  test('another state, another browser and a used code are refused', async () => {
    const browser = new Browser()
    const back = new URL(await browser.signIn(signInAt(), 'vera', callback))
    const other = await new Browser().open(back.href, {
      headers: { accept: 'application/json', 'sec-fetch-mode': 'cors' },
    })
    expect([other.status, (await problemOf(other))['reason']]).toEqual([400, 'sign-in-failed'])
    const wrong = new URL(back)
    wrong.searchParams.set('state', 'x'.repeat(43))
    expect((await browser.open(wrong.href)).status).toBe(400)
    // The sign-in ended with that try.
    expect((await browser.open(back.href)).status).toBe(400)
    expect(browser.cookie(url, 'gateway-session')).toBeUndefined()

    const again = new Browser()
    const replayed = await again.signIn(signInAt(), 'vera', callback)
    expect((await again.open(replayed)).status).toBe(303)
    expect((await again.open(replayed)).status).toBe(400)
    // With a fresh sign-in of its own the old code is refused by state.
    await again.open(signInAt())
    expect((await again.open(replayed)).status).toBe(400)
  })

  test('a person without a role is told so, on a page for people', async () => {
    const browser = new Browser()
    const answer = await browser.open(await browser.signIn(signInAt(), 'nora', callback))
    const page = await answer.text()
    expect([answer.status, answer.headers.get('content-type')]).toEqual([403, 'text/html; charset=utf-8'])
    expect(page).toContain('&quot;nora&quot; has no role')
    expect(browser.cookie(url, 'gateway-session')).toBeUndefined()
  })

  test.each([
    'https://evil.example/',
    '//evil.example',
    '/console//evil.example',
    '/api/reload',
    '/console/\\evil',
    'javascript:x',
  ])('the way back leads to the console alone, whatever a link says: %s', async (to) => {
    const browser = new Browser()
    const start = `${url}/api/session/sign-in?return_to=${encodeURIComponent(to)}`
    const answer = await browser.open(await browser.signIn(start, 'vera', callback))
    expect(answer.headers.get('location')).toBe('/console/')
  })
})

describe('many sign-ins', () => {
  test('push out none that is under way, and each is taken once', () => {
    const started = new StartedSignIns<{ readonly state: string }>(600_000, () => aheadMs)
    const first = started.add({ state: 'first' })
    for (let count = 0; count < 5_000; count += 1) started.add({ state: `other ${count}` })
    expect(started.take(`${first.slice(0, -1)}${first.endsWith('A') ? 'Q' : 'A'}`)).toBeNull()
    expect(new StartedSignIns(600_000, () => aheadMs).take(first)).toBeNull()
    expect(started.take(first)).toEqual({ state: 'first' })
    expect(started.take(first)).toBeNull()
    expect(started.take(`${first}=`)).toBeNull()
    const late = started.add({ state: 'late' })
    try {
      aheadMs = 600_001
      expect(started.take(late)).toBeNull()
    } finally {
      aheadMs = 0
    }
  })

  test('of one person end sessions of that person alone, the oldest first', () => {
    const sessions = new BrowserSessions({ idleMs: 60_000, longestMs: 60_000 }, () => aheadMs)
    const who = (subject: string, issuer = 'https://sso.corp.example') => ({ subject, issuer }) as Operator
    const others = [who('otto'), who('vera', 'https://other.corp.example')].map((each) => sessions.add(each, null))
    const own = Array.from({ length: 1_500 }, () => sessions.add(who('vera'), null))
    expect(others.map((id) => sessions.get(id, false)?.operator.subject)).toEqual(['otto', 'vera'])
    const left = own.filter((id) => sessions.get(id, false) !== null)
    expect(left).toEqual(own.slice(-20))
  })

  test('of many people end none before there are 1,000 sessions, and then the oldest', () => {
    const sessions = new BrowserSessions({ idleMs: 60_000, longestMs: 60_000 }, () => aheadMs)
    const ids = Array.from({ length: 1_001 }, (_, index) => {
      const id = sessions.add({ subject: `person-${index}`, issuer: 'https://sso.corp.example' } as Operator, null)
      return { id, index }
    })
    const gone = ids.filter(({ id }) => sessions.get(id, false) === null)
    expect(gone.map(({ index }) => index)).toEqual([0])
  })

  test('of one browser leave it one session', async () => {
    const browser = await signedIn('vera')
    const before = browser.cookie(url, 'gateway-session')
    await browser.open(await browser.signIn(signInAt(), 'vera', callback))
    expect(browser.cookie(url, 'gateway-session')).not.toBe(before)
    const old = await fetch(`${url}/api/status`, { headers: { cookie: `gateway-session=${before}` } })
    expect(old.status).toBe(401)
  })

  test.each([
    ['[fe80::1%eth0]', 400, 'malformed-request'],
    ['127.0.0.1:99999', 403, 'cross-site-request'],
  ])('begin at no address that is none: %s', async (host, status, kind) => {
    const asked = rawRequest('GET', '/api/session/sign-in', [`Host: ${host}`, 'Connection: close'])
    const answer = await sendRaw(Number(new URL(url).port), asked)
    expect([answer.status, answer.body]).toEqual([status, expect.stringContaining(kind)])
  })
})

describe('a session', () => {
  test('ends when its browser signs out', async () => {
    const browser = await signedIn('vera')
    const id = browser.cookie(url, 'gateway-session')
    const out = await browser.open(`${url}/api/session/sign-out`, { method: 'POST', headers: asScript })
    expect([out.status, browser.cookie(url, 'gateway-session')]).toEqual([204, undefined])
    const old = await fetch(`${url}/api/status`, { headers: { cookie: `gateway-session=${id}` } })
    expect(old.status).toBe(401)
  })

  test('ends when it is not used, though a page polls, and after its longest time', async () => {
    try {
      const [idle, busy] = [await signedIn('vera'), await signedIn('vera')]
      for (let minutes = 9; minutes < 60; minutes += 9) {
        aheadMs = minutes * 60_000
        const polled = await idle.open(`${url}/api/session`, { headers: { ...asScript, 'gateway-console': 'poll' } })
        expect([minutes, polled.status]).toEqual([minutes, minutes === 9 ? 200 : 401])
        expect((await busy.open(`${url}/api/status`, { headers: asScript })).status).toBe(200)
      }
      aheadMs = 3_600_001
      expect((await busy.open(`${url}/api/status`, { headers: asScript })).status).toBe(401)
    } finally {
      aheadMs = 0
    }
  })

  test.each([
    ['back', -7_200_000],
    ['ahead', 7_200_000],
  ])('lasts as long when the clock of the computer is set %s', async (_name, stepMs) => {
    const poll = { ...asScript, 'gateway-console': 'poll' }
    try {
      const browser = await signedIn('vera')
      setMs = stepMs
      aheadMs = 240_000
      const lasting = await browser.open(`${url}/api/session`, { headers: poll })
      expect(lasting.status).toBe(200)
      const { idle_until: idleUntil } = (await lasting.json()) as { readonly idle_until: string }
      expect(Math.round((Date.parse(idleUntil) - (Date.now() + stepMs + aheadMs)) / 60_000)).toBe(6)
      aheadMs = 601_000
      expect((await browser.open(`${url}/api/session`, { headers: poll })).status).toBe(401)
    } finally {
      aheadMs = 0
      setMs = 0
    }
  })

  test('follows the claims where the issuer gives a refresh token: other roles, and none', async () => {
    try {
      const browser = await signedIn('otto')
      provider.groups['otto'] = ['sso-eng']
      aheadMs = 301_000
      const changed = await problemOf(await browser.open(`${url}/api/session`, { headers: asScript }))
      expect(changed['roles']).toEqual(['viewer'])
      provider.groups['otto'] = []
      aheadMs = 602_000
      expect((await browser.open(`${url}/api/session`, { headers: asScript })).status).toBe(401)
    } finally {
      provider.groups['otto'] = ['sso-platform']
      aheadMs = 0
    }
  })

  test('changes nothing without the field of the console', async () => {
    const browser = await signedIn('otto')
    const { 'gateway-console': _, ...without } = asScript
    const refused = await browser.open(`${url}/api/reload`, { method: 'POST', headers: without })
    expect([refused.status, (await problemOf(refused))['reason']]).toEqual([403, 'console-field'])
    expect((await browser.open(`${url}/api/reload`, { method: 'POST', headers: asScript })).status).toBe(200)
    const entry = (await audited('operator-request')).at(-1)
    expect(entry).toMatchObject({
      actor: 'otto',
      details: {
        method: 'POST',
        path: '/api/reload',
        status: 200,
        email: 'otto@corp.example',
        roles: ['operator'],
        signed_in: 'browser',
      },
    })
  })

  test('ends for whom operators have blocked', async () => {
    const browser = await signedIn('vera')
    const token = await provider.token('operator-service')
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    const block = { kind: 'subject', value: 'vera', reason: 'lost laptop', by: 'somebody else' }
    const made = await fetch(`${url}/api/blocks`, { method: 'POST', headers, body: JSON.stringify(block) })
    // Who is signed in, not whom the body names.
    expect(await made.json()).toMatchObject({ by: 'operator-service' })
    expect((await browser.open(`${url}/api/status`, { headers: asScript })).status).toBe(403)
    await fetch(`${url}/api/blocks?kind=subject&value=vera`, { method: 'DELETE', headers })
    expect((await browser.open(`${url}/api/status`, { headers: asScript })).status).toBe(200)
  })
})

describe('a bearer token', () => {
  test('of another audience, a broken one and one of another issuer are refused', async () => {
    const token = await provider.token('viewer-service')
    for (const wrong of [
      await provider.token('viewer-service', 'https://gateway.corp.example'),
      `${token.slice(0, -4)}AAAA`,
      await running.token({ groups: ['sso-platform'] }),
      'nonsense',
    ]) {
      const answer = await fetch(`${url}/api/status`, { headers: { authorization: `Bearer ${wrong}` } })
      expect([answer.status, (await problemOf(answer))['reason']]).toEqual([401, 'token-rejected'])
    }
    expect((await fetch(`${url}/api/session`, { headers: { authorization: `Bearer ${token}` } })).status).toBe(200)
  })

  test('ends with its time', async () => {
    const token = await provider.token('viewer-service')
    try {
      aheadMs = 700_000
      const answer = await fetch(`${url}/api/status`, { headers: { authorization: `Bearer ${token}` } })
      expect([answer.status, (await problemOf(answer))['reason']]).toEqual([401, 'token-expired'])
    } finally {
      aheadMs = 0
    }
  })
})

describe('roles', () => {
  const whos = {
    'viewer-service': ['viewer'],
    'operator-service': ['operator'],
    'officer-service': ['key_officer'],
    'all-service': ['operator', 'key_officer'],
    'nobody-service': [],
  } as const

  test.each(Object.entries(whos))('%s may do what its roles say, on every page there is', async (service, roles) => {
    const headers = { authorization: `Bearer ${await provider.token(service)}` }
    for (const [method, path] of routesOf()) {
      const needed = neededRole(method, path)
      const may = needed === 'viewer' ? roles.length > 0 : roles.some((role) => role === needed)
      const answer = await fetch(`${url}${path.replace(/:\w+/, 'x')}`, { method, headers })
      const text = await answer.text()
      if (may) expect([method, path, answer.status]).not.toEqual([method, path, 403])
      else {
        expect([method, path, answer.status]).toEqual([method, path, 403])
        if (needed !== null && method !== 'HEAD')
          expect(JSON.parse(text)).toMatchObject({ reason: 'role-missing', needed_role: needed, roles })
      }
    }
  })

  test('every page that changes something has a role, and no spelling of its path goes around it', async () => {
    const changing = routesOf().filter(([method]) => method !== 'GET' && method !== 'HEAD')
    expect(changing.map(([method, path]) => `${method} ${path}`)).toContain('POST /api/rotations')
    for (const [method, path] of changing)
      expect([method, path, neededRole(method, path)]).not.toEqual([method, path, null])
    const headers = { authorization: `Bearer ${await provider.token('viewer-service')}` }
    for (const path of [
      '/api/%72eload',
      '//api/reload',
      '/API/reload',
      '/api/reload/',
      '/api/reload;x',
      '/x/../api/%72eload',
    ])
      expect((await fetch(`${url}${path}`, { method: 'POST', headers })).status).toBe(403)
    for (const method of ['PUT', 'PATCH', 'OPTIONS', 'DELETE'])
      expect([method, (await fetch(`${url}/api/reload`, { method, headers })).status]).toEqual([method, 403])
  })
})

/** All pages below /api/ but those of the session. `test/console/api.test.ts` holds that the document names each. */
function routesOf(): readonly (readonly [string, string])[] {
  return documentedRoutes()
    .map((route) => route.split(' ') as [string, string])
    .filter(([, path]) => path.startsWith('/api/') && !path.startsWith('/api/session'))
}

describe('pages of other sites', () => {
  const token = (): Promise<string> => provider.token('all-service')
  test.each([
    ['a form', { 'content-type': 'application/x-www-form-urlencoded' }, 'kind=app&value=x&reason=y'],
    ['JSON as plain text', { 'content-type': 'text/plain' }, '{"kind":"app","value":"x","reason":"y"}'],
    [
      'JSON as plain text, with a charset',
      { 'content-type': 'Text/Plain;charset=UTF-8' },
      '{"kind":"app","value":"x"}',
    ],
    ['a form with parts', { 'content-type': 'multipart/form-data; boundary=b' }, '--b--'],
    ['another origin', { origin: 'https://evil.example', 'content-type': 'application/json' }, '{}'],
    ['no origin to speak of', { origin: 'null', 'content-type': 'application/json' }, '{}'],
    ['another port', { origin: 'http://127.0.0.1:1', 'content-type': 'application/json' }, '{}'],
    ['Fetch Metadata', { 'sec-fetch-site': 'cross-site', 'content-type': 'application/json' }, '{}'],
    ['a neighbour', { 'sec-fetch-site': 'same-site', 'content-type': 'application/json' }, '{}'],
  ])('cannot change anything, with or without a login: %s', async (_name, fields, body) => {
    const local = await startLocal()
    for (const [at, headers] of [
      [url, { ...fields, authorization: `Bearer ${await token()}` }],
      [local.adminUrl, fields],
    ] as const) {
      const answer = await fetch(`${at}/api/blocks`, { method: 'POST', headers, body })
      expect([answer.status, (await problemOf(answer))['type']]).toEqual([
        403,
        '/gateway/v1/problems/cross-site-request',
      ])
    }
    expect(await (await fetch(`${local.adminUrl}/api/blocks`)).json()).toEqual([])
  })

  let started: Promise<RunningGateway> | null = null
  const startLocal = (): Promise<RunningGateway> => (started ??= startTestGateway())
  afterAll(async () => {
    await (await started)?.close()
  })

  test('on loopback nobody signs in, and changes are recorded under the name of the listener', async () => {
    const local = await startLocal()
    expect(await (await fetch(`${local.adminUrl}/api/session`)).json()).toMatchObject({
      signed_in: 'local',
      subject: null,
      roles: operatorRoles,
      until: null,
    })
    const block = { kind: 'app', value: 'x', reason: 'y' }
    const headers = { 'content-type': 'application/json' }
    await fetch(`${local.adminUrl}/api/blocks`, { method: 'POST', headers, body: JSON.stringify(block) })
    const last = (await local.auditText()).trim().split('\n').at(-1)
    expect(JSON.parse(last ?? '')).toMatchObject({ event: 'blocked', actor: "operators' listener" })
    await fetch(`${local.adminUrl}/api/blocks?kind=app&value=x`, { method: 'DELETE' })
  })
})

test('no secret, token or code is in what was written', async () => {
  const text = [await running.auditText(), ...running.logLines].join('\n')
  expect(text).not.toContain(clientSecret)
  expect(text).not.toMatch(/eyJ[\w-]{20}|code=/)
  expect(running.logLines.some((line) => line.includes('"operator-signed-in"'))).toBe(true)
})
