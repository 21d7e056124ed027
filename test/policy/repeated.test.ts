import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseTarget } from '../../src/catalogue/target.ts'
import { evaluate, evaluateBody, findOperation, type Evaluation } from '../../src/policy/evaluate.ts'
import { longestTarget, placesOfCaller, RepeatedRequests } from '../../src/policy/repeated.ts'
import { judgedBodyOf } from '../../src/policy/judged-body.ts'
import { policyFrom, principalOf } from '../support/policies.ts'

const policy = policyFrom({
  'teams/alpha.yaml':
    'team: alpha\nmembers: [{ groups: [a] }]\norganizations: [org-a]\ngrants: [{ id: read, allow: [ViewOrgSessions] }]\n',
  'teams/bravo.yaml':
    'team: bravo\nmembers: [{ groups: [b] }]\norganizations: [org-b]\ngrants: [{ id: read, allow: [org.sessions.get] }]\n',
})
const callers = [
  principalOf({ subject: 'ada', groups: ['a'] }),
  principalOf({ subject: 'bob', groups: ['b'] }),
  // Equal in everything, and another token all the same.
  principalOf({ subject: 'bob', groups: ['b'] }),
  principalOf({ subject: 'eve', groups: ['a', 'b'] }),
]
const targets = ['org-a', 'org-b'].flatMap((organization) =>
  [0, 1, 2, 3].flatMap((id) => [
    `/v3/organizations/${organization}/sessions/devin-${id}`,
    `/v3/organizations/${organization}/sessions?first=${id}`,
  ]),
)
const call = fc.record({
  caller: fc.nat(callers.length - 1),
  method: fc.constantFrom('GET', 'HEAD'),
  target: fc.constantFrom(...targets),
})

function evaluated(caller: number, method: string, target: string) {
  const principal = callers[caller] ?? principalOf()
  const read = parseTarget(target)
  return evaluate(policy, principal, findOperation(policy, method, read), read)
}

describe('requests that are repeated', () => {
  test('come to what they would come to without the memory, whoever asks what in which order', () => {
    fc.assert(
      fc.property(fc.array(call, { maxLength: 200 }), (calls) => {
        const repeated = new RepeatedRequests(5)
        for (const { caller, method, target } of calls) {
          const principal = callers[caller] ?? principalOf()
          const known = repeated.find(principal, method, target)
          const fresh = evaluated(caller, method, target)
          if (known !== null) expect(known).toEqual(fresh)
          else repeated.note(principal, method, target, fresh)
        }
      }),
    )
  })

  test('are remembered from their second time on, and only as many for each caller', () => {
    const repeated = new RepeatedRequests()
    const [ada = principalOf(), bob = principalOf()] = callers
    const [target = ''] = targets
    const evaluation = evaluated(0, 'GET', target)
    repeated.note(ada, 'GET', target, evaluation)
    expect(repeated.find(ada, 'GET', target)).toBeNull()
    repeated.note(ada, 'GET', target, evaluation)
    expect(repeated.find(ada, 'GET', target)).toBe(evaluation)
    expect(repeated.find(ada, 'HEAD', target)).toBeNull()
    expect(repeated.find(bob, 'GET', target)).toBeNull()
    for (let other = 1; other < placesOfCaller; other++) repeated.note(ada, 'GET', `/other-${other}`, evaluation)
    expect(repeated.find(ada, 'GET', target)).toBe(evaluation)
    repeated.note(ada, 'GET', '/one-more', evaluation)
    expect(repeated.find(ada, 'GET', target)).toBeNull()
  })

  test('take only so much memory: all are forgotten when there are too many, and long ones are none', () => {
    const repeated = new RepeatedRequests(2)
    const [ada = principalOf(), bob = principalOf()] = callers
    const evaluation = evaluated(0, 'GET', targets[0] ?? '')
    const keep = (who: typeof ada, target: string): void => {
      for (let time = 0; time < 2; time++) repeated.note(who, 'GET', target, evaluation)
    }
    keep(ada, '/one')
    keep(bob, '/two')
    expect([repeated.find(ada, 'GET', '/one'), repeated.find(bob, 'GET', '/two')]).toEqual([evaluation, evaluation])
    keep(bob, '/three')
    for (const target of ['/one', '/two', '/three'])
      expect([repeated.find(ada, 'GET', target), repeated.find(bob, 'GET', target)]).toEqual([null, null])
    keep(ada, '/one')
    expect(repeated.find(ada, 'GET', '/one')).toBe(evaluation)
    const long = `/${'x'.repeat(longestTarget)}`
    keep(ada, long)
    expect(repeated.find(ada, 'GET', long)).toBeNull()
  })
})

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
  const told = (evaluation: Evaluation) => ({ ...evaluation, body: evaluation.body?.bytes.toString() })

  test('come to what they would come to at first sight, whatever other bodies came before', () => {
    const request = fc.tuple(fc.constantFrom(...principals), fc.constantFrom(...paths))
    fc.assert(
      fc.property(request, fc.array(fc.option(bodies), { maxLength: 20 }), ([principal, path], sent) => {
        const target = parseTarget(`/${path.startsWith('snap') ? 'v3beta1' : 'v3'}/organizations/org-a/${path}`)
        const operation = findOperation(whole, 'POST', target)
        const first = evaluate(whole, principal, operation, target)
        expect(first.needsBody).toBe(true)
        for (const value of sent) {
          const body = value === null ? null : judgedBodyOf(value)
          expect(told(evaluateBody(whole, first, body))).toEqual(
            told(evaluate(whole, principal, operation, target, body)),
          )
        }
        // However large they were.
        expect(first.derived.unmoved?.body ?? null).toBeNull()
      }),
      { numRuns: 300 },
    )
  })

  test('are written down once where their bodies say nothing that counts, and by themselves where they do', () => {
    const [principal = principalOf()] = principals
    const target = parseTarget('/v3/organizations/org-a/sessions')
    const first = evaluate(whole, principal, findOperation(whole, 'POST', target), target)
    const [one, two, other] = [{ prompt: 'a' }, { prompt: 'b' }, { create_as_user_id: 'user-1' }].map((value) =>
      evaluateBody(whole, first, judgedBodyOf(value)),
    )
    expect(one?.derived).toBe(two?.derived)
    expect(one?.body?.bytes.toString()).toBe('{"prompt":"a"}')
    expect(two?.body?.bytes.toString()).toBe('{"prompt":"b"}')
    expect([one?.decision.effect, other?.decision.effect]).toEqual(['allow', 'deny'])
    expect([one?.derived, first.derived]).not.toContain(other?.derived)
  })
})
