// What judging the worst bodies costs, without sockets: parsing, evaluation with guardrails, and the record of it, in CPU
// time of this thread. `node bench/bodies.ts`; each body is as large as bodies.max_judged_size lets through.

import { devinApi } from '../src/catalogue/data.ts'
import { compileCatalogue } from '../src/catalogue/catalogue.ts'
import { parseTarget } from '../src/catalogue/target.ts'
import type { Principal } from '../src/identity/principal.ts'
import { StrictJsonError } from '../src/json/strict-json-error.ts'
import { compilePolicies } from '../src/policy/compile/compile.ts'
import { readPolicyFile, type PolicyDocument } from '../src/policy/documents/document.ts'
import { evaluate, evaluateBody, findOperation } from '../src/policy/decision/evaluate.ts'
import { parseCheckedBody } from '../src/policy/decision/checked-body.ts'
import { guardrailsEntry } from '../src/gateway/recording/guardrails-entry.ts'

const largest = 1024 * 1024
const most = 4_990

const guardrails = `guardrails:
  - id: bounds
    on: [org.sessions.create]
    body:
      max_acu_limit: { default: 10, at_most: 25 }
      repos: { each_matches: "corp/*", max_items: 20000 }
      tags: { add: ["team:\${team}"] }
      secrets.*.key: { matches: "CI_*", default: CI_x }
      secrets.*.sensitive: { default: true }
      numbers.*: { at_most: 5 }
      title: { matches: "^[a-z ]*$" }
`
const team = `team: payments
members: [{ groups: [engineers] }]
organizations: [org-payments]
grants: [{ id: run, allow: [ManageOrgSessions] }]
`

function filled(open: string, item: string, close: string): string {
  const count = Math.floor((largest - open.length - close.length) / (item.length + 1))
  return open + Array(count).fill(item).join(',') + close
}

function list(member: string, items: number, item: unknown): string {
  return JSON.stringify({ [member]: Array(items).fill(item) })
}

function members(prefix: string, length: number): string {
  const names = Array.from({ length: most }, (_, index) => [`${prefix}${index}`.padEnd(length, 'x'), 1] as const)
  return JSON.stringify(Object.fromEntries(names))
}

const bodies: Readonly<Record<string, string>> = {
  'numbers without end': filled('[', '0', ']'),
  'objects without end': filled('[', '{"a":1}', ']'),
  'brackets without end': '['.repeat(largest),
  'names without end': `{${Array.from({ length: 100_000 }, (_, index) => `"${index}":1`).join(',')}}`,
  'line breaks and a mistake': `${'\n'.repeat(largest - 1)}x`,
  'a long prompt': JSON.stringify({ prompt: 'a'.repeat(largest - 20) }),
  'a prompt of escapes': JSON.stringify({ prompt: '\n'.repeat(largest / 2 - 20) }),
  'a prompt of code points': `{"prompt":"${'\\ud83d\\ude00'.repeat(largest / 12 - 20)}"}`,
  'a long number': `{"max_acu_limit":0.${'0'.repeat(largest - 100)}1}`,
  'many repositories': list('repos', 9_990, `corp/${'a'.repeat(95)}`),
  'many escaped repositories': list('repos', 9_000, `corp/${'%2541'.repeat(18)}`),
  'one long repository': list('repos', 1, `corp/${'a/'.repeat(500_000)}a`),
  'many tags': list('tags', 9_990, 't'.repeat(90)),
  'many places for a default': list('secrets', 2_400, { z: 1 }),
  'many numbers out of bounds': list('numbers', 9_990, 9),
  'many names': members('Name_', 190),
  'many odd names': members('Näme_', 190),
  'one long name': JSON.stringify({ ['A_'.repeat(500_000)]: 1 }),
  'one long title': JSON.stringify({ title: 'a'.repeat(65_000) }),
  'many organizations': list('org_ids', 9_990, 'org-payments'),
}

const { catalogue } = compileCatalogue({ data: devinApi, stability: ['stable', 'beta'], extensions: [] })
const { policy } = compilePolicies(
  {
    revision: 'bench',
    teams: read('teams/payments.yaml', team, 'team'),
    keys: [],
    guardrails: read('guardrails.yaml', guardrails, 'guardrails'),
  },
  catalogue,
)
const caller: Principal = {
  subject: 'ada',
  issuer: 'https://sso.test',
  email: null,
  emailVerified: false,
  groups: ['engineers'],
  groupsOmitted: false,
  app: null,
  actor: null,
  priorActors: [],
  claims: {},
  expiresAtMs: Number.MAX_SAFE_INTEGER,
}
const target = parseTarget('/v3/organizations/org-payments/sessions')
const operation = findOperation(policy, 'POST', target)

function read<Kind extends PolicyDocument['kind']>(
  name: string,
  text: string,
  kind: Kind,
): Extract<PolicyDocument, { kind: Kind }>[] {
  const { document } = readPolicyFile({ file: name, name, text })
  if (document?.kind !== kind) throw new Error(`${name} cannot be read`)
  return [document as Extract<PolicyDocument, { kind: Kind }>]
}

function cpuMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

/** CPU time of each step, in milliseconds, and what came out. */
function judge(text: string): { readonly steps: readonly number[]; readonly result: string } {
  const bytes = Buffer.from(text)
  const first = evaluate(policy, caller, operation, target)
  const began = cpuMs()
  try {
    const body = parseCheckedBody(bytes)
    const parsed = cpuMs()
    const evaluation = evaluateBody(policy, first, body)
    const evaluated = cpuMs()
    JSON.stringify(guardrailsEntry(evaluation))
    return { steps: [parsed - began, evaluated - parsed, cpuMs() - evaluated], result: evaluation.decision.reason }
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error
    return { steps: [cpuMs() - began, 0, 0], result: error.fault }
  }
}

/** The clock of CPU time is coarse: only many rounds together tell something. */
function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

const rounds = 20
console.log(`${'body'.padEnd(28)}${['parse', 'evaluate', 'record'].map((name) => name.padStart(10)).join('')}  result`)
for (const [name, text] of Object.entries(bodies)) {
  const runs = Array.from({ length: rounds }, () => judge(text))
  const steps = [0, 1, 2].map((step) => mean(runs.map((run) => run.steps[step] ?? 0)))
  console.log(
    `${name.padEnd(28)}${steps.map((ms) => `${ms.toFixed(1)} ms`.padStart(10)).join('')}  ${runs[0]?.result ?? ''}`,
  )
}
