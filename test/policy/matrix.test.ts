// Who may do what: rows, the table and the page.

import { createHash } from 'node:crypto'
import { Script } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { LastUses, matrixOf } from '../../src/policy/matrix/matrix.ts'
import { matrixPage } from '../../src/policy/matrix/page.ts'
import { csvLines, tableRows, type TableRow } from '../../src/policy/matrix/table.ts'
import { ask, policyFrom, principalOf } from '../support/policies.ts'

const policy = policyFrom({
  'teams/payments.yaml': `team: payments
members: [{ groups: [eng] }]
organizations: [org-a, "=b"]
grants:
  - { id: read, allow: [org.sessions.list] }
  - { id: leads, allow: [org.secrets.delete], when: { groups: ["lead, of <us>"] } }
  - { id: off, allow: [org.*], mode: off }
`,
  'keys.yaml': `keys:
  - { id: a, scope: organization, organization: org-a, permissions: [ViewOrgSessions, ManageOrgSecrets], secret: { env: A } }
`,
})
const matrix = matrixOf(policy, 'covered')
const rows = [...tableRows(matrix, null)]
const of = (operation: string): readonly TableRow[] => rows.filter((row) => row.operation === operation)

describe('rows', () => {
  test('say what the evaluation of requests says, for each organization', () => {
    expect(of('org.sessions.list')).toEqual([
      expect.objectContaining({
        organization: 'org-a',
        effect: 'allow',
        grant: 'read',
        key: 'a',
        callers: 'all members',
      }),
      expect.objectContaining({
        organization: '=b',
        effect: 'deny',
        reason: 'key-unavailable',
        grant: 'read',
        key: null,
      }),
    ])
    const [secrets] = of('org.secrets.delete')
    expect(secrets).toMatchObject({
      callers: 'members with groups: lead, of <us>',
      conditions: 'groups: lead, of <us>',
    })
    for (const row of rows.filter(({ operation }) => operation === 'org.sessions.list')) {
      const { decision, key } = ask(
        policy,
        principalOf({ groups: ['eng'] }),
        `GET /v3/organizations/${row.organization}/sessions`,
      )
      expect([row.effect, row.key]).toEqual([key === null ? 'deny' : decision.effect, key?.key.id ?? null])
    }
  })

  test('say when a grant ends, and that it is in mode warn', () => {
    const ending = policyFrom({
      'teams/a.yaml': `team: a
members: [{ groups: [eng] }]
organizations: [org-a]
grants:
  - { id: read, allow: [org.sessions.list], when: { groups: [leads] }, until: 2096-12-24T18:00:00Z }
  - { id: old, allow: [org.secrets.list], mode: warn }
`,
    })
    const conditions = [...tableRows(matrixOf(ending, 'covered'), null)].map((row) => [row.operation, row.conditions])
    expect(conditions).toEqual([
      ['org.secrets.list', 'mode warn'],
      ['org.sessions.list', 'groups: leads; until 2096-12-24T18:00:00Z'],
    ])
  })

  test('leave out what no grant covers, unless all is wanted', () => {
    expect(of('org.playbooks.list')).toEqual([])
    const all = [...tableRows(matrixOf(policy, 'all'), null)].filter(
      ({ operation }) => operation === 'org.playbooks.list',
    )
    expect(all.map(({ organization, effect, reason }) => [organization, effect, reason])).toContainEqual([
      'org-a',
      'deny',
      'not-granted',
    ])
  })

  test('say when a right was last used, whatever the order of the records', () => {
    const uses = new LastUses(matrix)
    const used = { team: 'payments', grant: 'read', operation: 'org.sessions.list', organizations: ['org-a'] }
    for (const time of ['2026-11-02T00:00:00Z', '2026-11-03T00:00:00Z', '2026-11-01T00:00:00Z'])
      uses.add({ ...used, time })
    uses.add({ ...used, grant: 'other', time: '2026-11-09T00:00:00Z' })
    const found = [...tableRows(matrix, uses)].filter(({ operation }) => operation === 'org.sessions.list')
    expect(found.map(({ last_used: time }) => time)).toEqual(['2026-11-03T00:00:00Z', null])
  })
})

test('the table is CSV by RFC 4180, and no field is a formula', () => {
  const text = [...csvLines(rows)].join('')
  expect(text.startsWith('team,callers,operation,organization,effect,grant,key,conditions,last_used,')).toBe(true)
  expect(text.split('\r\n')).toHaveLength(rows.length + 2)
  expect(text).toContain(`,org.sessions.list,'=b,deny,read,`)
  expect(text).toContain(
    `,"members with groups: lead, of <us>",org.secrets.delete,org-a,allow,leads,a,"groups: lead, of <us>",`,
  )
})

test('the page runs its own script and style alone, and no text of the policies is markup', () => {
  const page = matrixPage(matrix, null, { revision: '<r>', madeAt: 'now', hasLog: false })
  const policyOf = /Content-Security-Policy" content="([^"]*)"/.exec(page)?.[1] ?? ''
  const digest = (text: string | undefined): string =>
    createHash('sha256')
      .update(text ?? '')
      .digest('base64')
  expect(policyOf).toContain("default-src 'none'")
  expect(policyOf).toContain(`style-src 'sha256-${digest(/<style>(.*?)<\/style>/s.exec(page)?.[1])}'`)
  expect(policyOf).toContain(`script-src 'sha256-${digest(/<script>(.*?)<\/script>/s.exec(page)?.[1])}'`)
  expect(page).not.toMatch(/ on[a-z]+=|style=|https?:|src=|href=|<us>|<r>/)
  expect(page).toContain(String.raw`lead, of \u003cus>`)
  expect(() => new Script(/<script>(.*?)<\/script>/s.exec(page)?.[1] ?? '')).not.toThrow()
})

test('the page says when a right was last used before its columns of long texts', () => {
  const uses = new LastUses(matrix)
  const time = '2026-11-01T10:00:00.000Z'
  uses.add({ time, team: 'payments', grant: 'leads', operation: 'org.secrets.delete', organizations: ['org-a'] })
  const page = matrixPage(matrix, uses, { revision: 'r', madeAt: 'now', hasLog: true })
  const names = [...(/const names = \[(.*)\]/.exec(page)?.[1] ?? '').matchAll(/'([^']+)'/g)].map((match) => match[1])
  const { texts, rows: packed } = JSON.parse(/id="data">(.*?)<\/script>/s.exec(page)?.[1] ?? '') as {
    readonly texts: readonly string[]
    readonly rows: readonly (readonly (number | readonly number[])[])[]
  }
  expect(names).toEqual(['team', 'callers', 'operation', 'organizations', 'effect', 'last used', ...names.slice(6)])
  const shown = packed.map((row) => row.map((cell) => (typeof cell === 'number' ? texts[cell] : null)))
  expect(shown.filter((row) => row.includes(time)).map((row) => [row[2], row[5], row[6]])).toEqual([
    ['org.secrets.delete', time, 'leads'],
  ])
})
