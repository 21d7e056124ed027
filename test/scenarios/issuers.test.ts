// Every page of docs/identity/: its token, its configuration and its sample team on the real gateway, with real keys behind
// a key-set server; all pages at once, so that no issuer's tokens count for another team.

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DecisionEntry } from '../../src/records/entries.ts'
import { sendJson } from '../support/issuer.ts'
import { overview, readIssuerPages, usualRequest, type IssuerPage, type PageRow } from '../support/issuer-pages.ts'
import { startTestGateway, type RunningGateway } from '../support/start-gateway.ts'

const pages = readIssuerPages()
const keys = new Map<string, CryptoKey>()
const sets = new Map<string, unknown>()
const keyServer = createServer((request, response) => sendJson(response, sets.get(request.url?.slice(1) ?? '') ?? {}))
let running: RunningGateway
let results: ReadonlyMap<PageRow, Result>

beforeAll(async () => {
  for (const { name } of pages) {
    const { publicKey, privateKey } = await generateKeyPair('RS256')
    keys.set(name, privateKey)
    // As most vendors publish them, without `alg`.
    sets.set(name, { keys: [{ ...(await exportJWK(publicKey)), kid: `${name}-1`, use: 'sig' }] })
  }
  await new Promise<void>((resolve) => void keyServer.listen(0, '127.0.0.1', resolve))
  running = await startTestGateway({
    issuerConfig: pages.map(withOurKeys).join('\n'),
    policies: {
      'teams/payments.yaml': `team: payments\norganizations: [org-payments]\n${delegationSample()}`,
      'teams/analytics.yaml': null,
      ...Object.fromEntries(pages.map(({ name, team }) => [`teams/${name}.yaml`, team])),
      ...Object.fromEntries(pages.map(({ name, tests }) => [`${name}.test.yaml`, tests])),
    },
  })
  results = await sendAll()
})

afterAll(async () => {
  keyServer.close()
  await running.close()
})

/** The configuration of a page with the address of our key set in the place of the vendor's. */
function withOurKeys({ name, issuers }: IssuerPage): string {
  const { port } = keyServer.address() as AddressInfo
  return issuers.replace(/^ +jwks_uri: .*\n/m, '').replace(/^( +)- issuer: .*\n/m, (line, indent: string) => {
    return `${line}${indent}  jwks_uri: http://127.0.0.1:${port}/${name}\n`
  })
}

/** Members and grants of the overview's sample about tokens with `act`. */
function delegationSample(): string {
  const sample = /## Who acts for the subject[^]*?```yaml\n([^]*?)```/.exec(overview)?.[1]
  if (sample === undefined) throw new Error('docs/identity.md has no sample about tokens with act')
  return sample
}

/** Signed like the vendor's, and as old as if it had just been issued. */
function sign(page: string, token: Readonly<Record<string, unknown>>, header: object = {}): Promise<string> {
  const key = keys.get(page)
  if (key === undefined) throw new Error(`no key of ${page}`)
  const laterS = Math.floor(Date.now() / 1000) - Number(token['iat'])
  const now = Object.entries(token).map(([name, value]) => [
    name,
    ['iat', 'nbf', 'exp', 'auth_time'].includes(name) ? Number(value) + laterS : value,
  ])
  return new SignJWT(Object.fromEntries(now))
    .setProtectedHeader({ alg: 'RS256', kid: `${page}-1`, typ: 'JWT', ...header })
    .sign(key)
}

test('there is a page for each kind of issuer, and the overview names each', () => {
  expect(pages.map(({ name }) => name)).toEqual([
    'auth0',
    'devin',
    'entra-id',
    'github-actions',
    'gitlab-ci',
    'google',
    'keycloak',
    'kubernetes',
    'okta',
  ])
  for (const { name } of pages) expect(overview).toContain(`(identity/${name}.md)`)
})

interface Result {
  readonly answer: Response
  readonly text: string
  readonly decision: DecisionEntry
}

/** Sends the requests of all pages first, because records come in their own time. */
async function sendAll(): Promise<ReadonlyMap<PageRow, Result>> {
  const answers = new Map<PageRow, Omit<Result, 'decision'>>()
  for (const { name, rows } of pages)
    for (const row of rows) {
      const { token, header, method, path } = row
      const answer = await running.call(path, {
        method,
        token: await sign(name, token, header),
        // So that each request that is allowed is sent.
        headers: { 'cache-control': 'no-cache', 'content-type': 'application/json' },
        ...(method === 'POST' ? { body: '{"prompt":"x"}' } : {}),
      })
      answers.set(row, { answer, text: await answer.text() })
    }
  await running.settled()
  const decisions = new Map((await running.decisions()).map((decision) => [decision.decision_id, decision]))
  return new Map(
    [...answers].flatMap(([row, { answer, text }]) => {
      const decision = decisions.get(answer.headers.get('gateway-decision') ?? '')
      return decision === undefined ? [] : [[row, { answer, text, decision }] as const]
    }),
  )
}

function resultOf(row: PageRow): Result {
  const result = results.get(row)
  if (result === undefined) throw new Error('no record')
  return result
}

describe.each(pages)('the page $name', ({ name, token, sees, rows }) => {
  test('says whom the gateway sees in its token, and that it is of no other team', async () => {
    const bearer = await sign(name, token)
    const me = (await (await running.call('/gateway/v1/me', { token: bearer })).json()) as {
      subject: string
      email: string | null
      groups: string[]
      app: string | null
      teams: { team: string }[]
    }
    const { subject, email, groups, app, teams } = me
    expect(teams).toHaveLength(1)
    expect({ subject, email, groups, app, team: teams[0]?.team }).toEqual(sees)
  })

  test.each(rows)('$title: $status', (row) => {
    const { status, refusal, near } = row
    const { answer, text, decision } = resultOf(row)
    expect([answer.status, decision.reason]).toEqual([status, refusal?.reason ?? 'granted'])
    expect(decision.ended.sent).toBe(refusal === null)
    if (refusal !== null) expect(JSON.parse(text)).toMatchObject({ type: `/gateway/v1/problems/${refusal.kind}` })
    if (near) expect(decision.nearest ?? decision.token_seen?.near).toMatch(/ differs from | matches but for /)
  })

  test('trusts no key of another issuer', async () => {
    const [other = ''] = pages.flatMap((page) => (page.name === name ? [] : [page.name]))
    const answer = await running.call('/v3/self', { token: await sign(other, token, { kid: `${name}-1` }) })
    expect(answer.status).toBe(401)
  })
})

describe('a token with `act`', () => {
  const ask = async (act: unknown, groups: readonly string[], method = 'GET', more: object = {}) => {
    const [page] = pages.filter(({ name }) => name === 'keycloak')
    const answer = await running.call(usualRequest.path, {
      method,
      token: await sign('keycloak', { ...page?.token, groups, act, ...more }),
      headers: { 'content-type': 'application/json' },
      ...(method === 'POST' ? { body: '{"prompt":"x"}' } : {}),
    })
    const text = await answer.text()
    const { decision } = await running.recordsOf(answer.headers.get('gateway-decision'))
    return { status: answer.status, text, decision }
  }
  const eng = ['sso-payments-eng']
  const leads = ['sso-payments-eng', 'payments-leads']

  test('of an agent that the team names is allowed, and both are recorded', async () => {
    const { status, decision } = await ask({ sub: 'code-agent', act: { sub: 'planner', act: { sub: 'cron' } } }, eng)
    expect(status).toBe(200)
    expect(decision).toMatchObject({ team: 'payments', actor: 'code-agent', prior_actors: ['planner', 'cron'] })
    const alone = await ask(undefined, eng)
    expect(alone.status).toBe(200)
    expect(alone.decision).toMatchObject({ actor: null })
    expect(alone.decision).not.toHaveProperty('prior_actors')
  })

  test.each<[string, unknown]>([
    ['another agent', { sub: 'other-agent' }],
    ['one that the named agent acts for', { sub: 'other-agent', act: { sub: 'code-agent' } }],
  ])('of %s is of no team', async (_, act) => {
    const { status, decision } = await ask(act, eng)
    expect([status, decision.reason]).toEqual([403, 'no-team'])
  })

  test('does not get what a grant gives to people themselves, and hears why', async () => {
    expect((await ask(undefined, leads, 'POST')).status).toBe(200)
    const { status, text, decision } = await ask({ sub: 'code-agent' }, leads, 'POST')
    expect([status, decision.reason]).toEqual([403, 'not-granted'])
    expect(text).toContain('nobody who acts for the subject')
  })

  test('that says only who may act is of its subject alone', async () => {
    const { status, decision } = await ask(undefined, leads, 'POST', { may_act: { sub: 'other-agent' } })
    expect([status, decision.actor]).toEqual([200, null])
  })

  test.each<[string, unknown]>([
    ['a text', 'code-agent'],
    ['no `sub`', { client_id: 'code-agent' }],
    ['no `sub` inside', { sub: 'code-agent', act: { iss: 'x' } }],
  ])('of %s is refused: nobody knows who calls', async (_, act) => {
    const { status, text, decision } = await ask(act, eng)
    expect([status, decision.reason]).toEqual([403, 'claim-shape'])
    expect(JSON.parse(text)).toMatchObject({ detail: expect.stringContaining('`act`') })
  })

  test('leaves names masked and escaped in the record', async () => {
    const act = { sub: 'cog_planted-in-an-actor-0123456789', act: { sub: '\u202egnp.exe\n' } }
    const { decision } = await ask(act, eng)
    expect(decision).toMatchObject({ actor: 'cog_[masked]', prior_actors: ['\\u202egnp.exe\\u000a'] })
    expect(await running.everything()).not.toContain('planted-in-an-actor')
  })

  test('is told by the own pages', async () => {
    const [page] = pages.filter(({ name }) => name === 'keycloak')
    const token = await sign('keycloak', { ...page?.token, groups: eng, act: { sub: 'code-agent' } })
    expect(await (await running.call('/gateway/v1/me', { token })).json()).toMatchObject({ actor: 'code-agent' })
    const explained = await running.call(
      `/gateway/v1/explain?method=GET&path=${encodeURIComponent(usualRequest.path)}`,
      {
        token,
      },
    )
    expect(await explained.text()).toContain('for whom code-agent acts')
  })
})
