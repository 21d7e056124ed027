// A request evaluated again once its body was read.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseTarget } from '../../src/catalogue/target.ts'
import { evaluate, evaluateBody, findOperation, type Evaluation } from '../../src/policy/decision/evaluate.ts'
import { checkedBodyOf } from '../../src/policy/decision/checked-body.ts'
import { policyFrom, principalOf } from '../support/policies.ts'

describe('requests whose body is read', () => {
  const whole = policyFrom({
    'keys.yaml': `keys:
  - { id: runner, scope: organization, organization: org-a, permissions: [ManageOrgSessions, ManageOrgSchedules, ImpersonateOrgSessions, ManageRepoBlueprints], secret: { env: KEY } }
`,
    'teams/alpha.yaml': `team: alpha
members: [{ groups: [a] }]
organizations: [org-a]
grants:
  - { id: run, allow: [ManageOrgSessions, ManageOrgSchedules, beta.org.blueprints.create] }
  - { id: impersonate, allow: [ImpersonateOrgSessions], when: { groups: [lead] } }
`,
    'guardrails.yaml': `guardrails:
  - { id: bounded, on: [org.schedules.create], body: { prompt: { max_length: 5 }, tags: { add: [x] } } }
`,
  })
  const principals = [principalOf({ groups: ['a'] }), principalOf({ groups: ['a', 'lead'] })]
  const paths = ['sessions', 'schedules', 'sessions/devin-1/messages', 'snapshot-setup/blueprints']
  const bodies = fc.record(
    {
      prompt: fc.constantFrom('short', 'longer than that'),
      create_as_user_id: fc.constantFrom('user-1', null),
      message_as_user_id: fc.constantFrom('user-1', null),
      repo_name: fc.constantFrom('corp/a', null),
      org_id: fc.constantFrom('org-a', 'org-b', 7, null),
      org_ids: fc.constantFrom([], ['org-a'], ['org-a', 'org-b']),
    },
    { requiredKeys: [] },
  )
  const withText = (evaluation: Evaluation) => ({ ...evaluation, body: evaluation.body?.bytes.toString() })

  test('get the same evaluation as a first request, whatever other bodies came before', () => {
    const request = fc.tuple(fc.constantFrom(...principals), fc.constantFrom(...paths))
    fc.assert(
      fc.property(request, fc.array(fc.option(bodies), { maxLength: 20 }), ([principal, path], sent) => {
        const target = parseTarget(`/${path.startsWith('snap') ? 'v3beta1' : 'v3'}/organizations/org-a/${path}`)
        const operation = findOperation(whole, 'POST', target)
        const first = evaluate(whole, principal, operation, target)
        expect(first.needsBody).toBe(true)
        for (const value of sent) {
          const body = value === null ? null : checkedBodyOf(value)
          expect(withText(evaluateBody(whole, first, body))).toEqual(
            withText(evaluate(whole, principal, operation, target, body)),
          )
        }
      }),
      { numRuns: 300 },
    )
  })

  test('keep facts and decision where their bodies add no facts', () => {
    const [principal = principalOf()] = principals
    const target = parseTarget('/v3/organizations/org-a/sessions')
    const first = evaluate(whole, principal, findOperation(whole, 'POST', target), target)
    const [one, two, other] = [{ prompt: 'a' }, { prompt: 'b' }, { create_as_user_id: 'user-1' }].map((value) =>
      evaluateBody(whole, first, checkedBodyOf(value)),
    )
    for (const each of [one, two]) expect([each?.facts, each?.decision]).toEqual([first.facts, first.decision])
    expect(one?.decision).toBe(first.decision)
    expect(one?.facts).toBe(first.facts)
    expect(one?.body?.bytes.toString()).toBe('{"prompt":"a"}')
    expect(two?.body?.bytes.toString()).toBe('{"prompt":"b"}')
    expect([one?.decision.effect, other?.decision.effect]).toEqual(['allow', 'deny'])
  })
})
