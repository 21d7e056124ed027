// Paths that two servers could read differently, byte for byte over sockets: what is refused reaches nobody, what is
// accepted arrives as it was sent. Cases from the advisories on Envoy, Traefik, APISIX, Oathkeeper, Fastify and others.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startTestGateway, type RunningGateway } from '../support/start-gateway.ts'
import { ask, askAll, kindOf, problemOf, sidesOf, type ThreeSides } from '../support/three-sides.ts'
import { fieldOf } from '../support/upstream.ts'

const org = '/v3/organizations/org-payments'
const repositories = '/v3beta1/organizations/org-payments/repositories'
let running: RunningGateway

// A team that may do everything everywhere, so that only the path itself can be the reason of a refusal.
beforeAll(async () => {
  running = await startTestGateway({
    policies: {
      'teams/everything.yaml': `team: everything
members:
  - groups: [sso-payments-eng]
organizations: all
default_organization: org-payments
grants:
  - id: everything
    allow: [org.*, ent.*, beta.*]
cache: { at_most: 0s }
`,
      'keys.yaml': `keys:
  - id: everything
    scope: enterprise
    permissions: [ViewOrgSessions, ManageOrgSessions, UseDevinSessions, Read, IndexOrgRepositories, ManageAccountMembership, ViewAccountSessions, ManageEnterpriseSettings, ManageOrganizations]
    serves_organizations: all
    secret: { env: PAYMENTS_RUNNER_KEY }
`,
    },
  })
})
afterAll(() => running.close())
beforeEach(() => {
  running.upstream.seen.length = 0
})

const ambiguous: readonly (readonly [name: string, target: string])[] = [
  ['a dot segment', '/v3/organizations/./sessions'],
  ['a final dot segment', `${org}/sessions/.`],
  ['a parent segment', '/v3/organizations/x/../../enterprise/audit-logs'],
  ['a final parent segment', `${org}/sessions/..`],
  ['a parent segment at the start', '/../v3/self'],
  ['an escaped dot', '/v3/organizations/%2e/sessions'],
  ['an escaped parent', '/v3/organizations/x/%2e%2e/%2e%2e/enterprise/audit-logs'],
  ['an escaped parent in capitals', '/v3/organizations/x/%2E%2E/%2E%2E/enterprise/audit-logs'],
  ['a half escaped parent', '/v3/organizations/x/.%2e/%2E./enterprise/audit-logs'],
  ['an empty segment', '/v3/organizations//sessions'],
  ['an empty segment at the start', '//v3/self'],
  ['another authority in a path', '//evil.example/v3/self'],
  ['an empty segment before a literal', '/v3//enterprise/audit-logs'],
  ['a final slash', '/v3/self/'],
  ['two final slashes', '/v3/self//'],
  ['a backslash between segments', '/v3\\enterprise\\audit-logs'],
  ['a backslash in a parameter', '/v3/organizations/o1\\members\\u1/sessions'],
  ['a backslash and dots (CVE-2026-85124)', '/v3/organizations/x\\..\\..\\enterprise/audit-logs'],
  ['an escaped backslash', '/v3/organizations/o1%5cmembers%5Cu1/sessions'],
  ['an escaped backslash and dots', '/v3/organizations/x%5c..%5c../sessions'],
  ['a semicolon at the end', '/v3/self;x=1'],
  ['a semicolon on a literal', '/v3/enterprise/audit-logs;jsessionid=1'],
  ['a semicolon in a parameter', '/v3/organizations/org-payments;x/sessions'],
  ['a semicolon and dots', '/v3/organizations/..;/enterprise/audit-logs'],
  ['an escaped semicolon', '/v3/organizations/org-payments%3bx/sessions'],
  ['an escaped semicolon in capitals', '/v3/enterprise/audit-logs%3B'],
  ['an escaped NUL', '/v3/organizations/org-payments%00/sessions'],
  ['an escaped NUL before an extension', `${org}/sessions%00.json`],
  ['an escaped line break', '/v3/organizations/x%0d%0aHost:%20evil/sessions'],
  ['an escaped tab', '/v3/organizations/x%09/sessions'],
  ['an escaped DEL', '/v3/organizations/x%7f/sessions'],
  ['an escaped C1 control', '/v3/organizations/x%C2%85/sessions'],
  ['a double escaped parent', '/v3/organizations/x/%252e%252e/sessions'],
  ['a double escaped slash', '/v3/organizations/x%252f..%252fy/sessions'],
  ['a double escaped backslash', '/v3/organizations/x%255c/sessions'],
  ['a triple escape', '/v3/organizations/x%25252e/sessions'],
  ['a malformed escape', '/v3/organizations/%zz/sessions'],
  ['an unfinished escape', `${org}/sessions/%2`],
  ['a lone percent sign', '/v3/organizations/100%/sessions'],
  ['an IIS escape', '/v3/organizations/%u002e%u002e/sessions'],
  ['an escape that is not UTF-8', '/v3/organizations/%ff/sessions'],
  ['an overlong dot', '/v3/organizations/%C0%AE%C0%AE/sessions'],
  ['an overlong slash', '/v3/organizations/x%C0%AFy/sessions'],
  ['an overlong slash of three bytes', '/v3/organizations/x%E0%80%AFy/sessions'],
  ['an escaped surrogate', '/v3/organizations/%ED%A0%80/sessions'],
  ['a fragment', '/v3/self#x'],
  ['a fragment in a query', '/v3/self?a=b#c'],
  ['a fragment that hides a path', `${org}/sessions#/../../enterprise/audit-logs`],
  ['an escaped slash in an organization id', '/v3/organizations/a%2fb/sessions'],
  ['an escaped slash in capitals', '/v3/organizations/a%2Fb/sessions'],
  ['an escaped climb in an organization id', '/v3/organizations/a%2F..%2Fb/sessions'],
  ['an escaped slash instead of a slash', '/v3/organizations%2Forg-payments/sessions'],
  ['an escaped slash that ends an organization id', '/v3/organizations/org-payments%2fsessions'],
  ['an escaped slash in a session id', `${org}/sessions/devin-1%2Fmessages`],
  ['an escaped query (CVE-2026-120213)', `${org}/sessions/devin-1%2Fsecrets%3Fx`],
  ['a climb in a repository path', `${repositories}/corp%2F..%2F..%2Fsecret/indexing`],
  ['a dot in a repository path', `${repositories}/corp%2F.%2Fx/indexing`],
  ['an empty part of a repository path', `${repositories}/corp%2F%2Fx/indexing`],
  ['a repository path that starts with a slash', `${repositories}/%2Fcorp/indexing`],
  ['a repository path that ends with a slash', `${repositories}/corp%2F/indexing`],
  ['a double escaped slash in a repository path', `${repositories}/corp%252Fx/indexing`],
  ['an absolute address of another host', 'http://evil.example/v3/self'],
  ['an absolute address with user information', 'http://x@gateway.example/v3/self'],
  ['an absolute address whose user is our name', 'http://gateway.example@evil.example/v3/self'],
  ['an absolute address of another port', 'http://gateway.example:81/v3/self'],
  ['an absolute address of another scheme', 'file://gateway.example/v3/self'],
  ['an absolute address with a climb', 'http://gateway.example/v3/organizations/../self'],
  ['an absolute address without a path and with a query', 'http://gateway.example?/v3/self'],
  ['an asterisk', '*'],
]

describe('a path is refused as ambiguous and reaches nobody', () => {
  let sides: Map<string, ThreeSides>
  beforeAll(async () => {
    sides = await askAll(
      running,
      ambiguous.map(([name, target]) => ({ name, target })),
    )
  })

  test.each(ambiguous)('%s: %s', (name, target) => {
    const { answer, seen, access, decisions } = sidesOf(sides, name)
    expect(seen).toEqual([])
    // An absolute address without a path names the root, which is no operation.
    const expected = target.startsWith('http://gateway.example?') ? ['unknown-operation', 403] : ['ambiguous-path', 400]
    expect([kindOf(answer), answer.status]).toEqual(expected)
    expect(access).toHaveLength(1)
    expect(decisions).toHaveLength(1)
    const path = target.startsWith('/') ? target.split('?')[0] : expected[0] === 'unknown-operation' ? '/' : null
    expect(access[0]).toMatchObject({ outcome: 'refused', key: null, upstream_status: null, path })
    expect(decisions[0]).toMatchObject({ effect: 'deny', decision_id: problemOf(answer).decision_id })
  })
})

const bytes: readonly (readonly [name: string, target: Buffer])[] = [
  ['a byte above ~', Buffer.from('/v3/organizations/\u00e9/sessions', 'latin1')],
  ['UTF-8 that is not escaped', Buffer.from('/v3/organizations/\u00e9/sessions', 'utf8')],
  ['a raw DEL', Buffer.from('/v3/organizations/\u007f/sessions', 'latin1')],
  ['a raw control byte', Buffer.from('/v3/organizations/\u0001/sessions', 'latin1')],
  ['a raw NUL', Buffer.from('/v3/organizations/\u0000/sessions', 'latin1')],
  ['a raw tab', Buffer.from('/v3/organizations/\t/sessions', 'latin1')],
  ['a space', Buffer.from('/v3/organizations/a b/sessions', 'latin1')],
]

describe('a target with bytes that no address has is refused and reaches nobody', () => {
  let sides: Map<string, ThreeSides>
  beforeAll(async () => {
    sides = await askAll(
      running,
      bytes.map(([name, target]) => ({ name, target })),
    )
  })

  test.each(bytes)('%s', (name) => {
    const { answer, seen, access, decisions } = sidesOf(sides, name)
    expect(answer.status).toBe(400)
    expect(['ambiguous-path', 'malformed-request']).toContain(kindOf(answer))
    expect(seen).toEqual([])
    expect([access.length, decisions.length]).toEqual([1, 1])
  })
})

const unknown: readonly (readonly [name: string, target: string])[] = [
  ['the root', '/'],
  ['capitals', '/V3/Enterprise/audit-logs'],
  ['capitals in one literal', '/v3/Self'],
  ['an escaped letter (CVE-2026-22037, CVE-2026-16117)', '/v3/enterprise/%61udit-logs'],
  ['an escaped letter of the prefix', '/v3/%65nterprise/audit-logs'],
  ['every letter escaped', '/v3/%73%65%6c%66'],
  ['an escaped hyphen', '/v3/enterprise/audit%2dlogs'],
  ['an extension', '/v3/enterprise/audit-logs.json'],
  ['a longer path', '/v3/self/more'],
  ['a shorter path', '/v3/organizations/org-payments/x'],
  ['another generation', '/v4/self'],
  ['an internal-looking path', '/internal/metrics'],
  ["the operators' paths", '/metrics'],
  ["the operators' API", '/api/reload'],
  ['another page of ours', '/gateway/v1/status'],
  ['a page of ours in capitals', '/Gateway/v1/me'],
  ['an escaped page of ours', '/gateway/v1/%6de'],
  ['a property name', '/__proto__/constructor'],
  ['a property name as a kind', '/gateway/v1/problems/constructor'],
]

describe('a path is no operation and reaches nobody', () => {
  let sides: Map<string, ThreeSides>
  beforeAll(async () => {
    sides = await askAll(
      running,
      unknown.map(([name, target]) => ({ name, target })),
    )
  })

  test.each(unknown)('%s: %s', (name) => {
    const { answer, seen, access, decisions } = sidesOf(sides, name)
    expect(seen).toEqual([])
    expect([403, 400]).toContain(answer.status)
    expect(['unknown-operation', 'ambiguous-path']).toContain(kindOf(answer))
    expect([access.length, decisions.length]).toEqual([1, 1])
  })

  test('an anonymous caller learns nothing about which paths exist', async () => {
    const known = await ask(running, 'GET', '/v3/self', { token: null })
    const unknown = await ask(running, 'GET', '/v4/self', { token: null })
    expect([known.answer.status, unknown.answer.status]).toEqual([401, 401])
    expect(problemOf(known.answer).detail).toBe(problemOf(unknown.answer).detail)
  })
})

const accepted: readonly (readonly [name: string, method: string, target: string])[] = [
  ['a raw vertical bar', 'GET', '/v3/enterprise/members/users/auth0|abc'],
  ['an escaped vertical bar', 'GET', '/v3/enterprise/members/users/auth0%7Cabc'],
  ['an escaped vertical bar in small letters', 'GET', '/v3/enterprise/members/users/auth0%7cabc'],
  ['an at sign and a plus', 'GET', '/v3/enterprise/members/users/a+b@corp.example'],
  ['an escaped plus', 'GET', '/v3/enterprise/members/users/a%2Bb%40corp.example'],
  ['escaped UTF-8', 'GET', '/v3/enterprise/members/users/%C3%BC'],
  ['everything a segment may hold', 'GET', "/v3/enterprise/members/users/!$&'()*+,=:@-._~"],
  ['an escaped percent sign', 'GET', '/v3/enterprise/members/users/100%25'],
  ['an escaped question mark and hash', 'GET', '/v3/enterprise/members/users/a%3Fb%23c'],
  ['three dots', 'GET', `${org}/sessions/...`],
  ['a long segment', 'GET', `${org}/sessions/${'x'.repeat(3000)}`],
  ['a space in a file name', 'GET', `${org}/attachments/u1/a%20b.txt`],
  ['a repository path', 'GET', `${repositories}/corp%2Fpayments%2Fapi/indexing`],
  ['a repository path in small letters', 'PUT', `${repositories}/corp%2fpayments/indexing`],
  ['a repository path and a branch', 'DELETE', `${repositories}/corp%2Fapi/indexing/branches/feature%2Fx%2By`],
  ['an IdP group', 'GET', '/v3/enterprise/members/idp-groups/CN=eng%2Fpayments'],
  ['an organization id with unusual letters', 'GET', '/v3/organizations/org_1~x:y/sessions'],
  ['a query that holds anything', 'GET', `${org}/sessions?x=/../..//%2F%zz|;a=1&a=2&&=&b`],
  ['a query with escapes that are not UTF-8', 'GET', `${org}/sessions?x=%ff%C0%AE`],
  ['a query with a second question mark', 'GET', `${org}/sessions?a=b?c=d`],
]

describe('a path is accepted and arrives byte for byte', () => {
  let sides: Map<string, ThreeSides>
  beforeAll(async () => {
    sides = await askAll(
      running,
      accepted.map(([name, method, target]) => ({ name, method, target })),
    )
  })

  test.each(accepted)('%s', (name, method, target) => {
    const { answer, seen, access } = sidesOf(sides, name)
    expect(answer.status, answer.body).toBe(200)
    expect(seen.map((each) => [each.method, each.target])).toEqual([[method, target]])
    expect(access).toHaveLength(1)
    // The address of a known operation is no business of the log.
    expect(access[0]).toMatchObject({ path: null, outcome: 'forwarded' })
  })

  test("in absolute form of our own authority, and goes on in origin form under the upstream's own name", async () => {
    const { answer, seen } = await ask(running, 'GET', `http://gateway.example${org}/sessions?a=b`)
    expect(answer.status).toBe(200)
    expect(seen[0]?.target).toBe(`${org}/sessions?a=b`)
    expect(fieldOf(seen[0], 'host')).toBe(new URL(running.upstream.origin).host)
  })

  test('whatever Host the caller names, the upstream sees its own', async () => {
    const { seen } = await ask(running, 'GET', `${org}/sessions`, { fields: ['Host: anything.example:99'] })
    expect(fieldOf(seen[0], 'host')).toBe(new URL(running.upstream.origin).host)
  })
})

describe('methods', () => {
  test.each(['OPTIONS', 'TRACE', 'PATCH', 'PUT', 'PROPFIND', 'M-SEARCH', 'PURGE', 'LINK', 'SEARCH'])(
    '%s of a path that has none is refused and reaches nobody',
    async (method) => {
      const { answer, seen, access, decisions } = await ask(running, method, '/v3/self')
      expect([answer.status, kindOf(answer)]).toEqual([403, 'unknown-operation'])
      expect(seen).toEqual([])
      expect([access.length, decisions.length]).toEqual([1, 1])
    },
  )

  test.each(['OPTIONS *', 'get /v3/self', 'GETX /v3/self', 'G\u00c9T /v3/self', '" /v3/self'])(
    '%s is refused and leaves one record of each',
    async (line) => {
      const [method = '', target = ''] = line.split(' ')
      const { answer, seen, access, decisions } = await ask(running, method, target)
      expect(answer.status).toBe(400)
      expect(seen).toEqual([])
      expect([access.length, decisions.length]).toEqual([1, 1])
    },
  )

  test('CONNECT makes no tunnel', async () => {
    const { answer, seen, access, decisions } = await ask(running, 'CONNECT', 'internal.example:443')
    expect(answer.status).toBeGreaterThanOrEqual(400)
    expect(answer.status).toBeLessThan(500)
    expect(answer.fields['content-type']).toBe('application/problem+json')
    expect(seen).toEqual([])
    expect([access.length, decisions.length]).toEqual([1, 1])
  })

  test('no field turns one method into another', async () => {
    const { seen } = await ask(running, 'GET', `${org}/sessions/devin-1?_method=DELETE`, {
      fields: ['X-HTTP-Method-Override: DELETE', 'X-HTTP-Method: DELETE', 'X-Method-Override: DELETE'],
    })
    expect(seen[0]?.method).toBe('GET')
    expect(seen[0]?.rawHeaders.join(' ')).not.toContain('DELETE')
  })

  test('HEAD is decided and forwarded as GET is, and has no body', async () => {
    const { answer, seen, access } = await ask(running, 'HEAD', `${org}/sessions`)
    expect([answer.status, answer.body]).toEqual([200, ''])
    expect(seen[0]?.method).toBe('HEAD')
    expect(access[0]).toMatchObject({ operation: 'org.sessions.list', method: 'HEAD' })
  })

  test('a refused HEAD has the status and no body', async () => {
    const { answer } = await ask(running, 'HEAD', '/v4/self')
    expect([answer.status, answer.body]).toEqual([403, ''])
    expect(answer.fields['content-type']).toBe('application/problem+json')
  })
})

describe('addresses of older generations name what replaces them', () => {
  test.each([
    ['GET', '/v1/sessions', 'GET /v3/organizations/{org_id}/sessions'],
    ['POST', '/v1/sessions', 'POST /v3/organizations/{org_id}/sessions'],
    ['POST', '/v1/session/devin-1/message', 'POST /v3/organizations/{org_id}/sessions/{devin_id}/messages'],
    ['GET', '/v2/enterprise/audit-logs', 'GET /v3/enterprise/audit-logs'],
    ['GET', '/v2/enterprise/members/u1', 'GET /v3/enterprise/members/users/{user_id}'],
    ['HEAD', '/v1/sessions', null],
    ['GET', '/v1/unheard-of', null],
  ])('%s %s', async (method, target, replacement) => {
    const { answer, seen } = await ask(running, method, target)
    expect(answer.status).toBe(403)
    expect(answer.fields['content-type']).toBe('application/problem+json')
    expect(seen).toEqual([])
    if (replacement !== null) expect(problemOf(answer).detail).toContain(replacement)
  })
})
