// How long `simulate` takes for a million recorded decisions, and its memory. `node bench/simulate.ts [DECISIONS]`. The log is made
// by a generator in the process, so that no disk is measured: every second decision repeats, every tenth has a body.

import { Readable } from 'node:stream'
import { ReplayTally } from '../src/policy/replay/tally.ts'
import { readDecisions } from '../src/cli/logs/decisions.ts'
import { policyFrom } from '../test/support/policies.ts'

const count = Number(process.argv[2] ?? 1_000_000)
const teams = 100

const policy = policyFrom({
  ...Object.fromEntries(
    Array.from({ length: teams }, (_, t) => [
      `teams/t${t}.yaml`,
      `team: t${t}
members: [{ groups: [g${t}] }]
organizations: [org-${t}]
grants:
  - { id: a, allow: [ViewOrgSessions, ManageOrgSessions] }
  - { id: b, allow: [org.playbooks.*], when: { groups: [lead${t}] } }
`,
    ]),
  ),
  'guardrails.yaml':
    'guardrails:\n  - { id: small, on: [org.sessions.create], body: { max_acu_limit: { default: 10, at_most: 25 } } }\n',
  'keys.yaml': `keys:\n${Array.from({ length: teams }, (_, t) => `  - { id: k${t}, scope: organization, organization: org-${t}, permissions: [ViewOrgSessions, ManageOrgSessions, UseDevinSessions], secret: { env: A } }`).join('\n')}\n`,
})

function line(index: number): string {
  const t = index % teams
  const isCreate = index % 10 === 0
  const subject = index % 2 === 0 ? `user-${t}` : `user-${index}`
  const head = {
    time: new Date(1_790_000_000_000 + index * 1000).toISOString(),
    decision_id: `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`,
    request_id: `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`,
    ended: { how: 'forwarded', stage: 'forward', sent: true },
    effect: 'allow',
    reason: 'granted',
    detail: null,
    subject,
    issuer: 'https://sso.corp.example',
    email: `${subject}@corp.example`,
    email_verified: true,
    app: null,
    actor: null,
    groups: [`g${t}`],
    claims: {},
    teams: [`t${t}`],
    team: `t${t}`,
    grant: 'a',
    owner: null,
    operation: isCreate ? 'org.sessions.create' : 'org.sessions.list',
    organizations: [`org-${t}`],
    extra_permissions: [],
    key: `k${t}`,
    nearest: null,
    shadow: [],
    warn: [],
    guardrails: isCreate
      ? {
          applied: ['small'],
          changed: [{ guardrail: 'small', in: 'body', place: 'max_acu_limit', bound: 'default' }],
          refused: [],
          shadow: [],
          filtered: null,
          read: { 'body.max_acu_limit': 10 },
        }
      : null,
    request: isCreate ? { body_read: true, body: { prompt: '(text of 40)' } } : { body_read: false },
    policy_revision: 'a',
  }
  return `${JSON.stringify(head)}\n`
}

function* log(): Generator<Buffer> {
  for (let from = 0; from < count; from += 500)
    yield Buffer.from(Array.from({ length: Math.min(500, count - from) }, (_, index) => line(from + index)).join(''))
}

let made = 0
for (const chunk of log()) made += chunk.length
const generating = performance.now()
for (const chunk of log()) made -= chunk.length
const generatorMs = performance.now() - generating
const startedAtMs = performance.now()
const tally = new ReplayTally(policy)
const read = await readDecisions(['-'], Readable.from(log(), { objectMode: false }), {
  repeated: (content, time) => tally.repeated(content, time),
  decision: (record, content) => tally.add(record, content),
})
const seconds = (performance.now() - startedAtMs - generatorMs) / 1000
const megabytes = Math.round(process.resourceUsage().maxRSS / 1024)
console.log(
  `${read.decisions} decisions: ${seconds.toFixed(1)} s beside the generator, at most ${megabytes} MiB resident, ${tally.counts.same} the same`,
)
