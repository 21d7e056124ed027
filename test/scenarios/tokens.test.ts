// Who the caller is: tokens of a real OpenID provider from its key set to the record, everything that is no good token as
// raw bytes with the exact answer, callers of several teams and of none, and an issuer that is away.

import { createHmac, createPublicKey } from 'node:crypto'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { problemKinds, type ProblemKindName } from '../../src/problem-kinds.ts'
import { createAuthority } from '../support/certificates.ts'
import { startIssuer, type Issuer } from '../support/issuer.ts'
import { openIdAudience, startOpenIdProvider, type OpenIdProvider } from '../support/openid-provider.ts'
import {
  paymentsGroups,
  startTestGateway,
  until,
  usualPolicies,
  type RunningGateway,
} from '../support/start-gateway.ts'
import { askAll, kindOf, problemOf, sidesOf, type Asked, type ThreeSides } from '../support/three-sides.ts'
import { fieldOf } from '../support/upstream.ts'

const sessions = '/v3/organizations/org-payments/sessions'

/** The whole document, member by member: nothing more may stand in it. */
function expectProblem(
  { answer, seen, access, decisions }: ThreeSides,
  kind: ProblemKindName,
  detail: string | RegExp,
  reason: string = kind,
): void {
  const { status, title } = problemKinds[kind]
  const id = answer.fields['gateway-decision'] ?? ''
  expect(id).toMatch(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
  expect(answer.status).toBe(status)
  expect(answer.fields['content-type']).toBe('application/problem+json')
  expect(problemOf(answer)).toEqual({
    type: `/gateway/v1/problems/${kind}`,
    title,
    status,
    detail: typeof detail === 'string' ? detail : expect.stringMatching(detail),
    instance: `urn:uuid:${id}`,
    reason,
    decision_id: id,
  })
  expect(seen).toEqual([])
  expect(access).toMatchObject([{ decision_id: id, status, outcome: 'refused', problem: kind, key: null }])
  expect(decisions).toMatchObject([{ decision_id: id, effect: 'deny', key: null }])
}

describe('with a real OpenID provider', () => {
  let provider: OpenIdProvider
  let running: RunningGateway
  beforeAll(async () => {
    // It warns about its memory store and default lifetimes at every start; both are what a test wants.
    vi.spyOn(console, 'warn').mockReturnValue()
    vi.spyOn(console, 'info').mockReturnValue()
    provider = await startOpenIdProvider()
    running = await startTestGateway({
      // A second issuer beside the usual one, found by its metadata.
      issuerConfig: `  - issuer: ${provider.issuer}
    audience: ${openIdAudience}
    claims: { app: client_id }`,
    })
  })
  afterAll(async () => {
    await running.close()
    await provider.stop()
    vi.restoreAllMocks()
  })

  test("an access token goes through to the upstream as the team's key, and the records name its holder", async () => {
    const token = await provider.token()
    const answer = await running.call(sessions, { token })
    expect(answer.status).toBe(200)
    expect(fieldOf(running.upstream.seen.at(-1), 'authorization')).toMatch(/^Bearer cog_payments-runner/)
    await running.recorded(1)
    const id = answer.headers.get('gateway-decision')
    expect((await running.decisions()).filter((entry) => entry.decision_id === id)).toMatchObject([
      {
        effect: 'allow',
        subject: 'payments-service',
        app: 'payments-service',
        email: 'payments-service@corp.example',
        issuer: provider.issuer,
        groups: paymentsGroups,
        team: 'payments',
      },
    ])
    expect(provider.requests).toContain('/.well-known/openid-configuration')
  })

  test('a token of the other issuer is as good, and each issuer has its own audience', async () => {
    expect((await running.call(sessions)).status).toBe(200)
    const other = await running.call(sessions, { token: await provider.token('payments-service', 'https://x.example') })
    expect([other.status, await other.json()]).toMatchObject([401, { detail: expect.stringContaining(openIdAudience) }])
    const swapped = await running.call(sessions, { claims: { aud: openIdAudience } })
    expect(swapped.status).toBe(401)
  })

  test('a client whose groups no team lists learns which groups were seen', async () => {
    const answer = await running.call(sessions, { token: await provider.token('nobodys-service') })
    expect([answer.status, await answer.json()]).toMatchObject([
      403,
      {
        type: '/gateway/v1/problems/identity-incomplete',
        detail:
          'No team lists this caller as a member. Groups seen in the token: sso-canteen, sso-parking; app seen: nobodys-service. Ask the owner of the policies to add one of them to a team, or the identity team to put the group into the token.',
      },
    ])
  })

  test('a rotation of its keys is followed while calls go on, and a withdrawn key ends what it signed', async () => {
    const old = await provider.token()
    expect((await running.call(sessions, { token: old })).status).toBe(200)
    const load = { going: true }
    const statuses: number[] = []
    const clients = Promise.all(
      Array.from({ length: 4 }, async () => {
        while (load.going) {
          const answer = await running.call(sessions)
          await answer.text()
          statuses.push(answer.status)
        }
      }),
    )
    await provider.rotate({ withdraw: true })
    const fresh = await Promise.all(Array.from({ length: 10 }, () => provider.token()))
    const before = provider.requests.filter((path) => path.includes('jwks')).length
    const answers = await Promise.all(fresh.map((token) => running.call(sessions, { token })))
    expect(answers.map((answer) => answer.status)).toEqual(fresh.map(() => 200))
    expect(provider.requests.filter((path) => path.includes('jwks')).length - before).toBe(1)
    load.going = false
    await clients
    expect(statuses.every((status) => status === 200)).toBe(true)
    const late = await running.call(sessions, { token: old })
    expect([late.status, await late.json()]).toMatchObject([401, { type: '/gateway/v1/problems/token-rejected' }])
  })
})

describe('what is not one good token', () => {
  let running: RunningGateway
  let sides: ReadonlyMap<string, ThreeSides>
  let token: string
  const devinKey = 'cog_a-key-somebody-pasted-0123456789'

  beforeAll(async () => {
    running = await startTestGateway()
    token = await running.token()
    const other = await running.token({ sub: 'bob' })
    const escaped = [...token].map((letter) => `%${letter.charCodeAt(0).toString(16)}`).join('')
    const bearer = `Authorization: Bearer ${token}`
    const cases: Asked[] = [
      { name: 'none', fields: [] },
      { name: 'an empty field', fields: ['Authorization:'] },
      { name: 'the scheme alone', fields: ['Authorization: Bearer'] },
      { name: 'the scheme and a space', fields: ['Authorization: Bearer '] },
      { name: 'another scheme', fields: ['Authorization: Basic YW5uOnNlY3JldA=='] },
      { name: 'the token under another scheme', fields: [`Authorization: DPoP ${token}`] },
      { name: 'the token without a scheme', fields: [`Authorization: ${token}`] },
      { name: 'a scheme that begins alike', fields: [`Authorization: Bearerish ${token}`] },
      { name: 'for a proxy', fields: [`Proxy-Authorization: Bearer ${token}`] },
      { name: 'in a cookie', fields: [`Cookie: authorization=${token}; token=${token}`] },
      {
        name: 'in a field that looks alike',
        fields: [`Authorization_: Bearer ${token}`, `X-Authorization: Bearer ${token}`],
      },
      { name: 'two fields', fields: [bearer, `authorization: Bearer ${other}`] },
      { name: 'the same field twice', fields: [bearer, bearer] },
      { name: 'an empty field beside it', fields: ['Authorization:', bearer] },
      { name: 'two tokens in a list', fields: [`${bearer}, Bearer ${other}`] },
      { name: 'two tokens with a comma', fields: [`${bearer},${other}`] },
      { name: 'two tokens with a space', fields: [`${bearer} ${other}`] },
      { name: 'a parameter behind it', fields: [`${bearer}; a=b`] },
      { name: 'quotes', fields: [`Authorization: Bearer "${token}"`] },
      { name: 'a tab between', fields: [`Authorization: Bearer\t${token}`] },
      { name: 'a letter beyond ASCII', fields: [`${bearer}\u00e9`] },
      { name: 'a Devin key', fields: [`Authorization: Bearer ${devinKey}`] },
      { name: 'a Devin key without a scheme', fields: [`Authorization: ${devinKey}`] },
      { name: 'an old Devin key', fields: ['Authorization: Bearer apk_user_0123456789abcdef'] },
      { name: 'in the query', target: `${sessions}?access_token=${token}`, fields: [bearer] },
      {
        name: 'in the query and behind several spaces',
        target: `${sessions}?access_token=${token}`,
        fields: [bearer.replace('Bearer ', 'Bearer   ')],
      },
      { name: 'as the name of a parameter', target: `${sessions}?first=1&${token}`, fields: [bearer] },
      { name: 'inside a longer value', target: `${sessions}?q=Bearer+${token}!`, fields: [bearer] },
      {
        name: 'in the query with escaped dots',
        target: `${sessions}?t=${token.replaceAll('.', '%2e')}`,
        fields: [bearer],
      },
      { name: 'in the query, wholly escaped', target: `${sessions}?t=${escaped}`, fields: [bearer] },
      { name: 'in the query behind a semicolon', target: `${sessions}?a=b;t=${token}`, fields: [bearer] },
      { name: 'in the query of a page of our own', target: `/gateway/v1/me?t=${token}`, fields: [bearer] },
      { name: 'only in the query', target: `${sessions}?access_token=${token}`, fields: [] },
      { name: 'only in the query, of a page of our own', target: `/gateway/v1/me?first=1&jwt=${token}`, fields: [] },
      { name: 'a parameter that ends alike', target: `${sessions}?next_page_token=abc`, fields: [] },
      { name: 'one letter more', fields: [`${bearer}A`] },
      { name: 'padding', fields: [`${bearer}=`] },
      { name: 'another last letter', fields: [`Authorization: Bearer ${respell(token)}`] },
      {
        name: 'a signature of another',
        fields: [`Authorization: Bearer ${token.slice(0, token.lastIndexOf('.'))}.${other.split('.')[2]}`],
      },
      {
        name: 'claims of another',
        fields: [`Authorization: Bearer ${[token.split('.')[0], other.split('.')[1], token.split('.')[2]].join('.')}`],
      },
      { name: 'no signature', fields: [`Authorization: Bearer ${token.slice(0, token.lastIndexOf('.') + 1)}`] },
      { name: 'no JWT', fields: ['Authorization: Bearer abcdefghijklmnopqrstuvwxyz'] },
      { name: 'a token of 20 000 letters', fields: [`Authorization: Bearer ${token}${'A'.repeat(20_000)}`] },
    ].map((each) => ({ target: sessions, ...each, token: null }))
    // Verified first, so that the refusals below stand beside a remembered good one.
    await running.call(sessions)
    await running.recorded(1)
    sides = await askAll(running, cases)
  })
  afterAll(() => running.close())

  const missing = 'Send the SSO token of your identity provider as `Authorization: Bearer <token>`.'
  const nothingBehind = 'No token stands behind `Bearer`: an empty variable is a common cause. '
  const noBearer = 'The Authorization field does not begin with `Bearer`. '
  test.each([
    ['none', ''],
    ['an empty field', ''],
    ['the scheme alone', nothingBehind],
    ['the scheme and a space', nothingBehind],
    ['another scheme', noBearer],
    ['the token under another scheme', noBearer],
    ['the token without a scheme', 'The word `Bearer` is missing before the token. '],
    ['a scheme that begins alike', noBearer],
    ['for a proxy', ''],
    ['in a cookie', ''],
    ['in a field that looks alike', ''],
    ['only in the query', 'A token in the query is not read, because addresses end up in logs. '],
    ['only in the query, of a page of our own', 'A token in the query is not read, because addresses end up in logs. '],
    ['a parameter that ends alike', ''],
  ])('%s: the token is missing', (name, sentence) => {
    const found = sidesOf(sides, name)
    expectProblem(found, 'token-missing', sentence + missing)
    expect(found.answer.fields['www-authenticate']).toBe('Bearer')
  })

  test.each(['two fields', 'the same field twice', 'an empty field beside it'])('%s: malformed', (name) => {
    const found = sidesOf(sides, name)
    const detail = 'The request holds more than one Authorization field. Send exactly one.'
    expectProblem(found, 'malformed-request', detail, 'authorization-field')
  })

  test.each([
    'two tokens in a list',
    'two tokens with a comma',
    'two tokens with a space',
    'a parameter behind it',
    'quotes',
    'a tab between',
    'a letter beyond ASCII',
  ])('%s: malformed, and never the first of them', (name) => {
    const found = sidesOf(sides, name)
    const detail = /^The Authorization field must hold one bearer token and nothing else/
    expectProblem(found, 'malformed-request', detail, 'authorization-field')
  })

  test.each(['a Devin key', 'a Devin key without a scheme', 'an old Devin key'])(
    '%s: refused as what it is',
    (name) => {
      const found = sidesOf(sides, name)
      expectProblem(found, 'token-rejected', /^This is a Devin key\. Send the SSO token .* revoke it/)
      expect(found.answer.fields['www-authenticate']).toBe('Bearer error="invalid_token"')
      expect(found.decisions).toMatchObject([{ reason: 'devin-key-sent' }])
      expect(JSON.stringify(found)).not.toMatch(/cog_a-key|apk_user/)
    },
  )

  test.each([
    'in the query',
    'in the query and behind several spaces',
    'as the name of a parameter',
    'inside a longer value',
    'in the query with escaped dots',
    'in the query, wholly escaped',
    'in the query behind a semicolon',
    'in the query of a page of our own',
  ])('%s as well: refused', (name) => {
    const detail = 'The query holds your token. Send it in the Authorization field only: addresses end up in logs.'
    expectProblem(sidesOf(sides, name), 'malformed-request', detail, 'token-in-query')
  })

  test.each([
    ['one letter more', 'malformed|signature-invalid'],
    ['padding', 'malformed'],
    ['another last letter', 'malformed'],
    ['a signature of another', 'signature-invalid'],
    ['claims of another', 'signature-invalid'],
    ['no signature', 'malformed'],
    ['no JWT', 'malformed'],
    ['a token of 20 000 letters', 'malformed'],
  ])('%s: rejected, and the exact reason is for the records alone', (name, reason) => {
    const found = sidesOf(sides, name)
    expectProblem(found, 'token-rejected', /^The token /)
    expect(found.answer.fields['www-authenticate']).toBe('Bearer error="invalid_token"')
    expect(found.decisions[0]?.reason).toMatch(new RegExp(`^(?:${reason})$`))
    expect(found.decisions[0]?.subject).toBeNull()
  })

  test('none of it is written anywhere', async () => {
    const everything = await running.everything()
    const [header = '', claims = '', signature = ''] = token.split('.')
    for (const part of [claims, signature, `${header}.`, devinKey, 'YW5uOnNlY3JldA', 'apk_user_'])
      expect(everything.includes(part), part.slice(0, 12)).toBe(false)
  })
})

/** The same signature in another spelling: only the unused bits of the last letter differ. */
function respell(token: string): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return token.slice(0, -1) + (letters[letters.indexOf(token.at(-1) ?? '') + 1] ?? '')
}

describe('what a signed token may not be', () => {
  let running: RunningGateway
  let sides: ReadonlyMap<string, ThreeSides>
  const nowS = Math.floor(Date.now() / 1000)

  beforeAll(async () => {
    running = await startTestGateway()
    const { issuer } = running
    const stranger = await generateKeyPair('ES256')
    const strangers = await exportJWK(stranger.publicKey)
    const rsa = await generateKeyPair('RS256')
    const published = await exportJWK(rsa.publicKey)
    issuer.publish({ ...published, kid: 'rsa-1', alg: 'RS256', use: 'sig' })
    const pem = createPublicKey({ key: published, format: 'jwk' }).export({
      type: 'spki',
      format: 'pem',
    })
    const signed = (claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}) =>
      running.token(claims, { header })
    const tokens: Record<string, string | Promise<string>> = {
      'algorithm none': unsigned({ alg: 'none' }, issuer),
      'algorithm NONE, with a signature': `${unsigned({ alg: 'NONE', kid: issuer.kid }, issuer)}AAAA`,
      'an HMAC with the public key': hmac(unsigned({ alg: 'HS256', kid: 'rsa-1' }, issuer), pem.toString()),
      'an algorithm that is not allowed': new SignJWT({})
        .setProtectedHeader({ alg: 'PS256', kid: 'rsa-1' })
        .setIssuer(issuer.issuer)
        .sign((await generateKeyPair('PS256')).privateKey),
      'the key of a stranger': running.token({}, { key: stranger.privateKey }),
      'a key in its header': running.token(
        {},
        { key: stranger.privateKey, header: { jwk: strangers, kid: undefined } },
      ),
      'a key address in its header': running.token(
        {},
        { key: stranger.privateKey, header: { jku: 'http://127.0.0.1:9/jwks', kid: 'mine' } },
      ),
      'a key id nobody knows': signed({}, { kid: '../../../../etc/passwd' }),
      'a critical extension': running.token({}, { header: { crit: ['exp'], exp: 1 } }).catch(() => ''),
      'a logout token': signed({}, { typ: 'logout+jwt' }),
      'another issuer': signed({ iss: `${issuer.issuer}/` }),
      'an issuer of another case': signed({ iss: issuer.issuer.toUpperCase() }),
      'no issuer': signed({ iss: undefined }),
      'another audience': signed({ aud: 'devin-gateway-2' }),
      'an audience as an object': signed({ aud: { a: 'devin-gateway' } }),
      'no audience': signed({ aud: undefined }),
      'no subject': signed({ sub: undefined }),
      'a subject that is a number': signed({ sub: 7 }),
      'no expiry': signed({ exp: undefined }),
      'an expiry as text': signed({ exp: String(nowS + 60) }),
      'an expiry beyond numbers': signed({ exp: 1e308 }),
      'no time of issue': signed({ iat: undefined, exp: nowS + 60 }),
      'a life of two days': running.token({}, { lifetimeS: 2 * 86_400 }),
      'issued tomorrow': signed({ iat: nowS + 86_400 }),
      'not valid before tomorrow': signed({ nbf: nowS + 86_400 }),
      'bound to a key': signed({ cnf: { jkt: 'x' } }),
      'a security event': signed({ events: { 'http://schemas.openid.net/event/backchannel-logout': {} } }),
      expired: signed({ iat: nowS - 400, exp: nowS - 100 }),
      'groups that are a number': signed({ groups: 7 }),
      'groups in a map': signed({ groups: { 'sso-payments-eng': true } }),
      'an app that is a list': signed({ azp: ['payments-bot'] }),
      'an email that is a list': signed({ email: ['a@b.c'] }),
      'groups that nobody lists': signed({ groups: ['sso-canteen'], azp: 'lunch-app' }),
      'no groups at all': signed({ groups: undefined }),
      'groups of another case': signed({ groups: ['SSO-payments-eng', ' sso-payments-eng', 'sso-payments-en'] }),
      'one group that holds a comma': signed({ groups: 'sso-payments-eng,x' }),
      'one group as a string': signed({ groups: 'sso-payments-eng' }),
      'a typ of JWT': signed({}, { typ: 'JWT' }),
      'no typ': signed({}, { typ: undefined }),
      'an audience in a list': signed({ aud: ['x', 'devin-gateway'] }),
      'an expiry within the clock tolerance': signed({ iat: nowS - 300, exp: nowS - 5 }),
    }
    sides = await askAll(
      running,
      await Promise.all(
        Object.entries(tokens).map(async ([name, value]) => ({
          name,
          target: sessions,
          fields: [`Authorization: Bearer ${await value}`],
          token: null,
        })),
      ),
    )
  })
  afterAll(() => running.close())

  // One text for all that would tell a forger how far they came.
  test.each([
    'algorithm NONE, with a signature',
    'an HMAC with the public key',
    'an algorithm that is not allowed',
    'the key of a stranger',
    'a key in its header',
    'a key address in its header',
    'a key id nobody knows',
  ])('%s: rejected in one and the same words', (name) => {
    const found = sidesOf(sides, name)
    const detail =
      "The token was not accepted. Fetch a new one from the company's identity provider and send it exactly as it was issued; the decision log holds the reason under the decision id."
    expectProblem(found, 'token-rejected', detail)
    expect(found.answer.fields['www-authenticate']).toBe('Bearer error="invalid_token"')
  })

  test.each([
    ['algorithm none', 'malformed'],
    ['a logout token', 'token-type'],
    ['another issuer', 'issuer-unknown'],
    ['an issuer of another case', 'issuer-unknown'],
    ['no issuer', 'claim-missing'],
    ['another audience', 'audience-mismatch'],
    ['an audience as an object', 'audience-mismatch'],
    ['no audience', 'claim-missing'],
    ['no subject', 'claim-missing'],
    ['a subject that is a number', 'malformed'],
    ['no expiry', 'claim-missing'],
    ['an expiry as text', 'malformed'],
    ['an expiry beyond numbers', 'lifetime-too-long'],
    ['no time of issue', 'claim-missing'],
    ['a life of two days', 'lifetime-too-long'],
    ['issued tomorrow', 'not-yet-valid'],
    ['not valid before tomorrow', 'not-yet-valid'],
    ['bound to a key', 'confirmation-unsupported'],
    ['a security event', 'token-type'],
  ])('%s: rejected, recorded as %s', (name, reason) => {
    const found = sidesOf(sides, name)
    expectProblem(found, 'token-rejected', /^The (?:token|claim) .*\.$/)
    expect(found.answer.fields['www-authenticate']).toBe('Bearer error="invalid_token"')
    expect(found.decisions).toMatchObject([{ reason, subject: null, groups: [] }])
  })

  test('an expired one has its own kind, so that clients fetch a new one', () => {
    const found = sidesOf(sides, 'expired')
    const detail = 'The token has expired. Fetch a new one from the identity provider and repeat the request.'
    expectProblem(found, 'token-expired', detail)
    expect(found.answer.fields['www-authenticate']).toBe('Bearer error="invalid_token"')
  })

  test.each([
    ['groups that are a number', 'claim-shape', /`groups`.* must be a list of strings/],
    ['groups in a map', 'claim-shape', /`groups`.* must be a list of strings/],
    ['an app that is a list', 'claim-shape', /`azp`.* must be one string/],
    ['an email that is a list', 'claim-shape', /`email`.* must be one string/],
    ['groups that nobody lists', 'no-team', /Groups seen in the token: sso-canteen; app seen: lunch-app\./],
    ['no groups at all', 'no-team', /Groups seen in the token: none; app seen: none\./],
    [
      'groups of another case',
      'no-team',
      /Groups seen in the token: SSO-payments-eng, {2}sso-payments-eng, sso-payments-en;/,
    ],
    ['one group that holds a comma', 'no-team', /Groups seen in the token: sso-payments-eng,x;/],
  ])('%s: the identity is incomplete', (name, reason, detail) => {
    const found = sidesOf(sides, name)
    expectProblem(found, 'identity-incomplete', detail, reason)
    expect(found.answer.fields['www-authenticate']).toBeUndefined()
  })

  test.each([
    'one group as a string',
    'a typ of JWT',
    'no typ',
    'an audience in a list',
    'an expiry within the clock tolerance',
  ])('%s is good', (name) => {
    const { answer, seen } = sidesOf(sides, name)
    expect([answer.status, seen.length, kindOf(answer)]).toEqual([200, 1, 'no problem: 200'])
  })
})

function unsigned(header: Record<string, unknown>, { issuer }: Issuer): string {
  const nowS = Math.floor(Date.now() / 1000)
  const claims = {
    iss: issuer,
    sub: 'mallory',
    aud: 'devin-gateway',
    iat: nowS,
    exp: nowS + 60,
    groups: paymentsGroups,
  }
  return `${[header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')}.`
}

function hmac(token: string, secret: string): string {
  return token + createHmac('sha256', secret).update(token.slice(0, -1)).digest('base64url')
}

describe('an issuer whose certificate is of an internal authority', () => {
  test('is asked over TLS, for metadata and keys, when `ca` names that authority', async () => {
    const authority = createAuthority('the authority of a company')
    const own = await startIssuer()
    const keys = await (await fetch(own.jwksUri)).text()
    const server = createServer(authority.issue({ name: 'localhost' }), (request, response) =>
      response.end(request.url === '/jwks' ? keys : JSON.stringify({ issuer: address, jwks_uri: `${address}/jwks` })),
    )
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
    const address = `https://localhost:${(server.address() as AddressInfo).port}`
    const issuerConfig = `  - issuer: ${address}\n    audience: devin-gateway\n    ca: sso-ca.pem`
    const running = await startTestGateway({ files: { 'sso-ca.pem': authority.ca }, issuerConfig })
    try {
      const claims = { iss: address, sub: 'ann', groups: paymentsGroups }
      expect((await running.call(sessions, { token: await own.sign(claims) })).status).toBe(200)
    } finally {
      await running.close()
      await own.stop()
      server.close()
    }
  })
})

describe('a refused token', () => {
  let running: RunningGateway
  beforeAll(async () => {
    running = await startTestGateway()
  })
  afterAll(() => running.close())

  async function refused(token: string) {
    const answer = await running.call(sessions, { token })
    const text = await answer.text()
    const id = answer.headers.get('gateway-decision')
    const { decision } = await running.recordsOf(id)
    return { status: answer.status, text, decision, seen: decision.token_seen }
  }
  const stranger = async () => (await generateKeyPair('ES256')).privateKey

  test.each<[string, () => Promise<string>, RegExp | null]>([
    [
      'an issuer with a final slash',
      () => running.token({ iss: `${running.issuer.issuer}/` }),
      /^iss differs from ".*" only by a final slash$/,
    ],
    [
      'an issuer in capitals',
      () => running.token({ iss: running.issuer.issuer.toUpperCase() }),
      /^iss differs from ".*" only in letter case$/,
    ],
    [
      'an audience in capitals',
      () => running.token({ aud: ['x', 'Devin-Gateway'] }),
      /^aud differs from "devin-gateway" only in letter case$/,
    ],
    ['another issuer', () => running.token({ iss: 'https://elsewhere.example' }), null],
    ['an unknown key', () => running.token({}, { header: { kid: 'rotated-away' } }), null],
    ['a wrong signature', async () => running.token({}, { key: await stranger() }), null],
    ['an end in the past', () => running.token({ iat: 1_700_000_000, exp: 1_700_000_300 }), null],
    ['a group that is no text', () => running.token({ groups: [7] }), null],
  ])('leaves what it says of itself in the record, and nowhere else: %s', async (_name, make, near) => {
    const token = await make()
    const [header, claims] = token
      .split('.')
      .slice(0, 2)
      .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>)
    const { status, text, seen } = await refused(token)
    expect([401, 403]).toContain(status)
    expect(seen).toEqual({
      iss: claims?.['iss'],
      aud: [claims?.['aud']].flat(),
      kid: header?.['kid'],
      alg: 'ES256',
      near: near === null ? null : expect.stringMatching(near),
    })
    for (const value of [claims?.['iss'], header?.['kid'], 'rotated-away', 'differs']) expect(text).not.toContain(value)
  })

  test('leaves it bounded, masked and escaped, whatever it holds', async () => {
    const key = await stranger()
    const { seen } = await refused(
      await running.token(
        {
          iss: `https://x.example/${'a'.repeat(3_000)}`,
          aud: [
            'cog_planted-in-a-token-0123456789',
            '\u202eevil\u0007',
            ...Array.from({ length: 50 }, (_, n) => `a${n}`),
          ],
        },
        { key, header: { kid: `line\nbreak \u2066${'k'.repeat(600)}` } },
      ),
    )
    expect(seen?.iss).toHaveLength(257)
    expect(seen?.aud).toEqual(['cog_[masked]', '\\u202eevil\\u0007', 'a0', 'a1', 'a2'])
    expect(seen?.kid).toMatch(/^line\\u000abreak \\u2066k{100}/)
    expect(seen?.kid?.length).toBeLessThan(300)
    const { seen: odd } = await refused(await running.token({ iss: { a: 1 }, aud: { b: [2] } }, { key }))
    expect(odd).toMatchObject({ iss: '{"a":1}', aud: ['{"b":[2]}'] })
  })

  test('of another form leaves what can be read of it', async () => {
    const token = await running.token()
    expect((await refused(`${token}=`)).seen).toMatchObject({ iss: running.issuer.issuer, kid: running.issuer.kid })
    expect((await refused('not-a-token')).seen).toBeUndefined()
  })

  test('and a good one of no team: a group or an app that is nearly one of a team is named in the record only', async () => {
    for (const group of ['SSO-Payments-Eng', '/sso-payments-eng', ' sso-payments-eng']) {
      const { status, text, decision } = await refused(await running.token({ groups: ['others', group] }))
      expect([status, decision.reason]).toEqual([403, 'no-team'])
      expect(decision.nearest).toMatch(
        /^the group ".*" of the token differs from "sso-payments-eng" of team payments only /,
      )
      expect(text).not.toContain('differs')
      const page = '/gateway/v1/explain?method=GET&path=%2Fv3%2Fself'
      const explained = await (await running.call(page, { claims: { groups: ['others', group] } })).text()
      expect(explained).toContain('"nearest":null')
      expect(explained).not.toContain('team payments')
    }
    for (const app of ['Payments-Bot', 'payments-bot/', ' payments-bot']) {
      const { text, decision } = await refused(await running.token({ groups: ['others'], azp: app }))
      expect(decision.nearest).toMatch(/^the app ".*" of the token differs from "payments-bot" of team payments only /)
      expect(text).not.toContain('differs')
    }
    for (const claims of [{ groups: ['sso-payments'] }, { groups: ['Payments-Bot'], azp: 'sso-payments-eng' }]) {
      const { decision } = await refused(await running.token(claims))
      expect(decision.nearest).toBeNull()
    }
  })
})

describe('a caller of several teams', () => {
  let running: RunningGateway
  const team = (id: string, lines: string): string =>
    `team: ${id}\nmembers: [{ groups: [sso-${id}] }]\ncache: { at_most: 0s }\n${lines}\n`
  beforeAll(async () => {
    running = await startTestGateway({
      policies: {
        ...Object.fromEntries(Object.keys(usualPolicies).map((name) => [name, null])),
        'teams/a.yaml': team(
          'a',
          'organizations: [org-a]\ngrants: [{ id: read-a, allow: [ViewOrgSessions] }]\nlimits: { requests: 3/h }',
        ),
        'teams/b.yaml': team(
          'b',
          'organizations: [org-b]\ngrants: [{ id: run-b, allow: [ViewOrgSessions, ManageOrgSessions] }]',
        ),
        'keys.yaml': `keys:
  - { id: key-a, scope: organization, organization: org-a, permissions: [ViewOrgSessions, ManageOrgSessions], secret: { env: KEY_A } }
  - { id: key-b, scope: organization, organization: org-b, permissions: [ViewOrgSessions, ManageOrgSessions], secret: { env: KEY_B } }
`,
      },
      env: { KEY_A: 'cog_key-a-0123456789', KEY_B: 'cog_key-b-0123456789' },
    })
  })
  afterAll(() => running.close())

  const claims = { groups: ['sso-b', 'sso-a'] }
  async function call(path: string, init: Parameters<RunningGateway['call']>[1] = {}) {
    const answer = await running.call(path, { claims, ...init })
    const id = answer.headers.get('gateway-decision')
    const found = async () => ({
      access: (await running.access()).filter((entry) => entry.decision_id === id),
      decisions: (await running.decisions()).filter((entry) => entry.decision_id === id),
    })
    await until(async () => Object.values(await found()).every((entries) => entries.length > 0), 'the records')
    return { status: answer.status, document: (await answer.json()) as Record<string, unknown>, ...(await found()) }
  }

  test('has the grants of each inside its own fence, and the team whose grant decided is charged', async () => {
    const key = () => fieldOf(running.upstream.seen.at(-1), 'authorization')
    expect(await call('/v3/organizations/org-a/sessions')).toMatchObject({
      status: 200,
      access: [{ team: 'a', key: 'key-a', organization: 'org-a' }],
      decisions: [{ teams: ['a', 'b'], team: 'a', grant: 'read-a' }],
    })
    expect(key()).toBe('Bearer cog_key-a-0123456789')
    expect(await call('/v3/organizations/org-b/sessions')).toMatchObject({
      status: 200,
      access: [{ team: 'b', key: 'key-b', organization: 'org-b' }],
      decisions: [{ teams: ['a', 'b'], team: 'b', grant: 'run-b' }],
    })
    expect(key()).toBe('Bearer cog_key-b-0123456789')
  })

  test('cannot carry a grant of one team into the fence of the other', async () => {
    const write = { method: 'POST', body: '{"prompt":"x"}', headers: { 'content-type': 'application/json' } }
    expect((await call('/v3/organizations/org-b/sessions', write)).status).toBe(200)
    const before = running.upstream.seen.length
    expect(await call('/v3/organizations/org-a/sessions', write)).toMatchObject({
      status: 403,
      document: { type: '/gateway/v1/problems/organization-not-granted' },
      decisions: [{ effect: 'deny', team: 'b' }],
    })
    expect(await call('/v3/organizations/org-c/sessions')).toMatchObject({ status: 403 })
    expect(running.upstream.seen.length).toBe(before)
  })

  test('is charged by the limits of that team alone', async () => {
    const own = { claims: { groups: ['sso-a', 'sso-b'], sub: 'other' } }
    const statuses: number[] = []
    for (let index = 0; index < 5; index++) statuses.push((await call('/v3/organizations/org-a/sessions', own)).status)
    expect(statuses).toContain(429)
    expect(statuses.at(-1)).toBe(429)
    expect(await call('/v3/organizations/org-b/sessions', own)).toMatchObject({ status: 200, access: [{ team: 'b' }] })
  })
})

describe('an issuer that is away', () => {
  let running: RunningGateway | null = null
  let issuer: Issuer | null = null
  afterEach(async () => {
    await running?.close()
    await issuer?.stop()
  })

  test('at the start: the gateway runs, is not ready and says why, refuses with 503, and recovers', async () => {
    issuer = await startIssuer()
    const down = issuer
    await down.stop()
    const gateway = await startTestGateway({ issuer: down, awaitReady: false })
    running = gateway
    await until(
      () => /^[^,]*connection[^,]*$/.test(gateway.gateway.readiness().reasons.join()),
      'the first attempt to fail',
    )
    const ready = await fetch(`${gateway.adminUrl}/readyz`)
    expect([ready.status, await ready.json()]).toEqual([
      503,
      {
        ready: false,
        reasons: [
          `no signing keys of issuer ${down.issuer} yet: GET ${down.issuer}/jwks: connection failed (ECONNREFUSED)`,
        ],
      },
    ])
    expect((await fetch(`${gateway.adminUrl}/livez`)).status).toBe(200)
    const answer = await gateway.call(sessions)
    expect(answer.status).toBe(503)
    expect(answer.headers.get('retry-after')).toBe('5')
    expect(answer.headers.get('www-authenticate')).toBeNull()
    const id = answer.headers.get('gateway-decision')
    expect(await answer.json()).toEqual({
      type: '/gateway/v1/problems/identity-provider-unavailable',
      title: 'The token cannot be checked at the moment',
      status: 503,
      detail:
        'The token cannot be checked at the moment, because the signing keys of its issuer could not be fetched. Try again in 5 seconds.',
      instance: `urn:uuid:${id}`,
      reason: 'signing-keys-unavailable',
      decision_id: id,
    })
    expect(gateway.upstream.seen).toEqual([])
    expect(gateway.logLines.join('')).toContain('signing keys could not be fetched')
    await down.restart()
    await until(() => gateway.gateway.readiness().ready, 'the issuer to be found')
    expect((await gateway.call(sessions)).status).toBe(200)
    expect((await fetch(`${gateway.adminUrl}/readyz`)).status).toBe(200)
  })

  test('later: known keys keep working, an unknown one is 503 and never 401, and it recovers', async () => {
    issuer = await startIssuer()
    const own = issuer
    const gateway = await startTestGateway({ issuer: own })
    running = gateway
    const known = await gateway.token()
    expect((await gateway.call(sessions, { token: known })).status).toBe(200)
    await own.stop()
    expect((await gateway.call(sessions, { token: known })).status).toBe(200)
    expect((await gateway.call(sessions, { token: await gateway.token({ sub: 'new' }) })).status).toBe(200)
    await own.rotate()
    const fresh = await gateway.token({ sub: 'newer' })
    const before = own.requests.length
    for (let index = 0; index < 3; index++) {
      const refused = await gateway.call(sessions, { token: fresh })
      expect([refused.status, await refused.json()]).toMatchObject([
        503,
        { type: '/gateway/v1/problems/identity-provider-unavailable' },
      ])
    }
    expect(own.requests.length).toBe(before)
    expect(gateway.gateway.readiness()).toMatchObject({ ready: true, reasons: [] })
    expect((await gateway.call(sessions, { token: known })).status).toBe(200)
    await own.restart()
    await until(async () => (await gateway.call(sessions, { token: fresh })).status === 200, 'the new key')
  })

  test('but publishes nothing usable: known keys stay, operators see until when, and it recovers without traffic', async () => {
    issuer = await startIssuer()
    const own = issuer
    const gateway = await startTestGateway({ issuer: own })
    running = gateway
    own.respond('/jwks', (_, response) => {
      response.sendDate = false
      response.writeHead(200, { date: new Date(Date.now() + 600_000).toUTCString() }).end('{"keys":[]}')
    })
    // A signature that does not fit makes the gateway look at the set again.
    const { privateKey } = await generateKeyPair('ES256')
    const forged = await gateway.token({}, { key: privateKey })
    expect((await gateway.call(sessions, { token: forged })).status).toBe(401)
    expect((await gateway.call(sessions, { token: await gateway.token({ sub: 'new' }) })).status).toBe(200)
    expect(gateway.gateway.readiness()).toEqual({
      ready: true,
      reasons: [],
      notes: [
        `the signing keys of issuer ${own.issuer} are less than a minute old and cannot be renewed: GET ${own.jwksUri}: no usable key in it; they are given up in 23 h`,
        expect.stringMatching(/^the clock of issuer .* is (599|60[01]) s ahead, more than clock_tolerance/),
      ],
    })
    const metrics = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
    const of = (name: string) => new RegExp(`^${name}.* (\\S+)$`, 'm').exec(metrics)?.[1]
    expect([of('gateway_jwks_keys'), of('gateway_jwks_failing')]).toEqual(['1', '1'])
    expect(metrics).toMatch(/gateway_jwks_fetches_total\{.*result="fetched"\} 1\n.*result="failed"\} [1-9]/)
    expect(Math.round(Number(of(`gateway_clock_skew_seconds\\{peer="${own.issuer}"`)) / 10)).toBe(60)
    expect(Number(of('gateway_jwks_age_seconds'))).toBeGreaterThan(0)
    expect(gateway.logLines.join('')).toContain('"event":"signing-keys-failed"')
    own.respond('/jwks', null)
    await until(() => gateway.gateway.readiness().notes === undefined, 'the keys to be renewed')
    expect(gateway.logLines.join('')).toContain('signing keys fetched')
  })

  test('in its senses: a key set that is no key set any more does not take the known keys away', async () => {
    issuer = await startIssuer()
    const own = issuer
    const gateway = await startTestGateway({ issuer: own })
    running = gateway
    await gateway.call(sessions)
    for (const junk of ['<html>login</html>', '{"keys":{}}', '[]', '{"keys":[{"kty":"oct","k":"c2VjcmV0"}]']) {
      own.respond('/jwks', (_request, response) => response.writeHead(200).end(junk))
      await own.rotate()
      const refused = await gateway.call(sessions)
      expect(refused.status, junk).toBe(503)
    }
    expect(
      (
        await gateway.call(sessions, {
          token: await own.sign({ groups: paymentsGroups }, { header: { kid: 'key-1' } }),
        })
      ).status,
    ).toBe(401)
    expect(gateway.gateway.readiness().ready).toBe(true)
  })
})
