// What the cache is asked for a request: two callers' requests have one key only if Devin would see the same credential and the
// same request, and the callers would be shown the same of the answer.

import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseCacheRequest } from '../../src/cache/parsed-request.ts'
import { parseTarget } from '../../src/catalogue/target.ts'
import { cacheRequestOf } from '../../src/gateway/cache-request.ts'
import { DecisionMemo } from '../../src/gateway/evaluation-memo.ts'
import { readCallerFields } from '../../src/gateway/fields.ts'
import type { KeyHandle } from '../../src/keys/key.ts'
import { ask, catalogue, keyOf, policyFrom, principalOf } from '../support/policies.ts'
import type { ResponseFilter } from '../../src/policy/model/decision.ts'

const policy = policyFrom({
  'teams/all.yaml': `team: all
members: [{ groups: [all] }]
organizations: all
grants: [{ id: read, allow: [ViewOrgSessions] }]
`,
  'keys.yaml': `keys:
  - { id: one, scope: organization, organization: org-a, permissions: [ViewOrgSessions], secret: { env: K } }
`,
})
const evaluation = ask(policy, principalOf({ groups: ['all'] }), 'GET /v3/organizations/org-a/sessions')

interface Request {
  readonly key: Pick<KeyHandle, 'id' | 'scope' | 'organization'>
  readonly filter: string | null
  readonly path: string
  readonly query: readonly string[]
  readonly accept: string | null
  readonly language: string | null
  readonly agent: string
}

const request: fc.Arbitrary<Request> = fc.record({
  key: fc.constantFrom<Request['key']>(
    { id: 'one', scope: 'organization', organization: 'org-a' },
    { id: 'one', scope: 'organization', organization: 'org-b' },
    { id: 'one', scope: 'enterprise', organization: null },
    { id: 'two', scope: 'enterprise', organization: null },
  ),
  filter: fc.constantFrom(null, 'a1', 'b2'),
  path: fc.constantFrom('/v3/organizations/org-a/sessions', '/v3/organizations/org-a/sessions/s1'),
  query: fc.array(fc.constantFrom('first=1', 'first=2', 'tags=a', 'tags=b', 'tags', 'after='), { maxLength: 3 }),
  accept: fc.constantFrom(
    null,
    '*/*',
    'application/json',
    'application/json, text/plain',
    'application/json,text/plain',
  ),
  language: fc.constantFrom(null, 'de', 'DE', 'en'),
  agent: fc.constantFrom('a', 'b'),
})

/** The key of the cache for it. */
function keyFor({ key, filter, path, query, accept, language, agent }: Request): string {
  const target = parseTarget(query.length === 0 ? path : `${path}?${query.join('&')}`)
  const rawHeaders = ['Host', 'gateway', 'User-Agent', agent]
  if (accept !== null) rawHeaders.push('Accept', accept)
  if (language !== null) rawHeaders.push('Accept-Language', language)
  const fields = readCallerFields(Object.assign(new IncomingMessage(new Socket()), { method: 'GET', rawHeaders }))
  const response: ResponseFilter | null =
    filter === null ? null : { guardrails: [], organizations: 'all', drop: [], digest: filter }
  const chosen = evaluation.key === null ? null : { ...evaluation.key, key: keyOf(key.id, key) }
  const decided = { ...evaluation, key: chosen, decision: { ...evaluation.decision, response } }
  return parseCacheRequest(
    cacheRequestOf({ ...decided, target }, new DecisionMemo(), catalogue, 'GET', fields, () => 0),
  ).key
}

/** The same spelled out: what Devin would see, and what the caller would be shown of it. */
function meaning({ key, filter, path, query, accept, language }: Request): string {
  const names = [...new Set(query.map((pair) => pair.split('=')[0] ?? ''))].sort()
  const values = names.map((name) => [name, query.filter((pair) => (pair.split('=')[0] ?? '') === name)])
  const asked = accept === '*/*' ? null : accept?.replaceAll(' ', '')
  return JSON.stringify([key.id, key.scope, key.organization, filter, path, values, asked, language?.toLowerCase()])
}

describe('two requests', () => {
  it('share answers if and only if credential, request and filter are the same', () => {
    fc.assert(
      fc.property(request, request, fc.boolean(), (one, other, alike) => {
        const second = alike ? { ...one, agent: other.agent, query: other.query } : other
        expect(keyFor(one) === keyFor(second)).toBe(meaning(one) === meaning(second))
      }),
      { numRuns: 5_000 },
    )
  })
})
