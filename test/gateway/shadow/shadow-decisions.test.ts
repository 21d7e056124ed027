// The bounds of the shadow set's examples and queue, the answers of several workers as one, and what cannot be decided.

import { describe, expect, test } from 'vitest'
import type { RequestContext } from '../../../src/gateway/context.ts'
import { DisagreementReport, mostExamples, mostGroups } from '../../../src/gateway/shadow/disagreement-report.ts'
import { createShadowDecisions } from '../../../src/gateway/shadow/shadow-decisions.ts'
import { parseTarget } from '../../../src/catalogue/target.ts'
import { withoutTeams } from '../../../src/policy/model/blocked-teams.ts'
import { evaluate } from '../../../src/policy/decision/evaluate.ts'
import type { Disagreement } from '../../../src/policy/comparison/disagreements.ts'
import { mergeShadow } from '../../../src/workers/merged-shadow.ts'
import { operationOf, policyFrom, principalOf } from '../../support/policies.ts'

const gained: Disagreement = { change: 'gained', team: 't', from: 'denied', to: 'allowed', isFinal: true }
const request = {
  atMs: 0,
  decisionId: 'd',
  method: 'GET',
  path: '/v3/self',
  operation: 'self.get',
  organization: null,
  subject: 'ann',
  app: null,
}

describe('examples', () => {
  test('are few, the latest first, and one caller does not push the others out', () => {
    const report = new DisagreementReport()
    for (let at = 0; at < 4; at += 1) report.add(gained, { ...request, atMs: at, subject: `caller-${at}` })
    for (let at = 4; at < 1000; at += 1) report.add(gained, { ...request, atMs: at, subject: 'caller-3' })
    const [group] = report.view()
    expect(group?.count).toBe(1000)
    expect(group?.examples.map(({ subject }) => subject)).toEqual(['caller-3', 'caller-2', 'caller-1'])
    expect(group?.examples).toHaveLength(mostExamples)
    expect([group?.first_at, group?.last_at]).toEqual(['1970-01-01T00:00:00.000Z', '1970-01-01T00:00:00.999Z'])
  })

  test('hold no long text and no secret', () => {
    const report = new DisagreementReport()
    const secret = 'cog_payments-runner-0123456789abcdef'
    report.add(gained, { ...request, path: `/v3/${secret}/${'x'.repeat(5000)}`, subject: `a\u202e${'y'.repeat(5000)}` })
    const text = JSON.stringify(report.view())
    expect(text.length).toBeLessThan(1500)
    expect(text).not.toContain(secret)
    expect(text).not.toContain('\u202e')
  })

  test('are of so many groups at most; others are counted', () => {
    const report = new DisagreementReport()
    for (let at = 0; at < mostGroups + 7; at += 1) report.add({ ...gained, team: `t${at}` }, request)
    expect([report.view().length, report.notShown]).toEqual([mostGroups, 7])
    report.clear()
    expect([report.view().length, report.notShown]).toEqual([0, 0])
  })
})

const files = {
  'teams/t.yaml':
    'team: t\nmembers: [{ groups: [g] }]\norganizations: [org-a]\ngrants: [{ id: all, allow: [org.*] }]\n',
  'keys.yaml':
    'keys: [{ id: k, scope: organization, organization: org-a, permissions: [ViewOrgSessions, ManageOrgSessions], secret: { env: K } }]\n',
}
const inForce = policyFrom(files)
const bounding = policyFrom({
  ...files,
  'guardrails.yaml': 'guardrails: [{ id: b, on: [org.sessions.create], body: { max_acu_limit: { at_most: 5 } } }]\n',
})
const looking = policyFrom({
  ...files,
  'guardrails.yaml':
    'guardrails: [{ id: b, on: [org.sessions.create], body: { title: { equals: principal.devin_user_id } } }]\n',
})

function started(shadow = bounding, present = inForce) {
  const counted: string[] = []
  const decisions = createShadowDecisions({
    shadow: () => shadow,
    inForce: () => present,
    meter: { shadowDecision: (result) => void counted.push(result), shadowDisagreement: () => {} },
    now: () => 1000,
    monotonic: () => 0,
    maxJudgedBytes: 1000,
    onDefect: (error) => {
      throw error
    },
  })
  return { decisions, counted }
}

/** A create that was allowed, with the body that was kept of it. */
function exchange(body: string | null, changes: object = {}): RequestContext {
  const target = parseTarget('/v3/organizations/org-a/sessions')
  const evaluation = evaluate(inForce, principalOf({ groups: ['g'] }), operationOf('org.sessions.create'), target, null)
  return {
    decisionId: 'd',
    method: 'POST',
    target,
    fields: { bodyLength: body?.length ?? null, contentEncoding: null, forward: ['content-type', 'application/json'] },
    receivedBody: body === null ? null : Buffer.from(body),
    devinUser: undefined,
    startedAtMs: 0,
    policy: inForce,
    evaluation,
    problem: null,
    ...changes,
    // What is read of it, and nothing else.
  } as unknown as RequestContext
}

const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}

test.each([
  ['a body within its bounds', exchange('{"max_acu_limit":5}'), { same: 1 }],
  ['a body beyond them', exchange('{"max_acu_limit":6}'), { different: 1 }],
  ['a body that it cannot read', exchange('{"max_acu_limit":6'), { different: 1 }],
  [
    'a body of another media type',
    exchange('{}', { fields: { bodyLength: 2, contentEncoding: null, forward: ['content-type', 'text/csv'] } }),
    { different: 1 },
  ],
  ['a larger body than it would read', exchange(null, { fields: { bodyLength: 1001 } }), { different: 1 }],
  ['a body that was not kept', exchange(null), { undecided: { body: 1 } }],
  [
    'a body that was refused as too large',
    exchange(null, { problem: { kind: 'body-too-large' } }),
    { undecided: { unfinished: 1 } },
  ],
  [
    'a request of an earlier set',
    exchange('{}', { policy: { ...inForce, revision: 'earlier' } }),
    { undecided: { changed: 1 } },
  ],
])('%s', async (_, context, expected) => {
  const { decisions } = started()
  decisions.note(context)
  expect(decisions.counts).toMatchObject({ same: 0, different: 0 })
  await turns()
  expect(decisions.counts).toMatchObject(expected)
})

test("a caller's user at Devin is taken from the request, and nobody is asked for it", async () => {
  const { decisions } = started(looking)
  decisions.note(exchange('{"title":"u"}'))
  decisions.note(exchange('{"title":"u"}', { devinUser: { id: 'u' } }))
  decisions.note(exchange('{"title":"u"}', { devinUser: { id: 'v' } }))
  await turns()
  expect(decisions.counts).toMatchObject({ undecided: { 'devin-user': 1 }, same: 1, different: 1 })
})

test('a team that operators have blocked is blocked under it, too', async () => {
  const { decisions } = started()
  const policy = withoutTeams(inForce, new Map([['t', { reason: 'leaked', untilMs: null }]]))
  const caller = principalOf({ groups: ['g'] })
  const target = parseTarget('/v3/organizations/org-a/sessions')
  const evaluation = evaluate(policy, caller, operationOf('org.sessions.create'), target, null)
  decisions.note(exchange('{}', { policy, evaluation }))
  await turns()
  expect([evaluation.decision.effect, decisions.counts.same]).toEqual(['deny', 1])
})

test('what waits is bounded by number and by bytes; what finds no room is counted as dropped', async () => {
  const many = started()
  for (let sent = 0; sent < 1200; sent += 1) many.decisions.note(exchange('{}'))
  expect(many.decisions.counts.dropped).toBe(200)
  many.decisions.close()
  await turns()
  expect(many.decisions.counts.decided).toBe(0)
  const large = started()
  for (let sent = 0; sent < 6; sent += 1)
    large.decisions.note(
      exchange(null, { receivedBody: Buffer.alloc(1024 * 1024), fields: { bodyLength: 1024 * 1024 } }),
    )
  expect(large.decisions.counts.dropped).toBe(2)
  expect(large.counted).toEqual(['dropped', 'dropped'])
  await turns()
  large.decisions.note(exchange('{}'))
  await turns()
  expect(large.decisions.counts).toMatchObject({ dropped: 2, same: 1 })
})

test('the answers of several workers are one: counts are added, and another pair of sets is left out', () => {
  const answer = (at: string, count: number, revision = 'r') => ({
    revision,
    in_force: 'f',
    since: at,
    decided: count,
    same: 0,
    different: count,
    undecided: { body: 1 },
    dropped: 2,
    disagreements: [
      { change: 'lost', team: 't', operation: 'o', count, first_at: at, last_at: at, examples: [{ at }] },
      { change: 'gained', team: at, operation: 'o', count: 1, first_at: at, last_at: at, examples: [{ at }] },
    ],
    not_shown: 0,
  })
  expect(mergeShadow([answer('1', 3), answer('2', 4), answer('3', 5, 'other')])).toEqual({
    ...answer('1', 7),
    undecided: { body: 2 },
    dropped: 4,
    disagreements: [
      { change: 'gained', team: '1', operation: 'o', count: 1, first_at: '1', last_at: '1', examples: [{ at: '1' }] },
      { change: 'gained', team: '2', operation: 'o', count: 1, first_at: '2', last_at: '2', examples: [{ at: '2' }] },
      { change: 'lost', team: 't', operation: 'o', count: 7, first_at: '1', last_at: '2', examples: [{ at: '2' }] },
    ],
    workers_with_other_sets: 1,
  })
})
