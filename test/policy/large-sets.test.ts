// What very large and very wrong policies cost: bounds with their places, few lines for many mistakes, steps that are short, and
// answers that are those of the plain algorithms.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatDiagnostic, readableDiagnostics, Refused, type Diagnostic } from '../../src/config/diagnostics.ts'
import { didYouMean, fewHints } from '../../src/config/nearest.ts'
import { compileAllow } from '../../src/policy/compile/allow.ts'
import { compileInSteps, type PolicyDocuments } from '../../src/policy/compile/compile.ts'
import { readPolicyFile } from '../../src/policy/documents/document.ts'
import { examinePolicies, type ExaminedPolicies } from '../../src/policy/loading/examine.ts'
import { readPolicyDirectory } from '../../src/policy/loading/read-directory.ts'
import { PolicyInTime } from '../../src/policy/model/policy-in-time.ts'
import type { PolicySet } from '../../src/policy/model/policy-set.ts'
import { atOnce, inTurns, type Steps } from '../../src/policy/model/steps.ts'
import { portionsOf, Received } from '../../src/runtime/policies/portions.ts'
import { catalogue, principalOf, type PolicyFiles } from '../support/policies.ts'

const lines = (count: number, line: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => line(index)).join('')
const team = (text: string): string => `team: t\nmembers: [{ groups: [g] }]\norganizations: [org-a]\n${text}`

async function examine(files: PolicyFiles): Promise<ExaminedPolicies> {
  const texts = Object.entries(files).map(([name, text]) => ({ name, text }))
  return await examinePolicies({ directory: '', files: texts, catalogue, connections: null, nowMs: 0 })
}

const sound: PolicyFiles = {
  'teams/a.yaml': team(`owner: somebody
grants:
  - { id: run, allow: [ViewOrgSessions, org.sessions.*], when: { groups: [x], claims: { unit: [u] } } }
  - { id: late, allow: [org.playbooks.*], until: 2026-12-24T18:00:00Z, reason: INC-1 }
  - { id: narrow, allow: ["*"], mode: warn, organizations: [org-a] }
limits: { requests: 10/min, apps: { bot: { writes: 1/min } }, acus: 5/month }
`),
  'limits.yaml': `limits:
  requests: 100/s
  organizations: { ${lines(1500, (index) => `org-${index}: { acus: 5/month }, `)} }
`,
  'guardrails.yaml': `guardrails:
${lines(40, (index) => `  - { id: g${index}, on: [org.sessions.create], teams: all, body: { max_acu_limit: { at_most: ${index + 1} } } }\n`)}`,
  'devin-users.yaml': `devin_users:\n${lines(900, (index) => `  - { email: u${index}@corp.example, id: user-${index} }\n`)}`,
  'keys.yaml': `keys:\n${lines(300, (index) => `  - { id: k${index}, scope: organization, organization: org-${index}, permissions: [ViewOrgSessions], secret: { env: K } }\n`)}`,
  'invariants.yaml': 'invariants: [{ id: i, never: { teams: all, do: [org.secrets.*] } }]\n',
  'b.test.yaml': '- as: { groups: [g] }\n  cases: [{ do: GET /v3/self, expect: deny }]\n',
}

describe('bounds', () => {
  test.each<[string, string, string]>([
    [
      'teams/a.yaml',
      team(`grants:\n  - id: g\n    allow: [${lines(5001, () => 'org.*, ')}]\n`),
      '6:12: at most 5000 words',
    ],
    [
      'teams/a.yaml',
      team(`grants:\n${lines(2001, (index) => `  - { id: g${index}, allow: [org.*] }\n`)}`),
      '4:1: at most 2000 grants',
    ],
    [
      'teams/a.yaml',
      `team: t\nmembers:\n${lines(5001, (index) => `  - { groups: [g${index}] }\n`)}organizations: all\n`,
      '2:1: at most 5000 entries',
    ],
    [
      'teams/a.yaml',
      `team: t\nmembers:\n  - groups: [${lines(5001, (index) => `g${index}, `)}]\norganizations: all\n`,
      '3:13: at most 5000 values',
    ],
    [
      'teams/a.yaml',
      `team: t\nmembers: [{ groups: [g] }]\norganizations: [${lines(10_001, (index) => `o-${index}, `)}]\n`,
      '3:16: at most 10000 organizations',
    ],
    [
      'teams/a.yaml',
      team(`limits: { apps: { ${lines(1001, (index) => `a${index}: { requests: 1/s }, `)} } }\n`),
      '4:17: at most 1000 apps',
    ],
    [
      'limits.yaml',
      `limits: { organizations: { ${lines(10_001, (index) => `o-${index}: {}, `)} } }\n`,
      '1:26: at most 10000 organizations',
    ],
    [
      'keys.yaml',
      `keys:\n${lines(10_001, (index) => `- { id: k${index}, scope: organization, organization: o, permissions: [ViewOrgSessions], secret: { env: K } }\n`)}`,
      '1:1: at most 10000 keys',
    ],
    [
      'devin-users.yaml',
      `devin_users:\n${lines(50_001, (index) => `- { email: u${index}@c.example, id: u${index} }\n`)}`,
      '1:1: at most 50000 users',
    ],
    [
      'guardrails.yaml',
      `guardrails:\n${lines(1001, (index) => `- { id: g${index}, on: [org.sessions.create], teams: all, body: { max_acu_limit: { at_most: 1 } } }\n`)}`,
      '1:1: at most 1000 guardrails',
    ],
    [
      'guardrails.yaml',
      `guardrails: [{ id: g, on: [org.sessions.create], teams: all, body: { prompt: { matches: "${'x'.repeat(1001)}" } } }]\n`,
      '1:89: a pattern is at most 1000 characters long',
    ],
  ])('of %s stand at their place', (name, text, expected) => {
    const { document, diagnostics } = readPolicyFile({ file: name, name, text })
    expect(document).toBeNull()
    expect(diagnostics.map(formatDiagnostic).map((line) => line.replace(`${name}:`, ''))).toEqual([
      expect.stringContaining(expected),
    ])
  })
})

test('a folder that is larger than all policies may be is refused, and the file named with which it is', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'gateway-test-large-'))
  try {
    const comment = '#'.repeat(4 * 1024 * 1024)
    for (let index = 10; index < 28; index += 1) await writeFile(join(directory, `${index}.yaml`), comment)
    const { diagnostics } = await readPolicyDirectory(directory)
    expect(diagnostics.map(formatDiagnostic)).toContainEqual(
      `${join(directory, '26.yaml')}: with this file the policies hold more than 67108864 characters`,
    )
  } finally {
    await rm(directory, { recursive: true })
  }
})

describe('many mistakes', () => {
  const mistake = (file: string, line: number, severity: Diagnostic['severity'] = 'error'): Diagnostic => ({
    file,
    line,
    column: 1,
    severity,
    message: `m${line}`,
  })

  test('are told in a few lines of each file, errors before warnings, with how many more there are', () => {
    const warnings = Array.from({ length: 500 }, (_, index) => mistake('a', index, 'warning'))
    const told = readableDiagnostics([...warnings, mistake('a', 1000), mistake('b', 1)])
    expect(told.filter(({ file }) => file === 'a')).toHaveLength(101)
    expect(told.map(formatDiagnostic)).toContain('a:1000:1: m1000')
    expect(told.map(formatDiagnostic)).toContain('b:1:1: m1')
    expect(told.map(({ message }) => message)).toContainEqual(expect.stringMatching(/^and 401 more in this file/))
    // What is short already stays as it is.
    expect(readableDiagnostics(told)).toEqual(told)
  })

  test('are told in a few lines of all files together', () => {
    const all = Array.from({ length: 50 }, (_, file) =>
      Array.from({ length: 60 }, (_each, line) => mistake(`f${file}`, line + 1)),
    )
    expect(readableDiagnostics(all.flat())).toHaveLength(1001)
  })

  test('more than fit on a stack are no trouble', () => {
    const all = Array.from({ length: 300_000 }, (_, line) => mistake('a', line + 1))
    expect(new Refused(all).diagnostics).toHaveLength(101)
  })

  test('get the same hints as a few, until there are too many to be read', () => {
    const hint = fewHints()
    const words = Array.from({ length: 150 }, (_, index) => `sesions${index % 7}`)
    const told = words.map((word) => hint(word, ['sessions', 'secrets']))
    expect(told.slice(0, 100)).toEqual(words.slice(0, 100).map((word) => didYouMean(word, ['sessions', 'secrets'])))
    expect(new Set(told.slice(100))).toEqual(new Set(['']))
  })
})

/** How often a generator gives way. */
function stepsOf(steps: Steps<unknown>): number {
  let count = 0
  while (steps.next().done !== true) count += 1
  return count
}

describe('steps in turns', () => {
  test('let others have theirs', async () => {
    const others = { had: false }
    setImmediate(() => (others.had = true))
    function* steps(): Steps<boolean> {
      for (let step = 0; step < 10_000_000 && !others.had; step += 1) yield
      return others.had
    }
    expect(await inTurns(steps())).toBe(true)
  })

  test('end when they are given up', async () => {
    const given = new AbortController()
    function* steps(): Steps<void> {
      for (;;) {
        given.abort()
        yield
      }
    }
    await expect(inTurns(steps(), given.signal)).rejects.toThrow('aborted')
  })
})

describe('compiling in steps', () => {
  const documentsOf = (text: string): PolicyDocuments => {
    const { document } = readPolicyFile({ file: 't.yaml', name: 'teams/t.yaml', text })
    if (document?.kind !== 'team') throw new Error('the team is sound')
    return { revision: 'r', teams: [document], keys: [] }
  }

  test('gives way often inside a single team', () => {
    const words = catalogue.operations.map(({ id }) => id)
    const long = documentsOf(
      team(`grants:\n  - { id: g, allow: [${lines(4000, (index) => `${words[index % words.length]}, `)}] }\n`),
    )
    expect(stepsOf(compileInSteps(long, catalogue, []))).toBeGreaterThan(400)
    const wide = documentsOf(team(`grants:\n${lines(1000, (index) => `  - { id: g${index}, allow: [org.*] }\n`)}`))
    expect(stepsOf(compileInSteps(wide, catalogue, []))).toBeGreaterThan(900)
  })

  test('comes to the same set from what a thread has handed over', async () => {
    const examined = await examine(sound)
    const received = new Received()
    let handed: ReturnType<Received['get']> | null = null
    let portions = 0
    for (const portion of portionsOf(examined)) {
      portions += 1
      const arrived = structuredClone(portion)
      if (arrived.list === null) handed = received.get(arrived.whole)
      else received.add(arrived)
    }
    // No portion holds a whole file of many entries.
    expect(portions).toBeGreaterThan(15)
    if (handed === null) throw new Error('the last portion ends it')
    expect(handed).toMatchObject({
      digest: examined.digest,
      files: examined.files,
      bounds: examined.bounds,
      testsPassed: 1,
      invariants: [{ id: 'i', kind: 'never', source: { file: 'invariants.yaml', line: 1 } }],
    })
    const mistakes: Diagnostic[] = []
    const policy = atOnce(compileInSteps(handed.documents, catalogue, mistakes))
    expect(mistakes).toEqual([])
    expect(plain(policy)).toEqual(plain(examined.policy))
  })
})

/** What can be compared of a set: all that its files say, and what it answers. */
function plain(policy: PolicySet): unknown {
  const caller = principalOf({ groups: ['g'], email: 'u7@corp.example' })
  return {
    revision: policy.revision,
    ends: policy.ends,
    claimPaths: policy.claimPaths,
    keys: policy.keys,
    guardrails: policy.guardrails.all,
    budgets: [...policy.budgets.shared],
    user: policy.devinUserOf(caller),
    teams: policy.teams.map(({ grantsOn, grantsOf: _of, limitsFor, attempts, ...written }) => ({
      ...written,
      attempts: attempts.of(caller),
      covered: catalogue.operations.map((operation) => grantsOn(operation)),
      limits: catalogue.operations.map((operation) => limitsFor(caller, operation)),
    })),
    choices: catalogue.operations.map((operation) => policy.selectKey({ operation, organization: 'org-7', extra: [] })),
  }
}

test('the grants on an operation are those with a word that covers it, whatever has ended', () => {
  const allow = compileAllow(catalogue)
  const words = [
    'org.*',
    'org.sessions.*',
    '*.sessions.list',
    'ViewOrgSessions',
    'ManageBilling',
    'org.sessions.get',
    '*',
  ]
  const modes = ['enforce', 'warn', 'shadow', 'off']
  const grant = fc.record({
    allow: fc.array(fc.constantFrom(...words), { minLength: 1, maxLength: 4 }),
    mode: fc.constantFrom(...modes),
    until: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
  })
  const instant = (day: number): string => `2026-01-0${day}T00:00:00Z`
  fc.assert(
    fc.property(fc.array(grant, { maxLength: 8 }), fc.integer({ min: 0, max: 4 }), (grants, day) => {
      const text = team(
        `grants: ${JSON.stringify(grants.map(({ until, ...each }, index) => ({ id: `g${index}`, ...each, ...(until === undefined ? {} : { until: instant(until) }) })))}\n`,
      )
      const { document } = readPolicyFile({ file: 't.yaml', name: 'teams/t.yaml', text })
      if (document?.kind !== 'team') throw new Error(text)
      const whole = atOnce(compileInSteps({ revision: 'r', teams: [document], keys: [] }, catalogue, []))
      const policy = whole.at(day === 0 ? 0 : Date.parse(instant(day)))
      const isOver = (until: number | undefined): boolean => until !== undefined && until <= day
      for (const operation of catalogue.operations) {
        const expected = grants
          .map((each, index) => ({ ...each, id: `g${index}` }))
          .filter((each) => each.allow.some((word) => allow(word).operations.includes(operation.index)))
          .map(({ id, mode, until }) => `${id} ${isOver(until) ? 'ended' : mode}`)
        const [warned, others] = [
          expected.filter((each) => each.endsWith('warn')),
          expected.filter((each) => !each.endsWith('warn')),
        ]
        expect(
          policy
            .team('t')
            ?.grantsOn(operation)
            .map(({ id, mode }) => `${id} ${mode}`),
        ).toEqual([...others, ...warned])
      }
    }),
    { numRuns: 25 },
  )
})

describe('rights that end', () => {
  const ending = team(
    'grants:\n  - { id: a, allow: [org.*], until: 2026-01-01T00:00:00Z }\n  - { id: b, allow: [org.*], until: 2026-02-01T00:00:00Z }\n',
  )

  test('what is in force after the next end is prepared in steps, before it is asked for', async () => {
    const { policy } = await examine({ 'teams/t.yaml': ending, 'keys.yaml': 'keys: []\n' })
    let nowMs = Date.parse('2025-12-31T00:00:00Z')
    const prepared: PolicySet[] = []
    const inTime = new PolicyInTime(
      policy,
      () => nowMs,
      (steps) => prepared.push(atOnce(steps)),
    )
    expect(inTime.current).toBe(policy)
    nowMs = Date.parse('2026-01-01T00:00:00Z')
    expect(inTime.current).toBe(prepared[0])
    nowMs = Date.parse('2026-02-01T00:00:00Z')
    expect(inTime.current).toBe(prepared[1])
    expect(prepared).toHaveLength(2)
    // A clock that is set back finds what was in force then.
    nowMs = Date.parse('2025-12-31T00:00:00Z')
    expect(inTime.current).toBe(policy)
  })

  test('somebody who asks while it is prepared gets the same set', async () => {
    const { policy } = await examine({ 'teams/t.yaml': ending, 'keys.yaml': 'keys: []\n' })
    const at = Date.parse('2026-01-01T00:00:00Z')
    const steps = policy.prepare(at)
    expect(
      policy
        .at(at)
        .team('t')
        ?.grants.map(({ mode }) => mode),
    ).toEqual(['ended', 'enforce'])
    expect(atOnce(steps)).toBe(policy.at(at))
  })
})
