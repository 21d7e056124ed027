// A cost dashboard at enterprise scope: lists to their end in small pages, then one or two reads for each organization and
// each person, and features that are switched off when a permission is missing.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openCompany, type Company } from './company.ts'
import { ApiError, Sdk, type Page, type Session } from './sdk.ts'
import { curl, curlInstalled, fetchWire, openPool } from './wires.ts'

interface Organization {
  readonly org_id: string
}

interface Person {
  readonly user_id: string
}

type Item = Partial<Session & Organization & Person>

interface Consumption {
  readonly total_acus: number
  readonly consumption_by_date: readonly { readonly acus: number }[]
}

const pool = openPool(5)
let company: Company
let devin: Sdk
let token: string
beforeAll(async () => {
  company = await openCompany()
  token = await company.token('dashboard')
  devin = new Sdk({ base: company.base, token, wire: pool.wire })
})
afterAll(async () => {
  pool.close()
  await company.close()
})

/** A week that is over: sessions go on consuming while the test runs. */
const week = (): { time_after: number; time_before: number } => {
  const before = Math.floor(Date.now() / 1000) - 86_400
  return { time_after: before - 7 * 86_400, time_before: before }
}

async function collect<T>(list: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = []
  for await (const item of list) items.push(item)
  return items
}

const idOf = ({ session_id, user_id, org_id }: Item): unknown => session_id ?? user_id ?? org_id

describe('a dashboard', () => {
  it.each(['/v3/enterprise/sessions', '/v3/enterprise/members/users', '/v3/enterprise/organizations'])(
    'reads %s to its end in pages of two, and has what one big page has',
    async (path) => {
      const paged = await collect(devin.all<Item>(path, { first: 2 }))
      const whole = await devin.call<Page<Item>>('GET', path, { query: { first: 200 } })
      expect(whole.has_next_page).toBe(false)
      expect(paged.length).toBeGreaterThan(2)
      expect(paged.map(idOf)).toEqual(whole.items.map(idOf))
    },
  )

  it('gets cursors that need escaping, and they work escaped either way', async () => {
    const path = '/v3/enterprise/sessions'
    const { end_cursor: cursor } = await devin.call<Page<Session>>('GET', path, { query: { first: 1 } })
    expect(cursor).toMatch(/[+/=]/)
    const [form, percent] = [
      new URLSearchParams({ after: cursor ?? '' }).toString(),
      `after=${encodeURIComponent(cursor ?? '')}`,
    ]
    const pages = await Promise.all([form, percent].map((query) => devin.ask('GET', `${path}?${query}&first=1`)))
    expect(pages.map(({ status }) => status)).toEqual([200, 200])
    expect(pages[0]?.body).toEqual(pages[1]?.body)
  })

  it('fans out to every organization and every person, and the parts make the sum', async () => {
    const organizations = await collect(devin.all<Organization>('/v3/enterprise/organizations'))
    const people = await collect(devin.all<Person>('/v3/enterprise/members/users'))
    const daily = '/v3/enterprise/consumption/daily'
    const query = week()
    const total = await devin.call<Consumption>('GET', daily, { query })
    const ofOrganizations = await Promise.all(
      organizations.map(({ org_id }) => devin.call<Consumption>('GET', `${daily}/organizations/${org_id}`, { query })),
    )
    const ofPeople = await Promise.all(
      people.map(({ user_id }) =>
        devin.call<Consumption>('GET', `${daily}/users/${encodeURIComponent(user_id)}`, { query }),
      ),
    )
    const sum = ofOrganizations.reduce((all, { total_acus }) => all + total_acus, 0)
    expect(sum).toBeCloseTo(total.total_acus, 3)
    expect(ofPeople.length).toBe(people.length)
    expect(people.map(({ user_id }) => user_id).join(' ')).toContain('|')
  })

  it('keeps to its pool through hundreds of reads', async () => {
    const own = openPool(5)
    const busy = new Sdk({ base: company.base, token, wire: own.wire })
    const answers = await Promise.all(
      Array.from({ length: 200 }, () => busy.ask('GET', '/v3/enterprise/organizations')),
    )
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
    expect(own.opened()).toBe(5)
    own.close()
  })

  it('switches off what it is not allowed, after one try', async () => {
    company.arrived()
    const audit = await devin.call('GET', '/v3/enterprise/audit-logs').catch((error: unknown) => error)
    expect(audit).toBeInstanceOf(ApiError)
    expect(audit).toMatchObject({ status: 403, message: expect.stringContaining('ent.audit-logs.list') })
    expect(company.arrived()).toEqual([])
  })

  it('reads lists that come bare, without an envelope', async () => {
    const active = await devin.call<unknown[]>('GET', '/v3/enterprise/metrics/dau', { query: week() })
    expect(Array.isArray(active)).toBe(true)
  })

  it.skipIf(!curlInstalled)('names people by ids with a raw or an escaped pipe', async () => {
    for (const id of ['okta|Corp|00u1d4', 'okta%7CCorp%7C00u1d4']) {
      const url = `${company.base}/v3/enterprise/members/users/${id}`
      const { status, body } = await curl(['-H', `Authorization: Bearer ${token}`, url])
      expect([status, JSON.parse(body.toString())]).toEqual([
        200,
        expect.objectContaining({ user_id: 'okta|Corp|00u1d4' }),
      ])
    }
  })

  it('reads compressed pages', async () => {
    const { status, fields, body } = await fetchWire(`${company.base}/v3/enterprise/sessions`, {
      headers: { authorization: `Bearer ${token}`, 'accept-encoding': 'gzip, deflate' },
    })
    expect([status, fields['content-encoding']]).toEqual([200, 'gzip'])
    expect(JSON.parse(body.toString())).toHaveProperty('items')
  })
})
