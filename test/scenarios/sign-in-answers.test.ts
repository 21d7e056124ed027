// What an issuer may answer to a browser that signs in, and to the renewal of its session: every answer that is another one than
// was asked for is refused. The issuer signs with ES256, and bearer tokens have an audience of their own.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sendJson, startIssuer, type Issuer, type SignOptions } from '../support/issuer.ts'
import { startTestGateway, type RunningGateway } from '../support/start-gateway.ts'

const api = 'https://operators.corp.example'
let issuer: Issuer
let running: RunningGateway
let aheadMs = 0

beforeAll(async () => {
  issuer = await startIssuer()
  issuer.respond('/.well-known/openid-configuration', (_request, response) =>
    sendJson(response, {
      issuer: issuer.issuer,
      jwks_uri: issuer.jwksUri,
      authorization_endpoint: `${issuer.issuer}/authorize`,
      token_endpoint: `${issuer.issuer}/token`,
      userinfo_endpoint: `${issuer.issuer}/me`,
      authorization_response_iss_parameter_supported: true,
    }),
  )
  running = await startTestGateway({
    issuer,
    now: () => Date.now() + aheadMs,
    monotonic: () => performance.now() + aheadMs,
    config: `admin:
  auth:
    issuer: ${issuer.issuer}
    client_id: console
    audience: ${api}
    roles: { viewer: { groups: [sso-eng] }, operator: { groups: [sso-platform] } }
`,
  })
})
afterAll(async () => {
  await running.close()
  await issuer.stop()
})

type Claims = Readonly<Record<string, unknown>>
type Parameters = Readonly<Record<string, string>>

interface Answers {
  readonly claims?: Claims
  readonly signing?: SignOptions
  /** Further members of the answer of the token endpoint. */
  readonly token?: Claims
  /** What the UserInfo page says; default: it says nothing. */
  readonly about?: Claims
  /** Parameters of the way back, which replace the usual ones. */
  readonly back?: Parameters
}

const idToken = (claims: Claims, signing: SignOptions = {}): Promise<string> =>
  issuer.sign(
    { sub: 'vera', aud: 'console', groups: ['sso-eng'], ...claims },
    { ...signing, header: { typ: 'JWT', ...signing.header } },
  )

function answerWith(token: Claims, about?: Claims): void {
  issuer.respond('/token', (_request, response) =>
    sendJson(response, { access_token: 'opaque', token_type: 'Bearer', ...token }),
  )
  issuer.respond('/me', (_request, response) =>
    about === undefined ? response.writeHead(404).end() : sendJson(response, about),
  )
}

/** Signs in; returns the status of the way back, and the cookie of the session where there is one. */
async function signIn({ claims, signing, token, about, back }: Answers) {
  const begun = await fetch(`${running.adminUrl}/api/session/sign-in`, { redirect: 'manual' })
  const { searchParams } = new URL(begun.headers.get('location') ?? '')
  const [nonce, state] = [searchParams.get('nonce') ?? '', searchParams.get('state') ?? '']
  answerWith({ id_token: await idToken({ nonce, ...claims }, signing), ...token }, about)
  const query = new URLSearchParams({ code: 'c', state, iss: issuer.issuer, ...back })
  const [cookie = ''] = begun.headers.getSetCookie().map((line) => line.split(';', 1)[0])
  const answer = await fetch(`${running.adminUrl}/api/session/callback?${query.toString()}`, {
    redirect: 'manual',
    headers: { cookie, accept: 'application/json' },
  })
  const text = await answer.text()
  const session = answer.headers.getSetCookie().find((line) => line.startsWith('gateway-session='))
  return { status: answer.status, text, cookie: session?.split(';', 1)[0] ?? null }
}

async function rolesOf(cookie: string | null): Promise<unknown> {
  const answer = await fetch(`${running.adminUrl}/api/session`, { headers: { cookie: cookie ?? '' } })
  return answer.status === 200 ? ((await answer.json()) as { roles: unknown }).roles : answer.status
}

describe('a sign-in', () => {
  test('works by any algorithm of the configuration, and is for the client, whatever audience bearer tokens have', async () => {
    const { status, cookie } = await signIn({})
    expect([status, await rolesOf(cookie)]).toEqual([303, ['viewer']])
  })

  test('asks the UserInfo page where the ID token gives no role', async () => {
    const { cookie } = await signIn({
      claims: { groups: undefined },
      about: { sub: 'vera', groups: ['sso-platform'], aud: 'somebody else', exp: 1 },
    })
    expect(await rolesOf(cookie)).toEqual(['operator'])
  })

  const refused: Readonly<Record<string, Answers>> = {
    'no nonce': { claims: { nonce: undefined } },
    'another nonce': { claims: { nonce: 'x' } },
    'another client': { claims: { aud: 'other' } },
    'the audience of bearer tokens': { claims: { aud: api } },
    'several audiences and no party': { claims: { aud: ['console', 'other'] } },
    'another party': { claims: { aud: ['console', 'other'], azp: 'other' } },
    'an end that has passed': { claims: { iat: 1_000, exp: 2_000 } },
    'another issuer': { claims: { iss: 'https://evil.example' } },
    'a signature by the secret of nobody': { signing: { header: { alg: 'HS256' }, key: Buffer.alloc(40) } },
    'no ID token': { token: { id_token: undefined } },
    'no subject': { claims: { sub: undefined } },
    'no algorithm': { token: { id_token: 'eyJhbGciOiJub25lIn0.e30.' } },
    'UserInfo of somebody else': { claims: { groups: undefined }, about: { sub: 'otto', groups: ['sso-platform'] } },
    'a way back that names another issuer': { back: { iss: 'https://evil.example' } },
    'a way back with another state': { back: { state: 'x' } },
    'an error on the way back': { back: { error: '<script>' } },
  }
  test.each(Object.entries(refused))('is refused with %s', async (_what, answers) => {
    const { status, text, cookie } = await signIn(answers)
    expect([status, cookie]).toEqual([400, null])
    expect(text).not.toContain('<script>')
    expect(JSON.parse(text)).toMatchObject({ type: '/gateway/v1/problems/sign-in-failed' })
  })

  test('is no reason to take an ID token as a bearer token of an audience of its own', async () => {
    const asBearer = async (aud: string): Promise<number> => {
      const authorization = `Bearer ${await idToken({ aud })}`
      return (await fetch(`${running.adminUrl}/api/status`, { headers: { authorization } })).status
    }
    expect([await asBearer(api), await asBearer('console')]).toEqual([200, 401])
  })
})

describe('a renewal', () => {
  test.each<[string, (claims: Claims) => Promise<readonly [Claims, Claims?]>, unknown]>([
    [
      'with an ID token',
      async (times) => [{ id_token: await idToken({ groups: ['sso-platform'], ...times }) }],
      ['operator'],
    ],
    ['without an ID token asks UserInfo', async () => [{}, { sub: 'vera', groups: ['sso-platform'] }], ['operator']],
    ['without an ID token, for whom UserInfo gives no role', async () => [{}, { sub: 'vera' }], 401],
    ['without an ID token, of somebody else', async () => [{}, { sub: 'otto', groups: ['sso-platform'] }], 401],
    [
      'with an ID token of somebody else',
      async (times) => [{ id_token: await idToken({ sub: 'otto', ...times }) }],
      401,
    ],
  ])('%s', async (_what, answers, expected) => {
    const { cookie } = await signIn({ token: { refresh_token: 'r' } })
    try {
      aheadMs = 301_000
      answerWith(...(await answers({ iat: Math.floor((Date.now() + aheadMs) / 1000) })))
      expect(await rolesOf(cookie)).toEqual(expected)
    } finally {
      aheadMs = 0
    }
  })

  test('leaves the session as it is while the issuer cannot answer', async () => {
    const { cookie } = await signIn({ token: { refresh_token: 'r' } })
    try {
      for (const status of [500, 503]) {
        aheadMs += 301_000
        issuer.respond('/token', (_request, response) => response.writeHead(status).end())
        expect(await rolesOf(cookie)).toEqual(['viewer'])
      }
    } finally {
      aheadMs = 0
    }
  })
})
