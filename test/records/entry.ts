// Entries with every member, plain ones and arbitrary ones.

import * as fc from 'fast-check'
import type { AccessEntry, DecisionEntry, DecisionHead } from '../../src/records/entries.ts'
import { isNameReadRight } from '../support/json-names.ts'

/** The head of a decision entry, identified by its request id. */
export function decisionHead(requestId: string): DecisionHead {
  const ended = { how: 'forwarded', stage: 'forward', sent: true } as const
  return { time: '2026-11-24T10:00:00.123Z', decision_id: '01JDEXAMPLE', request_id: requestId, ended }
}

/** An access entry, identified by its request id. */
export function accessEntry(requestId: string): AccessEntry {
  return {
    time: '2026-11-24T10:00:00.123Z',
    request_id: requestId,
    decision_id: '01JDEXAMPLE',
    method: 'GET',
    operation: 'org.sessions.list',
    path: null,
    organization: 'org-payments',
    team: 'payments',
    app: 'payments-bot',
    subject: 'alice@corp.example',
    key: 'payments-runner',
    key_version: 1,
    status: 200,
    outcome: 'forwarded',
    problem: null,
    reason: 'granted',
    limit: null,
    cache: 'miss',
    upstream_status: 200,
    upstream_request_id: null,
    bytes_in: 0,
    bytes_out: 15_234,
    duration_ms: 12.345,
    upstream_ms: 11.2,
    waited_ms: null,
    trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
    policy_revision: '0123456789abcdef',
  }
}

/** Any text: all of Unicode, quotes, controls, halves of surrogate pairs. */
export const anyText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom('"', '\\', '\n', '\r', '\u2028', '\0', '\ud800', 'a\udc00b', '\ufffd', '</script>', '日本', '😀'),
)
const anyName = anyText.filter((name) => name !== '__proto__' && isNameReadRight(name))
const anyTextOrNull = fc.option(anyText)
const anyNumber = fc.oneof(fc.nat(), fc.double({ min: 0, max: 1e9, noNaN: true }))
const anyNumberOrNull = fc.option(anyNumber)
const someTexts = fc.array(anyText, { maxLength: 3 })

export const anyAccessEntry: fc.Arbitrary<AccessEntry> = fc.record({
  time: anyText,
  request_id: anyText,
  decision_id: anyText,
  method: anyTextOrNull,
  operation: anyTextOrNull,
  path: anyTextOrNull,
  organization: anyTextOrNull,
  team: anyTextOrNull,
  app: anyTextOrNull,
  subject: anyTextOrNull,
  key: anyTextOrNull,
  key_version: anyNumberOrNull,
  status: anyNumberOrNull,
  outcome: fc.constantFrom('forwarded', 'answered', 'refused', 'aborted', 'failed'),
  problem: anyTextOrNull,
  reason: anyText,
  limit: anyTextOrNull,
  cache: anyTextOrNull,
  upstream_status: anyNumberOrNull,
  upstream_request_id: anyTextOrNull,
  bytes_in: anyNumber,
  bytes_out: anyNumber,
  duration_ms: anyNumber,
  upstream_ms: anyNumberOrNull,
  waited_ms: anyNumberOrNull,
  trace_id: anyTextOrNull,
  policy_revision: anyTextOrNull,
})

const someFindings = fc.array(
  fc.record({ guardrail: anyText, in: fc.constantFrom('body', 'query', 'grant'), place: anyText, bound: anyText }),
  { maxLength: 2 },
)

export const anyDecisionEntry: fc.Arbitrary<DecisionEntry> = fc.record({
  time: anyText,
  decision_id: anyText,
  request_id: anyText,
  ended: fc.record({ how: fc.constantFrom('forwarded', 'refused', 'aborted'), stage: anyText, sent: fc.boolean() }),
  effect: fc.constantFrom('allow', 'deny'),
  reason: anyText,
  detail: anyTextOrNull,
  subject: anyTextOrNull,
  issuer: anyTextOrNull,
  email: anyTextOrNull,
  email_verified: fc.boolean(),
  app: anyTextOrNull,
  actor: anyTextOrNull,
  groups: someTexts,
  claims: fc.dictionary(anyName, fc.oneof(anyText, fc.integer(), fc.boolean(), someTexts), { maxKeys: 3 }),
  teams: someTexts,
  team: anyTextOrNull,
  grant: anyTextOrNull,
  owner: anyTextOrNull,
  operation: anyTextOrNull,
  organizations: someTexts,
  extra_permissions: someTexts,
  key: anyTextOrNull,
  nearest: anyTextOrNull,
  warn: fc.array(
    fc.record({
      team: anyText,
      grant: anyTextOrNull,
      guardrail: anyTextOrNull,
      effect: fc.constantFrom('deny', 'other-team', 'filter'),
      reason: anyTextOrNull,
      detail: anyText,
    }),
    { maxLength: 2 },
  ),
  shadow: fc.array(fc.record({ team: anyText, grant: anyText, effect: fc.constant('allow' as const) }), {
    maxLength: 2,
  }),
  guardrails: fc.option(
    fc.record({
      applied: someTexts,
      changed: someFindings,
      refused: someFindings,
      shadow: fc.array(
        fc.record({
          guardrail: anyText,
          effect: fc.constantFrom('allow', 'change', 'filter', 'deny'),
          findings: someFindings,
        }),
        { maxLength: 2 },
      ),
      filtered: fc.option(
        fc.record({ organizations: fc.oneof(fc.constant('all' as const), someTexts), fields: someTexts }),
      ),
      read: fc.dictionary(anyName, fc.oneof(anyText, anyNumber), { maxKeys: 2 }),
    }),
  ),
  request: fc.option(fc.record({ body_read: fc.boolean() })),
  policy_revision: anyTextOrNull,
})
