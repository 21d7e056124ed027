// Repeated requests get the same evaluation as the first time, within a bound on memory.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseTarget } from '../../src/catalogue/target.ts'
import { evaluate, findOperation } from '../../src/policy/decision/evaluate.ts'
import { DecisionMemo, longestTarget, RepeatedRequests, requestsOfCaller } from '../../src/gateway/evaluation-memo.ts'
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
  return {
    evaluation: evaluate(policy, principal, findOperation(policy, method, read), read),
    memo: new DecisionMemo(),
  }
}

describe('requests that are repeated', () => {
  test('get the same evaluation as without the memo, in any order of callers and requests', () => {
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
    for (let other = 1; other < requestsOfCaller; other++) repeated.note(ada, 'GET', `/other-${other}`, evaluation)
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
