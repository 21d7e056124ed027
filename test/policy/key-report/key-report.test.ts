// The powers of keys against the policy and against their use. An oracle that asks every request for its key stands beside it.

import { describe, expect, test } from 'vitest'
import { keyFindings, type KeyAtDevin, type KeyEvidence } from '../../../src/policy/key-report/findings.ts'
import { atOnce } from '../../../src/policy/model/steps.ts'
import { addOwnOperations, addReach, emptyReaches } from '../../../src/policy/key-report/reach.ts'
import { KeyUses } from '../../../src/policy/key-report/use.ts'
import type { PolicySet } from '../../../src/policy/model/policy-set.ts'
import { ask, outcomeOf, policyFrom, principalOf, type PolicyFiles } from '../../support/policies.ts'

const nowMs = Date.UTC(2026, 10, 1)

function teamFile(grants: string, organizations = '[org-a, org-b]'): string {
  return `team: web
members: [{ groups: [web] }]
organizations: ${organizations}
grants:
${grants}`
}

function keysFile(...keys: string[]): string {
  return `keys:\n${keys.map((key) => `  - { ${key}, secret: { env: K } }`).join('\n')}\n`
}

const runner = 'id: runner, scope: organization, organization: org-a, permissions: [ViewOrgSessions, ManageOrgSessions]'
const reader = '  - { id: read, allow: [org.sessions.list, org.sessions.get] }\n'

function findings(
  files: PolicyFiles,
  evidence: Partial<KeyEvidence> & { readonly live?: Readonly<Record<string, Partial<KeyAtDevin>>> } = {},
): string[] {
  const policy = policyFrom(files)
  const { live = {}, ...rest } = evidence
  const nothing = { serviceUser: null, fault: null, action: null, changedFrom: null, endsAtMs: null, roles: null }
  const found = keyFindings(policy, {
    reaches: reachesOf(policy),
    uses: null,
    watched: null,
    atDevin: new Map(Object.entries(live).map(([id, known]) => [id, { ...nothing, usedPermissions: null, ...known }])),
    twins: new Map(),
    nowMs,
    ...rest,
  })
  for (const { action, line, text } of found) {
    expect(action).toMatch(/^[A-Z].*\.$/)
    expect([line > 0, text.startsWith('key "')]).toEqual([true, true])
  }
  return found.map(({ key, finding, text }) => `${key} ${finding}: ${text.replace(`key "${key}" `, '')}`)
}

function reachesOf(policy: PolicySet) {
  const reaches = emptyReaches(policy)
  atOnce(addReach(policy, reaches))
  addOwnOperations(policy, reaches)
  return reaches
}

describe('by the policy alone', () => {
  test('a key that no right needs, and permissions that no right needs', () => {
    const files = {
      'teams/web.yaml': teamFile(reader, '[org-a]'),
      'keys.yaml': keysFile(
        runner,
        'id: far, scope: organization, organization: org-z, permissions: [ManageOrgSecrets]',
        'id: figures, scope: enterprise, permissions: [ViewAccountMetrics]',
      ),
    }
    expect(findings(files)).toEqual([
      'runner unneeded-permission: holds what no right of any team needs from it: ManageOrgSessions',
      'far no-team: serves no right of any team',
      'figures no-team: serves no right of any team',
    ])
  })

  test('a key that only the gateway needs is none that nobody needs', () => {
    const files = {
      'teams/web.yaml': teamFile(reader, '[org-a]'),
      'keys.yaml': keysFile(
        'id: runner, scope: organization, organization: org-a, permissions: [ViewOrgSessions]',
        'id: rotator, scope: enterprise, permissions: [ManageAccountServiceUsers]',
        'id: auditor, scope: enterprise, permissions: [ManageEnterpriseSettings]',
      ),
    }
    expect(findings(files)).toEqual([])
    expect([...(reachesOf(policyFrom(files)).get('rotator')?.ownOperations ?? [])]).toEqual([
      'beta.ent.service-users.api-keys.list',
      'beta.ent.service-users.api-keys.create',
      'beta.ent.service-users.api-keys.revoke',
    ])
    // Nobody is told to revoke it before asking whether the gateway shall use it.
    const policy = policyFrom(files)
    const unused = { reaches: reachesOf(policy), uses: new Map(), watched: 'lately', atDevin: new Map() }
    const said = keyFindings(policy, { ...unused, twins: new Map(), nowMs }).filter(({ key }) => key === 'rotator')
    expect(said.map(({ action }) => action)).toEqual([expect.stringMatching(/^Keep it if the gateway shall use it/)])
  })

  test('a permission that a member of the body needs is needed, and only where a grant gives it', () => {
    const impersonator =
      'id: other, scope: organization, organization: org-a, permissions: [ManageOrgSessions, ImpersonateOrgSessions]'
    const grants = '  - { id: run, allow: [org.sessions.create] }\n'
    const keys = { 'keys.yaml': keysFile(runner, impersonator) }
    const as = '  - { id: act, allow: [ImpersonateOrgSessions] }\n'
    const find = (files: PolicyFiles): string[] => findings(files).filter((text) => text.startsWith('other'))
    expect(find({ 'teams/web.yaml': teamFile(grants, '[org-a]'), ...keys })).toEqual([
      'other no-team: serves no right of any team',
    ])
    expect(find({ 'teams/web.yaml': teamFile(grants + as, '[org-a]'), ...keys })).toEqual([])
    // A guardrail that lets the caller's own user through takes nothing away; one that forbids the field does.
    const guardrail = (bound: string): PolicyFiles => ({
      'guardrails.yaml': `guardrails:\n  - { id: g, on: ["*"], teams: all, body: { create_as_user_id: ${bound} } }\n`,
    })
    const bound = (text: string): PolicyFiles => ({
      'teams/web.yaml': teamFile(grants + as, '[org-a]'),
      ...keys,
      ...guardrail(text),
    })
    expect(find(bound('{ equals: principal.devin_user_id }'))).toEqual([])
    expect(find(bound('{ forbid: true }'))).toEqual(['other no-team: serves no right of any team'])
  })

  test.each([
    [
      'one organization alone',
      '[org-a]',
      'all',
      ['big organization-key: could be an organization key: no right needs it outside org-a'],
    ],
    ['two organizations', '[org-a, org-b]', 'all', []],
    ['every organization', 'all', 'all', []],
    [
      'one of several that it serves',
      '[org-a, org-b]',
      '[org-b]',
      ['big organization-key: could be an organization key: no right needs it outside org-b'],
    ],
  ])('an enterprise key that serves %s', (_name, fence, serves, expected) => {
    const files = {
      'teams/web.yaml': teamFile(reader, fence),
      'keys.yaml': keysFile(
        `id: big, scope: enterprise, permissions: [ViewAccountSessions], serves_organizations: ${serves}`,
      ),
    }
    // Own reads of sessions would use it as well, so the gateway's part is left out here.
    const policy = policyFrom(files)
    const reaches = emptyReaches(policy)
    atOnce(addReach(policy, reaches))
    expect(findings(files, { reaches })).toEqual(expected)
  })

  test('says of every key whether some request of some caller is served by it', () => {
    const files = {
      'teams/web.yaml': teamFile(`${reader}  - { id: notes, allow: [ManageOrgKnowledge], when: { app: [bot] } }\n`),
      'keys.yaml': keysFile(
        runner,
        'id: notes-b, scope: organization, organization: org-b, permissions: [ManageOrgKnowledge]',
        'id: all, scope: enterprise, permissions: [ViewAccountSessions, ManageBilling], serves_organizations: [org-b]',
        'id: never, scope: enterprise, permissions: [ViewAccountSessions, ManageBilling, ViewAccountMetrics], serves_organizations: all',
      ),
    }
    const policy = policyFrom(files)
    const served = new Set<string>()
    for (const app of [null, 'bot'])
      for (const organization of ['org-a', 'org-b', 'org-c'])
        for (const { method, template, scope } of policy.catalogue.operations.filter((each) =>
          policy.catalogue.isServed(each),
        )) {
          const path = `/${template
            .replace(/^\//, '')
            .replace('{org_id}', organization)
            .replaceAll(/\{\w+\}/g, 'x')}`
          if (scope === 'any') continue
          const { decision, key } = ask(policy, principalOf({ groups: ['web'], app }), `${method} ${path}`)
          if (decision.effect === 'allow' && key !== null) served.add(key.key.id)
        }
    const said = findings(files, {
      reaches: (() => {
        const r = emptyReaches(policy)
        atOnce(addReach(policy, r))
        return r
      })(),
    })
    const useless = said.flatMap((text) => /^(\S+) no-team/.exec(text)?.[1] ?? [])
    expect(useless.toSorted()).toEqual(
      policy.keys
        .map(({ id }) => id)
        .filter((id) => !served.has(id))
        .toSorted(),
    )
    expect(outcomeOf(ask(policy, principalOf({ groups: ['web'] }), 'GET /v3/organizations/org-b/sessions'))).toContain(
      'all',
    )
  })
})

describe('by use', () => {
  const files = {
    'teams/web.yaml': teamFile('  - { id: all, allow: [org.*, ent.sessions.list, ent.consumption.*] }\n', 'all'),
    'keys.yaml': keysFile(
      runner,
      'id: idle, scope: organization, organization: org-b, permissions: [ViewOrgSessions]',
      'id: big, scope: enterprise, permissions: [ViewAccountSessions, ManageBilling], serves_organizations: all',
    ),
  }
  const record = (changes: Record<string, unknown>) =>
    ({
      time: '2026-10-20T10:00:00.000Z',
      decision_id: 'd',
      effect: 'allow',
      reason: 'granted',
      ended: { how: 'forwarded', stage: 'forward', sent: true },
      ...changes,
    }) as unknown as Parameters<KeyUses['add']>[0]

  function used(records: readonly Record<string, unknown>[], days = 30) {
    const uses = new KeyUses(policyFrom(files))
    for (const each of records) uses.add(record(each))
    return uses.within(days, '2026-10-20T10:00:00.000Z')
  }

  test('says what was never used, and what of a key was not', () => {
    const uses = used([
      { key: 'runner', operation: 'org.sessions.list', organizations: ['org-a'] },
      { key: 'big', operation: 'org.sessions.list', organizations: ['org-c'] },
      { key: 'gone', operation: 'org.sessions.list' },
    ])
    const said = findings(files, { uses, watched: 'lately' })
    expect(said).toEqual(
      expect.arrayContaining([
        'idle never-used: was not used lately',
        'runner unused-permission: holds what was not used lately: ManageOrgSessions',
      ]),
    )
    // The gateway's own reads could use it.
    expect(said.filter((text) => text.startsWith('big organization-key'))).toEqual([])
  })

  test.each([
    ['that was refused by a limit', { ended: { how: 'refused', stage: 'take-limits', sent: false } }],
    ['that was denied', { effect: 'deny' }],
    ['of an operation that is not known any more', { operation: 'org.gone' }],
    ['without a key', { key: null }],
    ['before the days that count', { time: '2026-09-01T10:00:00.000Z' }],
    ['whose time is none', { time: 'yesterday' }],
  ])('a request %s is no use', (_name, changes) => {
    expect(used([{ key: 'runner', operation: 'org.sessions.list', organizations: ['org-a'], ...changes }]).size).toBe(0)
  })

  test.each(['cached', 'replayed'])('an answer that was %s is one, for the key was needed to get it', (how) => {
    const uses = used([{ key: 'runner', operation: 'org.sessions.list', ended: { how, stage: 'x', sent: false } }])
    expect([...(uses.get('runner')?.permissions ?? [])]).toEqual(['ViewOrgSessions'])
  })

  test('what a running gateway has used counts, too', () => {
    const live = {
      idle: { usedPermissions: new Set(['ViewOrgSessions']) },
      runner: { usedPermissions: new Set<string>() },
    }
    const said = findings(files, { watched: 'since the start', live })
    expect(said.filter((text) => text.startsWith('idle'))).toEqual([])
    expect(said).toContain('runner never-used: was not used since the start')
  })
})

describe('by Devin', () => {
  const files = {
    'teams/web.yaml': teamFile(reader, '[org-a]'),
    'keys.yaml': keysFile(
      'id: one, scope: organization, organization: org-a, permissions: [ViewOrgSessions]',
      'id: two, scope: organization, organization: org-a, permissions: [ViewOrgSessions, ManageOrgSessions]',
    ),
  }
  const about = (live: Readonly<Record<string, Partial<KeyAtDevin>>>, twins = new Map<string, string>()): string[] =>
    findings(files, { live, twins }).filter((text) => !/ (?:no-team|unneeded)/.test(text))

  test('two entries of one service user, and one value twice', () => {
    const both = { one: { serviceUser: 'service-user-1' }, two: { serviceUser: 'service-user-1' } }
    expect(about(both)).toEqual([
      'one shared-service-user: belongs to the service user service-user-1, and so does "two"',
      'two shared-service-user: belongs to the service user service-user-1, and so does "one"',
    ])
    expect(about(both, new Map([['two', 'one']]))[1]).toBe('two shared-value: has the same value as key "one"')
    expect(about({ one: { serviceUser: null }, two: { serviceUser: null } })).toEqual([])
  })

  test('roles and permissions that differ from what is declared', () => {
    const role = (organization: string | null, permissions: string[] | null = null) => ({
      role: 'Admin',
      organization,
      permissions,
    })
    expect(about({ one: { roles: [role('org-a')] } })).toEqual([])
    expect(about({ one: { roles: [role('org-a'), role('org-b'), role(null)] } })).toEqual([
      'one wider-roles: has more roles at Devin than the inventory declares: Admin in org-b, Admin at enterprise level',
    ])
    expect(about({ one: { roles: [role('org-a', ['ManageOrgSecrets'])] } })).toEqual([
      'one other-permissions: does not hold at Devin: ViewOrgSessions',
      'one other-permissions: holds at Devin, and the inventory does not declare: ManageOrgSecrets',
    ])
  })

  test('keys that end, are quarantined, or have changed hands', () => {
    const end = nowMs + 3 * 86_400_000
    expect(
      about({
        one: { endsAtMs: end, fault: 'is a key of org-b', action: 'Do it.' },
        two: { serviceUser: 'b', changedFrom: 'a' },
      }),
    ).toEqual([
      'one quarantined: is quarantined: it is a key of org-b',
      'one expires: ends at 2026-11-04T00:00:00Z, in 3 days at Devin',
      'two service-user-changed: belongs to the service user b now, and belonged to a before',
    ])
  })

  test('of a quarantined key nothing that would meet the service user whose key it really is', () => {
    const wrong = { fault: 'is a key of org-b', usedPermissions: new Set<string>(), roles: [] }
    const asked = (live: Partial<KeyAtDevin>) =>
      findings(
        { 'teams/web.yaml': teamFile(reader, '[org-a]'), 'keys.yaml': keysFile(runner) },
        { live: { runner: live }, watched: 'since the gateway started' },
      ).map((text) => text.split(':')[0])
    expect(asked({ ...wrong, fault: null })).toEqual(['runner never-used', 'runner unneeded-permission'])
    expect(asked(wrong)).toEqual(['runner quarantined'])
  })
})

test('powers are found in steps of one operation, and what teams share is found once', () => {
  const setOf = (teams: number): Record<string, string> => ({
    'keys.yaml': keysFile(runner),
    ...Object.fromEntries(
      Array.from({ length: teams }, (_, index) => [
        `teams/t${index}.yaml`,
        `team: t${index}
members: [{ groups: [g${index}] }]
organizations: [org-a, org-b]
grants: [{ id: read, allow: [org.sessions.list] }]
`,
      ]),
    ),
  })
  const costOf = (teams: number): { steps: number; choices: number } => {
    const policy = policyFrom(setOf(teams))
    let choices = 0
    const counted: PolicySet = {
      ...policy,
      selectKey: (need) => {
        choices += 1
        return policy.selectKey(need)
      },
    }
    const work = addReach(counted, emptyReaches(counted))
    let steps = 0
    while (work.next().done !== true) steps += 1
    return { steps, choices }
  }
  const [few, many] = [costOf(2), costOf(20)]
  expect(many.steps).toBe(10 * few.steps)
  // Walked by itself, each team would cost the same again.
  expect(many.choices).toBeLessThan(7 * few.choices)
})
