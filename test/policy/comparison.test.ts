// What changes in rights between two policy sets, and how it is told.

import { describe, expect, test } from 'vitest'
import { comparePolicies, type Comparison } from '../../src/policy/comparison/compare.ts'
import { comparisonData, comparisonText, type ChangeData } from '../../src/policy/comparison/report.ts'
import { comparisonMarkdown } from '../../src/policy/comparison/markdown.ts'
import { policyFrom, type PolicyFiles } from '../support/policies.ts'

const team = `team: payments
members: [{ groups: [eng] }, { app: [bot] }]
organizations: [org-a, org-b]
grants:
  - { id: read, allow: [ViewOrgSessions] }
  - { id: leads, allow: [ManageOrgSecrets], when: { groups: [leads] } }
`
const keys = `keys:
  - { id: a-all, scope: organization, organization: org-a, permissions: [ViewOrgSessions, ManageOrgSessions, ManageOrgSecrets, ImpersonateOrgSessions], secret: { env: A } }
  - { id: b-read, scope: organization, organization: org-b, permissions: [ViewOrgSessions, ManageOrgSessions], secret: { env: B } }
  - { id: all, scope: enterprise, permissions: [ViewAccountSessions], serves_organizations: all, secret: { env: E } }
`
const base: PolicyFiles = { 'teams/payments.yaml': team, 'keys.yaml': keys }

function compare(from: PolicyFiles, to: PolicyFiles): Comparison {
  const set = (files: PolicyFiles) => ({ policy: policyFrom(files), nameOf: (file: string) => file })
  return comparePolicies(set(from), set(to))
}

type PlacedChange = ChangeData & { readonly organization: string | null }

/** One entry for each organization. */
function dataOf(comparison: Comparison): { readonly changes: readonly PlacedChange[] } {
  const { changes } = comparisonData(comparison)
  return { changes: changes.flatMap((each) => each.organizations.map((organization) => ({ ...each, organization }))) }
}

function changed(edit: (text: string) => string, file: 'teams/payments.yaml' | 'keys.yaml' = 'teams/payments.yaml') {
  const text = edit(base[file] ?? '')
  expect(text).not.toBe(base[file])
  return dataOf(compare(base, { ...base, [file]: text }))
}

const short = ({ change, callers, operation, with: members, organization }: PlacedChange): string =>
  [change, callers, operation, ...(members ?? []), organization ?? '-'].join(' ')

test('equal sets do not differ, and every cell is decided', () => {
  const { changes, decided, undecided } = compare(base, base)
  expect(changes).toEqual([])
  expect(undecided).toBe(0)
  // Six classes of members: eng or bot or both, each with leads and without.
  expect(decided % 6).toBe(0)
  expect(decided).toBeGreaterThan(6 * 200)
})

describe('a right', () => {
  test('of callers with a group is gained where a condition goes', () => {
    const { changes } = changed((text) => text.replace(', when: { groups: [leads] }', ''))
    expect(new Set(changes.map(({ change }) => change))).toEqual(new Set(['gained']))
    // Only org-a has a key for it.
    expect(new Set(changes.map(({ organization }) => organization))).toEqual(new Set(['org-a']))
    expect(new Set(changes.map(({ operation }) => operation))).toEqual(
      new Set(['org.secrets.create', 'org.secrets.delete', 'org.secrets.list']),
    )
    expect(new Set(changes.map(({ callers }) => callers))).toEqual(
      new Set(['members with app bot, or groups eng, or groups eng and app bot']),
    )
    expect(changes[0]).toMatchObject({
      from: 'denied (not-granted)',
      to: 'by grant leads (teams/payments.yaml:6), with key a-all (organization)',
    })
  })

  test('is lost with an organization, and by the callers who are members no longer', () => {
    const fence = changed((text) => text.replace('[org-a, org-b]', '[org-a]'))
    expect(new Set(fence.changes.map(({ change, organization }) => `${change} ${organization}`))).toEqual(
      new Set(['lost org-b']),
    )
    const members = changed((text) => text.replace(', { app: [bot] }', ''))
    expect(new Set(members.changes.map(({ change, callers }) => `${change} ${callers}`))).toEqual(
      new Set(['lost members with app bot, or groups leads and app bot', 'lost members with groups leads and app bot']),
    )
  })

  test('to act as oneself is gained where it was forbidden, by a request that says who that is', () => {
    const files = (rule: string): PolicyFiles => ({
      ...base,
      'teams/payments.yaml': team.replace('[ViewOrgSessions]', '[ManageOrgSessions, ImpersonateOrgSessions]'),
      'guardrails.yaml': `guardrails:\n  - { id: self, on: [org.sessions.create], body: { create_as_user_id: { ${rule} } } }\n`,
    })
    const comparison = compare(files('forbid: true'), files('equals: principal.devin_user_id'))
    const { changes } = dataOf(comparison)
    expect(changes.map(short)).toEqual(['gained all members org.sessions.create create_as_user_id org-a'])
    expect(changes[0]?.example).toMatchObject({
      body: { create_as_user_id: 'any-devin-user' },
      as: { devin_user_id: 'any-devin-user' },
    })
    expect(comparisonText(comparison, ['a', 'b']).join('\n')).toMatch(/ --body \S+ --devin-user any-devin-user\n/)
  })

  test('that ends at another time, or whose removal is tried, is told though nothing differs now', () => {
    const files = (read: string, members = '', except = ''): PolicyFiles => ({
      ...base,
      'teams/payments.yaml': team
        .replace('allow: [ViewOrgSessions]', `allow: [ViewOrgSessions]${read}`)
        .replace('{ app: [bot] }', `{ app: [bot]${members} }`),
      'guardrails.yaml': `guardrails:
  - { id: g, on: [org.sessions.create], body: { title: { require: true } }, except: [{ teams: [payments], apps: [bot]${except} }] }
`,
    })
    const soon = ', until: 2096-12-24T18:00:00Z'
    const later = ', until: 2097-01-31T00:00:00+01:00'
    const longer = compare(files(soon, soon, soon), files('', later, ''))
    const told = [
      'grant read of team payments: until 2096-12-24T18:00:00Z before, without an end after',
      'members of team payments with app: bot: until 2096-12-24T18:00:00Z before, until 2097-01-30T23:00:00Z after',
      'exception of guardrail g for teams payments and apps bot: until 2096-12-24T18:00:00Z before, without an end after',
    ]
    expect(comparisonData(longer)).toMatchObject({ changes: [], notes: told })
    expect(comparisonText(longer, ['a', 'b'])).toEqual([
      'no difference in rights',
      ...told.map((note) => `note: ${note}`),
      expect.stringContaining('cells decided under both sets'),
    ])
    expect(comparisonMarkdown(longer, ['a', 'b']).join('\n')).toContain(`\n\n- ${told.join('\n- ')}\n\n`)
    const tried = compare(files(''), files(', mode: warn'))
    expect(tried).toMatchObject({
      changes: [],
      notes: ['grant read of team payments: mode enforce before, mode warn after'],
    })
    expect(compare(files(soon, later), files(soon, later)).notes).toEqual([])
    // One that is gained or lost with its end has it in its own line.
    const gained = compare(files(', mode: off'), files(soon))
    expect(gained.notes).toEqual([])
    expect(gained.changes[0]?.to).toMatch(/by grant read .*, until 2096-12-24T18:00:00Z$/)
  })

  test('that no key serves yet is told, since it counts as denied', () => {
    const next =
      'team: next\nmembers: [{ groups: [next] }]\norganizations: [org-c]\ngrants: [{ id: g, allow: [org.secrets.list, org.secrets.delete] }]\n'
    const { changes, notes } = compare(base, { ...base, 'teams/next.yaml': next })
    expect(new Set(changes.map(({ request }) => request.operation.id))).toEqual(new Set(['self.get']))
    expect(notes).toEqual([
      'grant g of team next (teams/next.yaml:4) newly covers 2 cells that no key serves: denied until keys.yaml has one',
    ])
    expect(compare({ ...base, 'teams/next.yaml': next }, { ...base, 'teams/next.yaml': next }).notes).toEqual([])
  })

  test('is lost with the last key that serves it, and moves to another key', () => {
    const { changes } = changed((text) => text.replace(/ {2}- \{ id: b-read.*\n/, ''), 'keys.yaml')
    const kinds = new Set(changes.map(({ change, from, to }) => `${change}: ${from} → ${to}`))
    expect(kinds).toEqual(new Set(['key: key b-read (organization) → key all (enterprise)']))
  })

  test('is lost in the organizations to which a grant is narrowed no longer', () => {
    const { changes } = changed((text) =>
      text.replace('[ViewOrgSessions]', '[ViewOrgSessions], organizations: [org-a]'),
    )
    expect(new Set(changes.map(({ change, organization }) => `${change} ${organization}`))).toEqual(
      new Set(['lost org-b']),
    )
  })

  test('to act for others is told apart by the member of the body', () => {
    const { changes } = changed((text) =>
      text.replace('allow: [ViewOrgSessions]', 'allow: [ViewOrgSessions, org.sessions.create, ImpersonateOrgSessions]'),
    )
    const creates = changes.filter(({ operation }) => operation === 'org.sessions.create').map(short)
    expect(creates).toContain('gained all members org.sessions.create create_as_user_id org-a')
    expect(creates).toContain('gained all members org.sessions.create org-b')
    // No key of org-b may impersonate.
    expect(creates).not.toContain('gained all members org.sessions.create create_as_user_id org-b')
  })

  test('is lost where a grant holds in fewer organizations, and nothing changes where it only warns', () => {
    const narrowed = changed((text) =>
      text.replace('allow: [ViewOrgSessions]', 'allow: [ViewOrgSessions], organizations: [org-a]'),
    )
    expect(new Set(narrowed.changes.map(({ change, organization }) => `${change} ${organization}`))).toEqual(
      new Set(['lost org-b']),
    )
    // Behind no fence only the grant names the organization.
    const all = { ...base, 'teams/payments.yaml': team.replace('[org-a, org-b]', 'all') }
    const one = {
      ...all,
      'teams/payments.yaml': (all['teams/payments.yaml'] ?? '').replace(
        'allow: [ViewOrgSessions]',
        'allow: [ViewOrgSessions], organizations: [org-new]',
      ),
    }
    expect(new Set(dataOf(compare(all, one)).changes.map(({ organization }) => organization))).not.toContain('org-new')
    expect(
      changed((text) => text.replace('allow: [ViewOrgSessions]', 'allow: [ViewOrgSessions], mode: warn')).changes,
    ).toEqual([])
  })

  test('that another team gives before and after is said to be so', () => {
    const twin =
      'team: twin\nmembers: [{ groups: [eng] }]\norganizations: [org-a]\ngrants: [{ id: own, allow: [ViewOrgSessions] }]\n'
    const from = { ...base, 'teams/twin.yaml': twin }
    const { changes } = dataOf(
      compare(from, { ...from, 'teams/payments.yaml': team.replace('ViewOrgSessions', 'org.playbooks.list') }),
    )
    const lost = changes.filter(({ change }) => change === 'lost')
    expect(new Set(lost.map(({ callers, organization, also_by: by }) => `${callers}: ${organization} ${by}`))).toEqual(
      new Set([
        'members with groups: eng: org-a twin',
        'members with app bot, or groups leads and app bot: org-a undefined',
        'all members: org-b undefined',
      ]),
    )
  })
})

test('a right is kept by another team only where it is kept whoever acts for the caller', () => {
  const twin = (members: string): string =>
    `team: twin\nmembers: [${members}]\norganizations: [org-a]\ngrants: [{ id: own, allow: [ViewOrgSessions] }]\n`
  const lostWith = (members: string): readonly (string | undefined)[] => {
    const from = { ...base, 'teams/twin.yaml': twin(members) }
    const to = { ...from, 'teams/payments.yaml': team.replace('ViewOrgSessions', 'org.playbooks.list') }
    const { changes } = dataOf(compare(from, to))
    return [...new Set(changes.flatMap((each) => (each.change === 'lost' ? [each.also_by] : [])))]
  }
  expect(lostWith('{ groups: [eng] }')).toContain('twin')
  expect(lostWith('{ groups: [eng], delegated: false }')).toEqual([undefined])
})

test('requests that name several organizations are lost where no one grant reaches them all', () => {
  const metrics = (grants: string): PolicyFiles => ({
    'teams/payments.yaml': `team: payments\nmembers: [{ groups: [eng] }]\norganizations: [org-a, org-b]\ngrants: [${grants}]\n`,
    'keys.yaml':
      'keys: [{ id: e, scope: enterprise, permissions: [ViewAccountMetrics], serves_organizations: none, secret: { env: E } }]',
  })
  const one = metrics('{ id: m, allow: [ent.metrics.usage.get] }')
  const two = metrics(
    '{ id: a, allow: [ent.metrics.usage.get], organizations: [org-a] }, { id: b, allow: [ent.metrics.usage.get], organizations: [org-b] }',
  )
  const comparison = compare(one, two)
  expect(comparisonData(comparison).changes).toEqual([
    expect.objectContaining({ change: 'lost', organizations: ['org-a', 'org-b'], together: true }),
  ])
  expect(comparisonText(comparison, ['a', 'b'])[0]).toContain(
    'in org-a, org-b, where one request names several of them',
  )
})

test('examples hold the values that guardrails and budgets want, and rights that no value passes are none', () => {
  const create = (guardrail: string): PolicyFiles => ({
    ...base,
    'teams/payments.yaml': `${team.replace('[ViewOrgSessions]', '[ViewOrgSessions, org.sessions.create]')}limits: { acus: 9/month }\n`,
    'guardrails.yaml': `guardrails: [{ id: g, on: [org.sessions.create], body: ${guardrail} }]\n`,
  })
  const gained = (guardrail: string): readonly PlacedChange[] =>
    dataOf(compare({ ...create(guardrail), 'teams/payments.yaml': team }, create(guardrail))).changes.filter(
      ({ change, operation }) => change === 'gained' && operation === 'org.sessions.create',
    )
  const [change] = gained('{ title: { require: true, matches: "job-*" }, max_acu_limit: { at_most: 4 } }')
  expect(change?.example.body).toEqual({ title: 'job-any', max_acu_limit: 4 })
  // Required by one rule and forbidden by another.
  const never = '{ title: { require: true } } }, { id: h, on: [org.sessions.create], body: { title: { forbid: true } }'
  expect(gained(never)).toEqual([])
})

test('callers for whom somebody acts are told apart, whoever acts', () => {
  const { changes } = changed((text) => text.replace('{ groups: [leads] }', '{ groups: [leads], delegated: false }'))
  const lost = new Set(changes.map(({ change, callers }) => `${change} ${callers}`))
  expect(lost).toEqual(
    new Set([
      'lost members with groups leads and app bot and actor any-other-actor, or groups eng and leads and actor any-other-actor, or groups eng and leads and app bot and actor any-other-actor',
    ]),
  )
})

describe('bounds', () => {
  const guarded = `guardrails:
  - { id: cost, on: [org.sessions.create], body: { max_acu_limit: { at_most: 25 } } }
`
  const create = {
    ...base,
    'teams/payments.yaml': team.replace('[ViewOrgSessions]', '[ViewOrgSessions, org.sessions.create]'),
  }

  test('of guardrails and limits are told as they were and as they are', () => {
    const from = { ...create, 'guardrails.yaml': guarded }
    const to = {
      ...create,
      'guardrails.yaml': guarded.replace('25', '50'),
      'teams/payments.yaml': `${create['teams/payments.yaml']}limits: { writes: { rate: 30/min, burst: 5 } }\n`,
    }
    const { changes } = dataOf(compare(from, to))
    expect(new Set(changes.map(({ change, from: before, to: after }) => `${change}: ${before} → ${after}`))).toEqual(
      new Set([
        'guardrail: body max_acu_limit at most 25 → body max_acu_limit at most 50',
        'limit: no such bound → writes 30/min, burst 5',
      ]),
    )
  })

  test('of another name alone are no difference', () => {
    const from = { ...create, 'guardrails.yaml': guarded }
    expect(compare(from, { ...from, 'guardrails.yaml': guarded.replace('id: cost', 'id: money') }).changes).toEqual([])
  })
})

test('a comparison mirrors the one the other way round', () => {
  const other = {
    ...base,
    'teams/payments.yaml': team.replace('[org-a, org-b]', 'all').replace('ViewOrgSessions', 'ManageOrgSessions'),
  }
  const there = dataOf(compare(base, other)).changes
  const back = dataOf(compare(other, base)).changes
  const mirror: Readonly<Record<string, string>> = { gained: 'lost', lost: 'gained' }
  const plain = (changes: readonly PlacedChange[], turned: boolean): readonly string[] =>
    changes
      .map(({ change, team: id, callers, operation, with: members, organization, from, to }) =>
        JSON.stringify([
          turned ? (mirror[change] ?? change) : change,
          id,
          callers,
          operation,
          members,
          organization,
          ...(turned ? [to, from] : [from, to]),
        ]),
      )
      .sort()
  expect(there.length).toBeGreaterThan(10)
  expect(plain(back, true)).toEqual(plain(there, false))
})

test('the text puts equal differences together and names a command for each; the table has the same rows', () => {
  const comparison = compare(base, { ...base, 'teams/payments.yaml': team.replace(', when: { groups: [leads] }', '') })
  const lines = comparisonText(comparison, ['policies', "next's"])
  expect(lines[0]).toBe(
    '+ payments: members with app bot, or groups eng, or groups eng and app bot gain org.secrets.create, org.secrets.delete in org-a',
  )
  expect(lines).toContain(
    String.raw`    see: devin-gateway explain --policies 'next'\''s' --app bot POST /v3/organizations/org-a/secrets`,
  )
  expect(lines.at(-1)).toMatch(/^\d+ cells decided under both sets, 0 could not be; 3 gained$/)
  const table = comparisonMarkdown(comparison, ['a', 'b']).filter((line) => line.startsWith('| gained'))
  expect(table).toHaveLength(2)
  const other = comparisonMarkdown(comparison, ['policies', "next's"]).join('\n')
  const commands = lines.flatMap((line) => /^ {4}see: (.*)$/.exec(line)?.[1] ?? [])
  for (const command of commands) expect(other).toContain(` | \`${command}\` |`)
})

describe('Markdown', () => {
  const opened = (files: PolicyFiles): readonly string[] =>
    comparisonMarkdown(compare(base, { ...base, ...files }), ['a', 'b'])

  test('has no markup from names, and mentions nobody', () => {
    const lines = opened({
      'teams/x.yaml': `team: x
members: [{ groups: [x] }]
organizations: [org-a]
grants: [{ id: g, allow: [org.sessions.list], when: { groups: ["@corp/all", "*|<b>_\`x\`"], app: ["me@corp"] } }]
`,
    })
    const line = lines.find((each) => each.includes('sessions.list')) ?? ''
    expect(line).toContain(String.raw`@<!-- -->corp/all`)
    expect(line).toContain('me@corp')
    expect(line).not.toMatch(/(?<!\\)<b>(?!.*` \|$)/)
    // Cells end at bars that are not escaped.
    expect(line.match(/(?<!\\)\|/g)).toHaveLength(9)
  })

  test('is no longer than a comment may be, says what it left out, and keeps what matters most', () => {
    const teams = Array.from({ length: 120 }, (_, index): [string, string] => [
      `teams/t${index}.yaml`,
      `team: t${index}\nmembers: [{ groups: [g${index}] }]\norganizations: [org-a]\ngrants: [{ id: g, allow: [ViewOrgSessions, ${index === 119 ? 'org.secrets.delete' : 'org.playbooks.list'}] }]\n`,
    ])
    const lines = opened(Object.fromEntries(teams))
    const text = lines.join('\n')
    expect(text.length).toBeLessThan(62_000)
    expect(text).toMatch(/\n\n… and \d+ more: run `devin-gateway diff a b` to see all\.\n/)
    expect(lines.find((line) => line.startsWith('| gained'))).toContain('| t119 |')
    expect(lines.at(-1)).toMatch(/cells decided under both sets, 0 could not be; \d+ gained$/)
  })
})
