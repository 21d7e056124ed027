// What an SDK relies on: addresses as operators write them, who am I first, error texts, odd but common request traits.

import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openCompany, organization, type Company } from './company.ts'
import { ApiError, messageOf, Sdk, type Message, type Page, type Self, type Session } from './sdk.ts'
import { curlInstalled, curlWire, fetchWire, openPool, type Wire } from './wires.ts'

const pool = openPool(4)
const wires: readonly { readonly name: string; readonly wire: Wire }[] = [
  { name: 'fetch', wire: fetchWire },
  { name: 'a pool of connections', wire: pool.wire },
  ...(curlInstalled ? [{ name: 'curl', wire: curlWire }] : []),
]

let company: Company
let token: string
beforeAll(async () => {
  company = await openCompany()
  token = await company.token('builder')
})
afterAll(async () => {
  pool.close()
  await company.close()
})

const sessions = `/v3/organizations/${organization}/sessions`
const sdk = (wire: Wire, bearer = token): Sdk => new Sdk({ base: company.base, token: bearer, wire })

async function failure(work: Promise<unknown>): Promise<ApiError> {
  const error: unknown = await work.then(
    () => null,
    (reason: unknown) => reason,
  )
  if (error instanceof ApiError) return error
  throw new Error('it did not fail as an API answer does', { cause: error })
}

describe.each(wires)('an SDK over $name', ({ wire }) => {
  it('asks who it is first and builds every later path on the organization it finds', async () => {
    const devin = sdk(wire)
    const self = await devin.call<Self>('GET', '/v3/self')
    expect(self).toMatchObject({ principal_type: 'service_user', org_id: organization })
    const list = await devin.call<Page<Session>>('GET', `/v3/organizations/${self.org_id}/sessions`)
    expect(list.items.map(({ org_id }) => org_id)).toContain(organization)
  })

  it('reads a created session back at once, by its id with and without the prefix', async () => {
    const devin = sdk(wire)
    const { session_id } = await devin.call<Session>('POST', sessions, { json: { prompt: 'go', tags: ['a b', 'c&d'] } })
    const bare = session_id.replace(/^devin-/, '')
    for (const id of [bare, `devin-${bare}`]) {
      expect(await devin.call<Session>('GET', `${sessions}/${id}`)).toMatchObject({ session_id, tags: ['a b', 'c&d'] })
    }
  })

  it('gets text of every script back as it was sent', async () => {
    const devin = sdk(wire)
    const prompt = 'Grüße, 你好, 🎉 \u2028 "quoted" \\ \u0000'
    const { session_id } = await devin.call<Session>('POST', sessions, { json: { prompt } })
    const page = await devin.call<Page<Message>>('GET', `${sessions}/${session_id}/messages`)
    expect(page.items.map(({ message }) => message)).toEqual([prompt])
  })

  it('posts without a body and yet with a JSON type', async () => {
    const devin = sdk(wire)
    const { session_id } = await devin.call<Session>('POST', sessions, { json: { prompt: 'go' } })
    expect(await devin.call('POST', `${sessions}/${session_id}/archive`)).toMatchObject({ is_archived: true })
  })

  it('deletes without a body and yet with a JSON type', async () => {
    const devin = sdk(wire)
    const { session_id } = await devin.call<Session>('POST', sessions, { json: { prompt: 'go' } })
    expect(await devin.call('DELETE', `${sessions}/${session_id}`)).toMatchObject({ status: 'exit' })
  })

  it('repeats names in a query, and Devin gets the query byte for byte', async () => {
    const query = 'tags=b%2Bc&tags=a%20b&tags=a+b&session_ids=devin-x&unknown=%7C%26&first=5'
    company.arrived()
    const { status } = await sdk(wire).ask('GET', `${sessions}?${query}`)
    expect(status).toBe(200)
    expect(company.arrived().map(({ target }) => target)).toEqual([`${sessions}?${query}`])
  })

  it('sends its own User-Agent on to Devin, of an idempotency key only what stands for it there, and the fields of its runtime do no harm', async () => {
    company.arrived()
    const key = randomUUID()
    await sdk(wire).call('POST', sessions, {
      json: { prompt: 'go', idempotent: true },
      headers: {
        'user-agent': 'suite/1.0',
        'idempotency-key': key,
        'x-stainless-lang': 'js',
        'sec-fetch-mode': 'cors',
      },
    })
    const [seen] = company.arrived()
    expect(seen?.rawHeaders.join('\n')).toContain('suite/1.0')
    expect(seen?.rawHeaders.join('\n')).toMatch(/^idempotency-key\n"[\w-]{43}"$/m)
    expect(seen?.rawHeaders.join('\n')).not.toContain(key)
  })

  it('creates one session under one key, however often it sends it', async () => {
    company.arrived()
    const call = { json: { prompt: 'once' }, headers: { 'idempotency-key': randomUUID() } }
    const ids = new Set<string>()
    for (let round = 0; round < 3; round++) ids.add((await sdk(wire).call<Session>('POST', sessions, call)).session_id)
    expect([ids.size, company.arrived().length]).toEqual([1, 1])
  })

  it('can distinguish what it may not do, what does not exist, and what it sent wrong', async () => {
    const devin = sdk(wire)
    const tags = Array.from({ length: 51 }, (_, index) => `t${index}`)
    const expired = sdk(wire, `${token.slice(0, -8)}AAAAAAAA`)
    const cases = [
      { work: () => expired.call('GET', '/v3/self'), status: 401, says: /token/ },
      { work: () => sdk(wire, 'cog_a_key_of_old').call('GET', '/v3/self'), status: 401, says: /token/ },
      { work: () => devin.call('GET', '/v3/organizations/org-payments/sessions'), status: 403, says: /org-payments/ },
      { work: () => devin.call('GET', '/v3/enterprise/members/users'), status: 403, says: /ent\.members\.users\.list/ },
      { work: () => devin.call('GET', '/v3/no/such/thing'), status: 403, says: /path/ },
      { work: () => devin.call('GET', `${sessions}/devin-gone`), status: 404, says: /not found/i },
      { work: () => devin.call('POST', sessions, { json: { prompt: 'go', tags } }), status: 422, says: /50/ },
    ]
    for (const { work, status, says } of cases) {
      const error = await failure(work())
      expect(error.status).toBe(status)
      expect(error.message).toMatch(says)
      expect(error.answer.fields['content-type']).toMatch(/^application\/(?:problem\+)?json/)
    }
  })

  it('gets 404 from Devin alone: a refusal never looks as if the object were gone', async () => {
    company.arrived()
    const foreign = await sdk(wire).ask('GET', '/v3/organizations/org-payments/playbooks/playbook-none')
    expect([foreign.status, company.arrived()]).toEqual([403, []])
    const gone = await sdk(wire).ask('GET', `/v3/organizations/${organization}/playbooks/playbook-none-${fresh++}`)
    expect(gone.status).toBe(404)
    expect(company.arrived().map(({ status }) => status)).toEqual([404])
  })

  it.each([
    ['POST', '/v1/sessions', 'POST /v3/organizations/{org_id}/sessions'],
    ['GET', '/v1/session/devin-1', 'GET /v3/organizations/{org_id}/sessions/{devin_id}'],
    ['POST', '/v1/sessions/devin-1/message', 'POST /v3/organizations/{org_id}/sessions/{devin_id}/messages'],
    ['GET', '/v1/knowledge', 'GET /v3/organizations/{org_id}/knowledge/notes'],
    ['POST', '/v1/attachments', 'POST /v3/organizations/{org_id}/attachments'],
    ['GET', '/v2/enterprise/members', 'GET /v3/enterprise/members/users'],
  ])('learns what replaces %s %s', async (method, path, replacement) => {
    const error = await failure(sdk(wire).call(method, path, method === 'POST' ? { json: {} } : {}))
    expect(error.status).toBe(403)
    expect(error.message).toContain(replacement)
  })

  it('asks for the head of a list alone', async () => {
    const { status, fields, body } = await sdk(wire).ask('HEAD', sessions)
    expect([status, fields['content-type'], body.length]).toEqual([200, 'application/json', 0])
  })
})

let fresh = 11

describe('an address as an operator writes it', () => {
  const joined: readonly [name: string, join: (base: string) => string][] = [
    ['the host root', (base) => `${base}/v3/self`],
    [
      'the host root with a final slash that the client takes off',
      (base) => `${`${base}/`.replace(/\/$/, '')}/v3/self`,
    ],
    ['the host root with a final slash, resolved', (base) => new URL('/v3/self', `${base}/`).href],
    ['…/v3', (base) => `${base}/v3/self`],
    ['…/v3/, resolved', (base) => new URL('self', `${base}/v3/`).href],
    ['…/v1 with a prefix that the client drops', (base) => new URL('/v3/self', `${base}/v1`).href],
  ]

  it.each(joined)('reaches the API: %s', async (_name, join) => {
    const { status, body } = await fetchWire(join(company.base), { headers: { authorization: `Bearer ${token}` } })
    expect([status, JSON.parse(body.toString())]).toEqual([200, expect.objectContaining({ org_id: organization })])
  })

  it('may be the public name of the API that leads here', async () => {
    const { status } = await pool.wire(`${company.base}/v3/self`, {
      headers: { authorization: `Bearer ${token}`, host: 'api.devin.ai' },
    })
    expect(status).toBe(200)
  })

  it('joined with two slashes is refused with a text that says so', async () => {
    const answer = await fetchWire(`${company.base}//v3/self`, { headers: { authorization: `Bearer ${token}` } })
    expect(answer.status).toBe(400)
    expect(messageOf(answer)).toContain('empty segment')
  })
})

describe('connections', () => {
  it('are kept through answers of every kind', async () => {
    const one = openPool(1)
    const devin = sdk(one.wire)
    for (const path of ['/v3/self', `${sessions}/devin-gone`, '/v1/sessions', '/v3/no/such/thing', '/v3/self']) {
      await devin.ask('GET', path)
    }
    await devin.ask('POST', sessions, { json: { prompt: 'go' } })
    await devin.ask('HEAD', sessions)
    expect(one.opened()).toBe(1)
    one.close()
  })

  it('may be opened for each call', async () => {
    const { status, fields } = await fetchWire(`${company.base}/v3/self`, {
      headers: { authorization: `Bearer ${token}`, connection: 'close' },
    })
    expect([status, fields['connection']]).toEqual([200, 'close'])
  })

  it.skipIf(!curlInstalled)('carry gzip when the client takes it, and no coding it does not take', async () => {
    const ask = async (coding: string): Promise<string | undefined> => {
      // Each an answer of its own: a stored one may go out in the plain form it came in.
      const { fields } = await curlWire(`${company.base}${sessions}?first=${fresh++}`, {
        headers: { authorization: `Bearer ${token}`, ...(coding === '' ? {} : { 'accept-encoding': coding }) },
      })
      return fields['content-encoding']
    }
    expect(await Promise.all(['', 'identity', 'gzip', 'br'].map(ask))).toEqual([
      undefined,
      undefined,
      'gzip',
      undefined,
    ])
  })
})
