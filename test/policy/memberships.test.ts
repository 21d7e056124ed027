// Looking a caller's teams up says the same as asking every condition of every team.

import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createMembershipFinder } from '../../src/policy/compile/memberships.ts'
import type { Team } from '../../src/policy/model/policy-set.ts'
import { policyFrom, principalOf } from '../support/policies.ts'
import { atOnce } from '../../src/policy/model/steps.ts'
import { compileCondition, conditionHolds } from '../../src/policy/model/condition.ts'

const [template] = policyFrom({
  'teams/t.yaml': 'team: t\nmembers: [{ groups: [g] }]\norganizations: [org-a]\n',
  'keys.yaml': 'keys: []\n',
}).teams

// Values that could be mistaken for one another: those of other attributes, and what stands for an absent one.
const value = fc.constantFrom('a', 'b', 'null', 'undefined', 'app a', '')
const values = fc.option(fc.array(value, { minLength: 1, maxLength: 3 }), { nil: undefined })
const condition = fc.record({
  groups: values,
  app: values,
  subject: values,
  email: values,
  issuer: values,
  actor: values,
  delegated: fc.option(fc.boolean(), { nil: undefined }),
  claims: fc.option(fc.record({ unit: fc.array(value, { minLength: 1, maxLength: 2 }) }), { nil: undefined }),
})
const caller = fc.record({
  groups: fc.array(value, { maxLength: 4 }),
  app: fc.option(value),
  subject: value,
  email: fc.option(value),
  issuer: value,
  actor: fc.option(value),
  claims: fc.record({ unit: value }),
})

test('the teams found are those with a condition that holds, in their order', () => {
  if (template === undefined) throw new Error('the policy has a team')
  const team = fc.array(condition, { minLength: 1, maxLength: 3 }).map((members): Team => ({
    ...template,
    members: members.map((each) => ({ ...compileCondition(each), ending: { endsAtMs: null, reason: null } })),
  }))
  fc.assert(
    fc.property(
      fc.array(team, { maxLength: 6 }),
      fc.array(caller, { minLength: 1, maxLength: 5 }),
      (teams, callers) => {
        const find = atOnce(createMembershipFinder(teams))
        for (const attributes of callers) {
          const principal = principalOf(attributes)
          const plain = teams.filter(({ members }) => members.some((each) => conditionHolds(each, principal)))
          expect(find(principal, teams)).toEqual(plain)
        }
      },
    ),
    { numRuns: 1000 },
  )
})
