// Entries of `members` that match but for one attribute: shown in the nearest miss of a caller of no team, and never a match.

import { describe, expect, test } from 'vitest'
import type { Principal } from '../../src/identity/principal.ts'
import { ask, policyFrom, principalOf } from '../support/policies.ts'

const issuer = 'https://ci.example'
const policy = policyFrom({
  'teams/pipeline.yaml': `team: pipeline
members:
  - issuer: ${issuer}
    claims: { repository_id: 74, event_name: [push, schedule], ref: refs/heads/main }
  - { issuer: ${issuer}, subject: [robot] }
  - { issuer: ${issuer}, app: [deployer], delegated: false }
organizations: [org-a]
`,
  'teams/people.yaml': 'team: people\nmembers: [{ groups: [eng], app: [cli] }]\norganizations: [org-a]\n',
})
const claims = { repository_id: '74', event_name: 'push', ref: 'refs/heads/main' }

function nearest(caller: Partial<Principal>, set = policy): string | null {
  const { decision } = ask(set, principalOf({ issuer, ...caller }), 'GET /v3/organizations/org-a/sessions')
  expect(decision).toMatchObject({ effect: 'deny', reason: 'no-team' })
  return decision.nearest?.text ?? null
}

describe('the nearest miss of a caller of no team', () => {
  test.each<[string, Partial<Principal>, string]>([
    [
      'another value of a claim',
      { claims: { ...claims, event_name: 'pull_request' } },
      'an entry of team pipeline matches but for claim event_name: push or schedule; the token says "pull_request"',
    ],
    [
      'a claim that is not there',
      { claims: { repository_id: '74', event_name: 'push' } },
      'an entry of team pipeline matches but for claim ref: refs/heads/main; the token lacks it',
    ],
    [
      'somebody who acts',
      { app: 'deployer', actor: 'agent' },
      'an entry of team pipeline matches but for nobody who acts for the subject',
    ],
  ])('names the one attribute that does not match: %s', (_, caller, text) => {
    expect(nearest(caller)).toBe(text)
  })

  test.each<[string, Partial<Principal>]>([
    ['two attributes that do not match', { claims: { ...claims, event_name: 'x', ref: 'y' } }],
    ['an entry of which only the issuer matches', { subject: 'other' }],
    ['another issuer', { issuer: 'https://other.example', claims: { ...claims, ref: 'y' } }],
    ['an entry that names no issuer', { groups: ['eng'], app: 'other' }],
  ])('says nothing of %s', (_, caller) => {
    expect(nearest(caller)).toBeNull()
  })

  test('is bounded, whatever the token says', () => {
    const text = nearest({ claims: { ...claims, ref: 'x'.repeat(5_000) } })
    expect(text?.length).toBeLessThan(400)
    expect(text).toMatch(/x…$/)
  })

  test('is bounded, whatever the policy says', () => {
    const apps = Array.from({ length: 200 }, (_, index) => `app-${index}`).join(', ')
    const members = `[{ issuer: ${issuer}, subject: [ann], app: [${apps}] }]`
    const long = policyFrom({ 'teams/long.yaml': `team: long\nmembers: ${members}\norganizations: [org-a]\n` })
    expect(nearest({ subject: 'ann', app: 'other' }, long)).toMatch(/^an entry of team long .{1,300}…/)
    expect(nearest({ subject: 'ann', app: 'other' }, long)?.length).toBeLessThan(400)
  })
})
