// How the policies grow: reading, compiling and deciding with 10, 100 and 1,000 teams of 50 grants each over all operations.
// node bench/scale.ts [--teams LIST] [--rounds N]. No sockets; time is this process's own.

import { parseArgs } from 'node:util'
import { stringify } from 'yaml'
import { compileCatalogue } from '../src/catalogue/catalogue.ts'
import { devinApi } from '../src/catalogue/data.ts'
import type { Operation } from '../src/catalogue/operation.ts'
import { parseTarget } from '../src/catalogue/target.ts'
import type { Principal } from '../src/identity/principal.ts'
import { compilePolicies, type PolicyDocuments } from '../src/policy/compile/compile.ts'
import { decide } from '../src/policy/decision/decide.ts'
import { readPolicyFile } from '../src/policy/documents/document.ts'
import { evaluate } from '../src/policy/decision/evaluate.ts'
import type { PolicySet } from '../src/policy/model/policy-set.ts'
import { describeEnvironment } from './environment.ts'
import { spreadOf, type Spread } from './statistics.ts'
import { list, spread, table } from './tables.ts'
import type { Facts } from '../src/policy/model/decision.ts'

const goals = { compileMs: 300, decideUs: 2 } as const

const { values } = parseArgs({
  options: {
    teams: { type: 'string', default: '10,100,1000' },
    rounds: { type: 'string', default: '5' },
  },
})
const rounds = Math.max(1, Number(values.rounds))
const { catalogue } = compileCatalogue({ data: devinApi, stability: ['stable', 'beta'], extensions: [] })
const { operations } = catalogue
const permissions = [...catalogue.permissions.names]

function teamFile(number: number): string {
  const at = (index: number): number => (number * 31 + index * 7) % 10_007
  const word = (index: number): string => {
    const operation = operations[at(index) % operations.length]
    const permission = permissions[at(index) % permissions.length]
    if (index % 3 === 0 && permission !== undefined) return permission
    const id = operation?.id ?? ''
    return index % 3 === 1 ? id : `${id.slice(0, id.lastIndexOf('.'))}.*`
  }
  return stringify({
    team: `team-${number}`,
    members: [{ groups: [`sso-team-${number}-eng`] }, { app: [`team-${number}-bot`] }],
    organizations: [`org-${number}`],
    grants: Array.from({ length: 50 }, (_, index) => ({
      id: `grant-${index}`,
      allow: [word(index), word(index + 50)],
      ...(index % 10 === 9 ? { mode: 'shadow' } : {}),
      ...(index % 5 === 4 ? { when: { groups: [`sso-team-${number}-leads`] } } : {}),
    })),
  })
}

/** A key for every grant, as in an installation without warnings. */
function keysFile(teams: number): string {
  const ofOrganizations = permissions.filter((name) => catalogue.permissions.isOrganizationPermission(name))
  const keys = Array.from({ length: teams }, (_, number) => ({
    id: `key-${number}`,
    scope: 'organization',
    organization: `org-${number}`,
    permissions: ofOrganizations,
    secret: { env: `KEY_${number}` },
  }))
  const enterprise = { id: 'enterprise', scope: 'enterprise', permissions, secret: { env: 'ENTERPRISE_KEY' } }
  return stringify(
    { keys: [...keys, { ...enterprise, serves_organizations: 'all' }] },
    { aliasDuplicateObjects: false },
  )
}

function documentsOf(teams: number): { documents: PolicyDocuments; readMs: Spread | null } {
  const times: number[] = []
  const read = (name: string, text: string) => {
    const startedMs = performance.now()
    const { document, diagnostics } = readPolicyFile({ file: name, name, text })
    times.push(performance.now() - startedMs)
    if (document === null) throw new Error(diagnostics.map(({ message }) => message).join('\n'))
    return document
  }
  const documents = Array.from({ length: teams }, (_, number) => read(`teams/${number}.yaml`, teamFile(number)))
  const keys = read('keys.yaml', keysFile(teams))
  return {
    documents: {
      revision: 'scale',
      teams: documents.filter((document) => document.kind === 'team'),
      keys: keys.kind === 'keys' ? keys.keys : [],
      limits: [],
    },
    readMs: spreadOf(times.slice(0, teams)),
  }
}

function memberOf(number: number): Principal {
  return {
    subject: `engineer-${number}`,
    issuer: 'https://sso.corp.example',
    email: `engineer-${number}@corp.example`,
    emailVerified: true,
    groups: ['all-employees', `sso-team-${number}-eng`, 'vpn-users'],
    groupsOmitted: false,
    app: 'devin-cli',
    actor: null,
    priorActors: [],
    claims: {},
    expiresAtMs: Number.MAX_SAFE_INTEGER,
  }
}

interface Call {
  readonly principal: Principal
  readonly operation: Operation
  readonly target: ReturnType<typeof parseTarget>
}

/** Every operation for each of some callers of different teams. */
function callsOf(teams: number): readonly Call[] {
  return Array.from({ length: 20 }, (_, index) => (index * 37) % teams).flatMap((number) => {
    const principal = memberOf(number)
    return operations.map((operation) => ({
      principal,
      operation,
      target: parseTarget(
        operation.template.replaceAll(/\{(\w+)\}/g, (_, name) => (name === 'org_id' ? `org-${number}` : 'x-1')),
      ),
    }))
  })
}

/** Microseconds of each of a list, done over and over for at least a tenth of a second. */
function perCallUs<Item>(items: readonly Item[], each: (item: Item) => void): Spread | null {
  const times: number[] = []
  for (let round = 0; round < rounds + 1; round += 1) {
    const startedMs = performance.now()
    let done = 0
    while (performance.now() - startedMs < 100) {
      for (const item of items) each(item)
      done += items.length
    }
    times.push(((performance.now() - startedMs) * 1000) / done)
  }
  // The first round warms up.
  return spreadOf(times.slice(1))
}

function measure(teams: number) {
  const { documents, readMs } = documentsOf(teams)
  let policy: PolicySet | null = null
  const compileMs = spreadOf(
    Array.from({ length: rounds }, () => {
      const startedMs = performance.now()
      policy = compilePolicies(documents, catalogue).policy
      return performance.now() - startedMs
    }),
  )
  const compiled = policy ?? compilePolicies(documents, catalogue).policy
  const calls = callsOf(teams)
  const facts: readonly Facts[] = calls.map(
    ({ principal, operation, target }) => evaluate(compiled, principal, operation, target, null).facts,
  )
  const allowed = facts.filter((each) => decide(compiled, each).effect === 'allow').length
  return {
    teams,
    readMs,
    compileMs,
    decideUs: perCallUs(facts, (each) => decide(compiled, each)),
    evaluateUs: perCallUs(calls, ({ principal, operation, target }) =>
      evaluate(compiled, principal, operation, target, null),
    ),
    // A caller whose token was not seen before: the teams have to be found.
    firstUs: perCallUs(calls.slice(0, 100), ({ principal }) => compiled.teamsOf({ ...principal })),
    allowedPercent: (100 * allowed) / facts.length,
  }
}

const results = values.teams.split(',').map((text) => measure(Number(text)))
const verdict = (value: Spread | null, atMost: number): string =>
  value === null ? '' : `; ≤ ${atMost}: ${value.median <= atMost ? 'met' : 'missed'}`
const { machine, runtime } = describeEnvironment()
const rows = results.map((result) => [
  String(result.teams),
  spread(result.readMs, 2),
  spread(result.compileMs, 0) + verdict(result.compileMs, goals.compileMs),
  spread(result.decideUs, 2) + verdict(result.decideUs, goals.decideUs),
  spread(result.evaluateUs, 2),
  spread(result.firstUs, 2),
  result.allowedPercent.toFixed(0),
])
const heads = [
  'teams',
  'read a file, ms',
  'compile all, ms',
  'decide, µs',
  'evaluate, µs',
  'find the teams of a new caller, µs',
  'allowed, %',
]
process.stdout.write(
  `${list([machine, runtime])}\n\n${table(`${operations.length} operations, 50 grants a team`, heads, rows)}\n`,
)
