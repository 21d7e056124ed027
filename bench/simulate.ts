// How long `devin-gateway simulate` takes for a million recorded decisions, and its memory: `node bench/simulate.ts [DECISIONS]`. The
// command reads from a pipe what this process makes, so that no disk is measured. Every second decision repeats, every tenth has a body.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createSite } from '../test/support/site.ts'
import { usualPolicies } from '../test/support/start-gateway.ts'

const count = Number(process.argv[2] ?? 1_000_000)
const teams = 100

const policies = {
  ...Object.fromEntries(Object.keys(usualPolicies).map((name) => [name, null])),
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
}

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

const site = await createSite({ policies })
const command = [
  'bin/devin-gateway.mjs',
  'simulate',
  '--json',
  '--log',
  '-',
  '--policies',
  `${site.directory}/policies`,
]
const startedAtMs = performance.now()
const child = spawn(process.execPath, [...command, '--config', site.configFile], {
  stdio: ['pipe', 'pipe', 'inherit'],
  env: { ...process.env, A: 'cog_0123456789abcdef' },
})
let printed = ''
child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()))
/** The most memory that it has had so far, MiB, and its CPU time, seconds; Linux alone. */
let used = { mebibytes: Number.NaN, seconds: Number.NaN }
const watching = setInterval(() => {
  try {
    const [, kilobytes] = /^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8')) ?? []
    const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    if (kilobytes === undefined) return
    used = { mebibytes: Number(kilobytes) / 1024, seconds: (Number(fields[11]) + Number(fields[12])) / 100 }
  } catch {
    // It has ended, or there is no /proc.
  }
}, 50)
const ended = once(child, 'close')
for (let from = 0; from < count; from += 50) {
  const lines = Array.from({ length: Math.min(50, count - from) }, (_, index) => line(from + index)).join('')
  if (!child.stdin.write(lines)) await once(child.stdin, 'drain')
}
child.stdin.end()
await ended
clearInterval(watching)
await site.remove()
const seconds = (performance.now() - startedAtMs) / 1000
const { records, same } = JSON.parse(printed) as { records: number; same: number }
console.log(
  `${records} decisions: ${seconds.toFixed(1)} s, ${used.seconds.toFixed(1)} s of CPU time, at most ${Math.round(used.mebibytes)} MiB resident, ${same} the same`,
)
