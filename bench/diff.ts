// How long `diff` takes for two large policy sets: 100 teams, 200 organizations, conditions. `node bench/diff.ts`.

import { comparePolicies } from '../src/policy/comparison/compare.ts'
import { policyFrom } from '../test/support/policies.ts'

const teams = 100
const organizations = Array.from({ length: 200 }, (_, index) => `org-${index}`)

/** A set with fences of two organizations, or of all; `seed` says which teams have one grant more. */
function files(seed: number, isOpen: boolean): Readonly<Record<string, string>> {
  const keys = organizations.map(
    (id, index) =>
      `  - { id: k${index}, scope: organization, organization: ${id}, permissions: [ViewOrgSessions, ManageOrgSessions, ManageOrgSecrets, ViewOrgMetrics], secret: { env: A } }`,
  )
  const enterprise =
    '  - { id: top, scope: enterprise, permissions: [ViewAccountSessions, ManageOrganizations, ViewAccountMetrics], serves_organizations: all, secret: { env: E } }'
  const teamFiles = Array.from({ length: teams }, (_, t) => [
    `teams/t${t}.yaml`,
    `team: t${t}
members: [{ groups: [g${t}, h${t}] }, { app: [bot${t}] }]
organizations: ${isOpen ? 'all' : `[${organizations.slice(2 * t, 2 * t + 2).join(', ')}]`}
grants:
  - { id: a, allow: [ViewOrgSessions, ManageOrgSessions] }
  - { id: b, allow: [org.*], when: { groups: [lead${t}] } }
  - { id: c, allow: [ent.sessions.*, ent.metrics.*], when: { claims: { department: [d${t % 7}] } } }
${t % 10 === seed ? '  - { id: d, allow: [ent.*], when: { email: [head@corp.example] } }\n' : ''}`,
  ])
  return { ...Object.fromEntries(teamFiles), 'keys.yaml': ['keys:', ...keys, enterprise].join('\n') }
}

for (const isOpen of [false, true]) {
  const [from, to] = [1, 2].map((seed) => ({ policy: policyFrom(files(seed, isOpen)), nameOf: (file: string) => file }))
  if (from === undefined || to === undefined) continue
  const startedAtMs = performance.now()
  const { decided, undecided, changes } = comparePolicies(from, to)
  const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(1)
  const megabytes = Math.round(process.memoryUsage().rss / 1e6)
  console.log(
    `${isOpen ? 'all organizations' : 'fences of two'}: ${seconds} s, ${megabytes} MB resident, ${decided} cells (${undecided} undecided), ${changes.length} differences`,
  )
}
