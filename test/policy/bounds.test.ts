// Which bounds of one policy set are gone in the next, by name.

import { describe, expect, test } from 'vitest'
import { boundsOf, vanishedBounds } from '../../src/policy/loading/bounds.ts'
import { readPolicyFile, type PolicyDocument } from '../../src/policy/documents/document.ts'
import { atOnce } from '../../src/policy/model/steps.ts'

type Files = Readonly<Record<string, string>>

function read(files: Files): PolicyDocument[] {
  return Object.entries(files).map(([name, text]) => {
    const { document, diagnostics } = readPolicyFile({ file: name, name, text })
    if (document === null) throw new Error(JSON.stringify(diagnostics))
    return document
  })
}

function vanished(before: Files, after: Files): readonly string[] {
  return atOnce(vanishedBounds(boundsOf(read(before)), boundsOf(read(after))))
}

const guardrail = (members: string): Files => ({ 'guardrails.yaml': `guardrails: [{ id: g, ${members} }]` })
const gateway = (limits: string): Files => ({ 'limits.yaml': `limits: { ${limits} }` })
const team = (members: string): Files => ({
  'teams/t.yaml': `{ team: t, members: [{ groups: [g] }], organizations: [org-a], ${members} }`,
})

const members = (entries: string): Files => ({
  'teams/t.yaml': `{ team: t, organizations: [org-a], members: ${entries} }`,
})

describe('bounds that are gone', () => {
  test.each<[string, Files, Files, readonly string[]]>([
    [
      'a guardrail',
      guardrail('on: [a], body: { x: { at_most: 1 } }'),
      { 'guardrails.yaml': 'guardrails: []' },
      ['guardrail "g"'],
    ],
    [
      'a field',
      guardrail('on: [a], body: { x: { at_most: 1 }, y: { forbid: true } }'),
      guardrail('on: [a], body: { x: { at_most: 1 } }'),
      ['body.y.forbid of guardrail "g"'],
    ],
    [
      'one rule of a field',
      guardrail('on: [a], body: { x: { at_most: 1, default: 1 } }'),
      guardrail('on: [a], body: { x: { default: 1 } }'),
      ['body.x.at_most of guardrail "g"'],
    ],
    [
      'a reserved beginning',
      guardrail('on: [a], body: { tags: { reserve: ["team:", "app:"], add: ["x"] } }'),
      guardrail('on: [a], body: { tags: { reserve: ["team:"], add: ["x"] } }'),
      ['body.tags.reserve app: of guardrail "g"'],
    ],
    [
      'a parameter',
      guardrail('on: [a], query: { x: { forbid: true } }, grants: named'),
      guardrail('on: [a], query: { y: { forbid: true } }'),
      ['grants of guardrail "g"', 'query.x.forbid of guardrail "g"'],
    ],
    [
      'an operation',
      guardrail('on: [a, b], body: { x: { at_most: 1 } }'),
      guardrail('on: [b], body: { x: { at_most: 1 } }'),
      ['on.a of guardrail "g"'],
    ],
    [
      'all teams but one',
      guardrail('on: [a], body: { x: { at_most: 1 } }'),
      guardrail('on: [a], teams: [t], body: { x: { at_most: 1 } }'),
      ['teams.all of guardrail "g"'],
    ],
    [
      'a filter of answers',
      guardrail('on: [a], response: { filter_items_by: organizations, fields: [s, t] }'),
      guardrail('on: [a], response: { fields: [t] }'),
      ['response.fields.s of guardrail "g"', 'response.filter_items_by of guardrail "g"'],
    ],
    [
      'the enforcement',
      guardrail('on: [a], body: { x: { at_most: 1 } }'),
      guardrail('on: [a], body: { x: { at_most: 1 } }, mode: shadow'),
      ['guardrail "g"'],
    ],
    [
      'limits of the gateway',
      gateway('requests: 1/s, concurrent: 4'),
      gateway('concurrent: 8'),
      ['requests of the limits of the gateway'],
    ],
    [
      'a budget of an organization',
      gateway('organizations: { org-a: { acus: 5/month, sessions: 5/day } }'),
      gateway('organizations: { org-a: { sessions: 5/day } }'),
      ['organizations.org-a.acus of the limits of the gateway'],
    ],
    ['the file of the limits', gateway('requests: 1/s'), {}, ['the limits of the gateway']],
    [
      'limits of a team',
      team(
        'limits: { requests: 1/s, sessions: 3/day, attempts: 9/min, apps: { a: { writes: 1/s } }, per_principal: { requests: 1/s } }',
      ),
      team('limits: { sessions: 4/day }'),
      [
        'apps.a.writes of the limits of team "t"',
        'attempts of the limits of team "t"',
        'per_principal.requests of the limits of team "t"',
        'requests of the limits of team "t"',
      ],
    ],
    [
      'the condition of a grant',
      team('grants: [{ id: x, allow: [a], when: { groups: [l], app: [b] } }]'),
      team('grants: [{ id: x, allow: [a], when: { app: [b] } }]'),
      ['when.groups of the condition of grant "x" of team "t"'],
    ],
    [
      'a condition of members',
      members('[{ groups: [g, h], app: [a], until: 2030-01-01T00:00:00Z }, { email: [e] }]'),
      members('[{ groups: [g] }, { email: [e] }]'),
      [
        'the condition app of an entry of members of team "t"',
        'the condition until of an entry of members of team "t"',
      ],
    ],
    [
      'a condition of members on a claim',
      members('[{ groups: [g], claims: { region: eu, level: [1, 2] } }]'),
      members('[{ groups: [g], claims: { region: eu } }]'),
      ['the condition level of an entry of members of team "t"'],
    ],
  ])('%s', (_name, before, after, gone) => {
    expect(vanished(before, after)).toEqual(gone)
    expect(vanished(before, before)).toEqual([])
  })

  test.each<[string, Files, Files]>([
    [
      'a new value',
      guardrail('on: [a], body: { x: { at_most: 1 } }'),
      guardrail('on: [a], body: { x: { at_most: 9 } }'),
    ],
    [
      'another order',
      guardrail('on: [a, b], body: { x: { at_most: 1 } }'),
      guardrail('on: [b, a], body: { x: { at_most: 1 } }'),
    ],
    [
      'another file',
      guardrail('on: [a], body: { x: { at_most: 1 } }'),
      { 'guardrails.more.yaml': guardrail('on: [a], body: { x: { at_most: 1 } }')['guardrails.yaml'] ?? '' },
    ],
    [
      'other members',
      members('[{ groups: [g], app: [a] }, { groups: [h] }]'),
      members('[{ groups: [h] }, { groups: [i] }, { groups: [g], app: [b] }, { groups: [g], app: [a], email: [e] }]'),
    ],
    [
      'members beside which others stood',
      members('[{ groups: [g], app: [a] }, { groups: [g] }]'),
      members('[{ groups: [g] }]'),
    ],
    ['what was only watched', guardrail('on: [a], body: { x: { at_most: 1 } }, mode: shadow'), {}],
    [
      'what is gone with its team',
      team('limits: { requests: 1/s }, grants: [{ id: x, allow: [a], when: { app: [b] } }]'),
      {},
    ],
    ['what is gone with its grant', team('grants: [{ id: x, allow: [a], when: { app: [b] } }]'), team('grants: []')],
    ['soft bounds', team('limits: { acus: { hard: 5/month, soft: 4/month } }'), team('limits: { acus: 5/month }')],
  ])('are none: %s', (_name, before, after) => {
    expect(vanished(before, after)).toEqual([])
  })
})
