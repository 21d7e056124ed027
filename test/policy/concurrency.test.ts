// Limits of requests under way compared with the connections of one instance: warns where one could take all of them.

import { expect, test } from 'vitest'
import { concurrencyWarnings } from '../../src/policy/warnings/concurrency.ts'
import { readPolicyFile, type GatewayLimitsDocument, type TeamDocument } from '../../src/policy/documents/document.ts'
import { formatDiagnostic } from '../../src/config/diagnostics.ts'

function warnings(connections: number, gateway: string | null, ...limits: readonly string[]): string[] {
  const teams = limits.map((written, index): TeamDocument => {
    const text = `team: t${index}\nmembers: [{ groups: [g] }]\norganizations: [o]\ngrants: [{ id: g, allow: [ViewOrgSessions] }]\nlimits: ${written}\n`
    const { document } = readPolicyFile({ file: `t${index}.yaml`, name: `teams/t${index}.yaml`, text })
    if (document?.kind !== 'team') throw new Error('no team')
    return document
  })
  const all =
    gateway === null
      ? null
      : readPolicyFile({ file: 'limits.yaml', name: 'limits.yaml', text: `limits: ${gateway}\n` }).document
  const together: GatewayLimitsDocument[] = all?.kind === 'limits' ? [all] : []
  return concurrencyWarnings(teams, together, connections).map(formatDiagnostic)
}

test.each<[said: string, connections: number, gateway: string | null, teams: string[], expected: RegExp[]]>([
  ['a team within its share', 128, null, ['{ concurrent: 100 }'], []],
  [
    'a team above all connections',
    128,
    null,
    ['{ concurrent: 128 }'],
    [
      /^t0\.yaml:5:23: warning: concurrent lets team t0 have 128 requests under way, and upstream\.connections is 128, of which a team alone gets at most 100: .*lower it to at most 100/,
    ],
  ],
  [
    'a team above its share',
    128,
    null,
    ['{ concurrent: 101 }', '{ concurrent: 106, priority: high }', '{ concurrent: 91, weight: 1 }'],
    [/t0 have 101 .* at most 100:/, /t2 have 91 .* at most 90:/],
  ],
  [
    'an app, each caller, a group of operations, of a team that nothing bounds',
    128,
    null,
    [
      '{ apps: { a: { concurrent: 5 }, b: { concurrent: 500 } }, per_principal: { concurrent: 200 }, operations: { org.sessions.create: { concurrent: 300 } } }',
    ],
    [
      /^t0\.yaml:5:\d+: warning: concurrent lets app b of team t0 have 500 requests under way/,
      /concurrent lets each caller of team t0 have 200 /,
      /concurrent lets org\.sessions\.create by team t0 have 300 /,
    ],
  ],
  ['what a team bounds further', 128, null, ['{ concurrent: 50, apps: { b: { concurrent: 500 } } }'], []],
  [
    'operations of all together above',
    128,
    '{ operations: { org.sessions.create: { concurrent: 129 } } }',
    [],
    [/^limits\.yaml:1:\d+: warning: concurrent lets 129 requests of org\.sessions\.create by all teams be under way/],
  ],
  [
    'each team above',
    10,
    null,
    ['{ concurrent: 20 }', '{ concurrent: 5 }', '{ concurrent: 30 }'],
    [/t0 have 20/, /t2 have 30/],
  ],
  [
    'all together above',
    128,
    '{ concurrent: 200 }',
    [],
    [
      /^limits\.yaml:1:23: warning: concurrent lets 200 requests of all teams be under way, and upstream\.connections is 128/,
    ],
  ],
  ['all together at most', 128, '{ concurrent: 128 }', ['{ concurrent: 20 }'], []],
  [
    'the sum of teams that nothing bounds',
    30,
    null,
    ['{ concurrent: 20 }', '{ concurrent: 20 }'],
    [/^t0\.yaml:5:23: warning: the teams together may have 40 requests under way/],
  ],
  ['the sum that the gateway bounds', 30, '{ concurrent: 30 }', ['{ concurrent: 20 }', '{ concurrent: 20 }'], []],
  ['what is only tried', 10, '{ concurrent: 200, mode: shadow }', ['{ concurrent: 20, mode: shadow }'], []],
  ['no limit at all', 10, null, ['{ requests: 5/min }'], []],
])('%s', (_said, connections, gateway, teams, expected) => {
  const found = warnings(connections, gateway, ...teams)
  expect(found).toEqual(expected.map((pattern) => expect.stringMatching(pattern)))
})
