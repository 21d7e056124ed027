// `simulate` as people type it: what a gateway recorded, decided again under other policies.

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ReplayGroup } from '../../src/policy/replay/tally.ts'
import { callCommand, commandFile, type Ended } from '../support/command.ts'
import { startTestGateway, usualKeys, usualPolicies, type RunningGateway } from '../support/start-gateway.ts'

const guardrails =
  'guardrails:\n  - { id: bounded, on: [org.sessions.create], body: { max_acu_limit: { default: 10, at_most: 25 }, tags: { add: ["team:${team}"] }, title: { max_length: 20 } } }\n  - { id: pages, on: [org.sessions.list], query: { first: { at_most: 100 } } }\n'
const policies: Record<string, string> = { ...usualPolicies, 'guardrails.yaml': guardrails }

let running: RunningGateway
let log: string
beforeAll(async () => {
  running = await startTestGateway({ policies })
  const sessions = '/v3/organizations/org-payments/sessions'
  const create = (body: object, claims = {}): Promise<Response> =>
    running.call(sessions, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
      claims,
    })
  // A number in a query may be written in several ways, and a list of tags is no number.
  for (const query of ['', '?first=10', '?first=%39', '?first=1e1&tags=x', '?first=101', '?first=+5'])
    await running.call(`${sessions}${query}`)
  await create({ prompt: 'a' })
  await create({ prompt: 'b', max_acu_limit: 20, tags: ['mine'] })
  await create({ prompt: 'c', max_acu_limit: 99 })
  await create(
    { prompt: 'd', title: 'short', create_as_user_id: 'u-1' },
    { groups: ['sso-payments-eng', 'payments-leads'] },
  )
  await running.call('/v3/organizations/org-payments/secrets')
  await running.call('/v3/organizations/org-other/sessions')
  await running.call('/v3/enterprise/sessions', { claims: { groups: ['sso-analytics'] } })
  await running.call('/v3/nowhere')
  await running.call('/v3/self', { token: null })
  await running.settled()
  log = join(running.directory, 'decisions.ndjson')
})
afterAll(() => running.close())

const total = 15
const config = (): string => join(running.directory, 'gateway.yaml')

interface Simulation {
  readonly records: number
  readonly same: number
  readonly newly_allowed: number
  readonly newly_denied: number
  readonly other_key: number
  readonly other_guardrail: number
  readonly not_replayable: number
  readonly gaps: number
  readonly groups: readonly ReplayGroup[]
  readonly gap_details: readonly { readonly kind: string; readonly line: number; readonly count: number }[]
}

let sets = 0
/** A folder with the usual policies, some of them replaced. */
async function policySet(changed: Readonly<Record<string, string>> = {}): Promise<string> {
  const directory = join(running.directory, `set-${(sets += 1)}`)
  for (const [name, text] of Object.entries({ ...policies, ...changed })) {
    await mkdir(dirname(join(directory, name)), { recursive: true })
    await writeFile(join(directory, name), text)
  }
  return directory
}

const simulated = (...args: string[]): Promise<Ended> =>
  callCommand(['simulate', ...args, '--config', join(running.directory, 'gateway.yaml')], usualKeys)
async function asData(changed: Readonly<Record<string, string>>, ...args: string[]): Promise<Simulation> {
  const logs = args.length === 0 ? [log] : args
  const { out, err } = await simulated(
    '--json',
    '--policies',
    await policySet(changed),
    ...logs.flatMap((each) => ['--log', each]),
  )
  expect(err).toBe('')
  const found = JSON.parse(out) as Simulation
  const { same, newly_allowed, newly_denied, other_key, other_guardrail, not_replayable } = found
  expect(same + newly_allowed + newly_denied + other_key + other_guardrail + not_replayable).toBe(found.records)
  return found
}
const replaced = (name: string, from: string, to: string): Record<string, string> => {
  const text = policies[name] ?? ''
  expect(text).toContain(from)
  return { [name]: text.replace(from, to) }
}

describe('decided again', () => {
  test('the same policies give the same', async () => {
    expect(await asData({})).toMatchObject({ records: total, same: total, gaps: 0, groups: [] })
  })

  test('a bound on a parameter is decided by its number, also where no rule read it then', async () => {
    const tighter = await asData(replaced('guardrails.yaml', 'first: { at_most: 100 }', 'first: { at_most: 9 }'))
    expect(tighter).toMatchObject({ same: total - 2, newly_denied: 2 })
    const wider = await asData(replaced('guardrails.yaml', 'first: { at_most: 100 }', 'first: { at_most: 101 }'))
    expect(wider).toMatchObject({ same: total - 1, newly_allowed: 1 })
    const other = await asData(replaced('guardrails.yaml', '[org.sessions.list]', '[org.playbooks.list]'))
    expect(other).toMatchObject({ same: total - 2, newly_allowed: 2 })
  })

  test('what loses its grant is newly denied, with an example and an exit code', async () => {
    const set = await policySet(replaced('teams/analytics.yaml', 'ent.sessions.list, ', ''))
    const { code, out } = await simulated('--log', log, '--policies', set, '--fail-on', 'newly-denied')
    expect(code).toBe(1)
    expect(out).toContain('newly denied: 1 × ent.sessions.list of team analytics')
    expect(out).toMatch(/see: devin-gateway explain --decision [0-9a-f-]{36} --log .* --policies \S+$/m)
    expect((await simulated('--log', log, '--policies', set, '--fail-on', 'newly-allowed,gaps')).code).toBe(0)
    // As the JSON spells it.
    expect((await simulated('--log', log, '--policies', set, '--fail-on', 'newly_denied')).code).toBe(1)
  })

  test('a record that does not say which key served is not replayable, and is not called denied', async () => {
    const file = join(running.directory, 'my decisions.ndjson')
    const records = (await readFile(log, 'utf8')).trim().split('\n')
    await writeFile(
      file,
      records
        .map((line) => JSON.stringify(JSON.parse(line, (name, value: unknown) => (name === 'key' ? undefined : value))))
        .join('\n') + '\n',
    )
    const { out } = await simulated('--log', file, '--policies', join(running.directory, 'policies'))
    expect(out).toContain('the key that served it; recorded: allowed by grant')
    expect(out).toContain(' 0 newly denied, 0 newly allowed, ')
    expect(out).not.toContain('key-unavailable')
    // A name with a space is one word of the command.
    expect(out).toContain(`--log '${file}'`)
  })

  test('what gets a grant is newly allowed', async () => {
    const found = await asData(
      replaced(
        'keys.yaml',
        '[ViewOrgSessions, ManageOrgSessions, UseDevinSessions, Read',
        '[ViewOrgSessions, ManageOrgSecrets, ManageOrgSessions, UseDevinSessions, Read',
      ),
    )
    expect(found.newly_allowed).toBe(0)
    const open = await asData({
      ...replaced('teams/payments.yaml', 'mode: shadow', 'mode: enforce'),
      ...replaced(
        'keys.yaml',
        '[ViewOrgSessions, ManageOrgSessions, UseDevinSessions, Read',
        '[ViewOrgSessions, ManageOrgSecrets, ManageOrgSessions, UseDevinSessions, Read',
      ),
    })
    expect(open.newly_allowed).toBe(1)
    expect(open.groups[0]).toMatchObject({
      result: 'newly-allowed',
      team: 'payments',
      operation: 'org.secrets.list',
      count: 1,
      example: { method: 'GET', path: '/v3/organizations/org-payments/secrets' },
    })
  })

  test('a right that ends is decided as of the time of the record, also where records repeat', async () => {
    const allow = 'allow: [ent.consumption.*, ent.sessions.list, ent.members.*]'
    const line = (await readFile(log, 'utf8')).split('\n').find((each) => each.includes('"ent.sessions.list"')) ?? ''
    const then = (time: string): string => line.replace(/^\{"time":"[^"]*"/, `{"time":"${time}"`)
    const file = join(running.directory, 'ending.ndjson')
    const times = ['2026-01-01T00:00:00.000Z', '2026-01-02T00:00:00.000Z', '2026-03-01T00:00:00.000Z']
    await writeFile(file, `${times.map(then).join('\n')}\n`)
    const until = `${allow}\n    until: 2026-02-01T00:00:00Z\n    reason: trial`
    expect(await asData(replaced('teams/analytics.yaml', allow, until), file)).toMatchObject({
      same: 2,
      newly_denied: 1,
    })
  })

  test('another key is told, and a key that is gone denies', async () => {
    const renamed = await asData(replaced('keys.yaml', 'id: payments-runner', 'id: runner-two'))
    expect(renamed.other_key).toBeGreaterThan(0)
    expect(renamed.groups[0]).toMatchObject({ result: 'other-key', from: 'key payments-runner', to: 'key runner-two' })
    const gone = await asData(replaced('keys.yaml', 'ViewAccountSessions, ', ''))
    expect(gone.groups).toMatchObject([
      { result: 'newly-denied', to: 'denied (key-unavailable)', operation: 'ent.sessions.list' },
    ])
  })

  test.each([
    ['another default', 'default: 10', 'default: 5', { other_guardrail: 2 }],
    ['a tighter bound', 'at_most: 25', 'at_most: 15', { newly_denied: 1 }],
    ['a wider bound', 'at_most: 25', 'at_most: 100', { newly_allowed: 1 }],
    ['another added value', 'team:${team}', 'unit:${team}', { other_guardrail: 3 }],
    ['a tighter length', 'max_length: 20', 'max_length: 4', { newly_denied: 1 }],
    [
      'a length of a field that no rule read',
      'title: { max_length: 20 }',
      'prompt: { max_length: 0 }',
      { newly_denied: 3 },
    ],
  ])('of a guardrail: %s', async (_name, from, to, expected) => {
    expect(await asData(replaced('guardrails.yaml', from, to))).toMatchObject({ not_replayable: 0, ...expected })
  })

  test('a rule on a field that nobody read then is decided by what the record holds', async () => {
    const found = await asData(
      replaced('guardrails.yaml', 'title: { max_length: 20 }', 'prompt: { require: true }, repos: { forbid: true }'),
    )
    expect(found).toMatchObject({ same: total, not_replayable: 0 })
  })
})

describe('not replayable', () => {
  test('is what the new rules read and the record does not hold', async () => {
    const claim = await asData(
      replaced('teams/payments.yaml', 'when: { groups: [payments-leads] }', 'when: { claims: { unit: [red] } }'),
    )
    expect(claim.not_replayable).toBe(1)
    expect(claim.groups).toMatchObject([
      { result: 'not-replayable', to: 'the claim unit', operation: 'org.sessions.create' },
    ])
    const text = await asData(replaced('guardrails.yaml', 'max_length: 20', 'matches: "s*"'))
    expect(text.groups).toMatchObject([{ result: 'not-replayable', to: 'the value of title', count: 1 }])
  })

  test('is a body that was not read, because the request was refused before', async () => {
    const closed = await running.call('/v3/organizations/org-payments/schedules', {
      method: 'POST',
      body: '{}',
      headers: { 'content-type': 'application/json' },
    })
    expect(closed.status).toBe(403)
    await running.settled()
    const all = join(running.directory, 'all.ndjson')
    await writeFile(
      all,
      (await readFile(log, 'utf8'))
        .split('\n')
        .filter((line) => line.includes('org.schedules.create'))
        .join('\n'),
    )
    const open = replaced(
      'teams/payments.yaml',
      'ManageOrgSessions, org.attachments.*',
      'ManageOrgSessions, ManageOrgSchedules, org.schedules.*',
    )
    const found = await asData(
      {
        ...open,
        'guardrails.yaml': `${guardrails}  - { id: calm, on: [org.schedules.create], body: { name: { forbid: true } } }\n`,
      },
      all,
    )
    expect(found).toMatchObject({ records: 1, not_replayable: 1, groups: [{ to: 'the body, which was not read' }] })
  })
})

describe('the log', () => {
  test('may be compressed, in several frames, rotated and in any order', async () => {
    const lines = (await readFile(log))
      .toString()
      .split('\n')
      .filter((line) => !line.includes('org.schedules.create') && line !== '')
    const part = (from: number, to: number): Buffer => Buffer.from(`${lines.slice(from, to).join('\n')}\n`)
    const [a, b, c] = ['decisions.ndjson.2.gz', 'decisions.ndjson.1.zst', 'now.ndjson'].map((name) =>
      join(running.directory, name),
    )
    await writeFile(a ?? '', Buffer.concat([gzipSync(part(0, 2)), gzipSync(part(2, 4))]))
    await writeFile(b ?? '', Buffer.concat([zstdCompressSync(part(4, 6)), zstdCompressSync(part(6, 8))]))
    await writeFile(c ?? '', part(8, total))
    const found = await asData({}, c ?? '', a ?? '', b ?? '')
    expect(found).toMatchObject({ records: total, same: total, gaps: 0 })
  })

  test('comes from standard input as well, compressed or not', async () => {
    const set = await policySet()
    const text = await readFile(log)
    const records = text.toString().split('\n').length - 1
    for (const content of [text, gzipSync(text)]) {
      const child = spawn(
        process.execPath,
        [commandFile, 'simulate', '--json', '--log', '-', '--policies', set, '--config', config()],
        {
          env: { ...usualKeys },
          stdio: ['pipe', 'pipe', 'pipe'],
        },
      )
      const out: Buffer[] = []
      child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
      const ended = once(child, 'close')
      // In pieces, of which none ends with a line.
      for (let at = 0; at < content.length; at += 700) child.stdin.write(content.subarray(at, at + 700))
      child.stdin.end()
      expect((await ended)[0]).toBe(0)
      const found = JSON.parse(Buffer.concat(out).toString()) as Simulation
      expect(found).toMatchObject({ records, same: records, gaps: 0 })
    }
  })

  test('is read with progress on a terminal, which is taken away in the end, and without elsewhere', async () => {
    const terminal = 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)'
    const command = [
      process.execPath,
      commandFile,
      'simulate',
      '--log',
      log,
      '--policies',
      await policySet(),
      '--config',
      config(),
    ]
    const shown = await promisify(execFile)('python3', ['-c', terminal, ...command], {
      env: { ...process.env, ...usualKeys },
    })
    const [progress = '', rest = ''] = shown.stdout.split('\r\u001b[K')
    expect(progress.replaceAll('\u001b[K', '<clear>')).toMatch(/^\r[\d,]+ decisions, \d+ %<clear>$/)
    expect(rest).toContain('recorded decisions, from ')
    const plain = await promisify(execFile)(command[0] ?? '', command.slice(1), {
      env: { ...process.env, ...usualKeys },
    })
    expect([plain.stderr, plain.stdout]).toEqual(['', expect.not.stringContaining('\r')])
  })

  test('tells what is missing in it', async () => {
    const lines = (await readFile(log, 'utf8')).split('\n').filter((line) => line !== '')
    const [one = '', two = '', three = ''] = lines
    const file = join(running.directory, 'damaged.ndjson')
    const lost = two.replace(',"ended":', ',"lost_before":7,"ended":')
    await writeFile(file, `${one}\n${one.slice(0, 200)}\n${lost}\n${three.slice(50)}\n${three}\n${three.slice(0, -30)}`)
    const found = await asData({}, file)
    expect(found).toMatchObject({ records: 3, same: 3, gaps: 4 })
    expect(found.gap_details.map(({ kind, line, count }) => [kind, line, count])).toEqual([
      ['cut-line', 2, 1],
      ['lost-records', 3, 7],
      ['cut-line', 4, 1],
      ['half-line', 6, 1],
    ])
    const cut = join(running.directory, 'cut.gz')
    const packed = gzipSync(await readFile(log))
    await writeFile(cut, packed.subarray(0, packed.length - 40))
    expect((await asData({}, log, cut)).gap_details.map(({ kind }) => kind)).toContain('cut-file')
  })

  test.each([
    ['access.ndjson', 'These are access records'],
    ['audit.ndjson', 'These are audit records'],
    ['gateway.yaml', 'Its lines are no JSON'],
  ])('%s is refused with a sentence', async (name, sentence) => {
    const { code, err } = await simulated('--log', join(running.directory, name), '--policies', await policySet())
    expect([code, err]).toEqual([1, expect.stringContaining(sentence)])
  })

  test.each([
    ['gz', gzipSync],
    ['zst', zstdCompressSync],
  ])('that was cut before its first whole line is named as such: %s', async (ending, pack) => {
    const file = join(running.directory, `early.ndjson.${ending}`)
    await writeFile(file, pack(await readFile(log)).subarray(0, 200))
    const { code, err } = await simulated('--log', file, '--policies', await policySet())
    expect([code, err]).toEqual([
      1,
      `devin-gateway simulate: there is no decision in ${file}: the compressed file ends early, before its first whole line\n`,
    ])
  })

  test('whose lines have no time is not guessed at, and a mark at its beginning costs no line', async () => {
    const lines = (await readFile(log, 'utf8')).split('\n').filter((line) => line !== '')
    const untimed = lines.map((line, index) =>
      index % 2 === 0
        ? line
        : line.replace(
            /"time":"[^"]{24}"/,
            index % 4 === 1 ? '"time":"yesterday, at about noon"' : '"time":"2026-99-99T00:00:00.000Z"',
          ),
    )
    const file = join(running.directory, 'untimed.ndjson')
    await writeFile(file, `\ufeff${untimed.join('\n')}\n`)
    const found = await asData({}, file)
    const whole = Math.ceil(lines.length / 2)
    expect(found).toMatchObject({ records: whole, gaps: 0, other_lines: lines.length - whole })
    const suggested = await callCommand(
      [
        'suggest',
        '--log',
        file,
        '--unused',
        '1d',
        '--policies',
        await policySet(),
        '--config',
        join(running.directory, 'gateway.yaml'),
      ],
      usualKeys,
    )
    expect(suggested.code).toBe(0)
  })

  test('that is not there, and a set that does not compile, are said', async () => {
    const missing = await simulated('--log', join(running.directory, 'nothing'), '--policies', await policySet())
    expect([missing.code, missing.err]).toEqual([1, expect.stringContaining('cannot be read: there is no such file')])
    const broken = await policySet(replaced('teams/payments.yaml', 'ManageOrgSessions', 'ManageOrgSession'))
    const refused = await simulated('--log', log, '--policies', broken)
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('did you mean "ManageOrgSessions"')])
    expect((await simulated('--log', log)).code).toBe(2)
    expect((await simulated('--policies', broken)).code).toBe(2)
    expect((await simulated('--log', log, '--policies', broken, '--fail-on', 'newly-deny')).err).toContain(
      'did you mean "newly-denied"?',
    )
  })

  test('of an earlier version is decided by what it holds, and that is said', async () => {
    const lines = (await readFile(log, 'utf8'))
      .split('\n')
      .filter((line) => line !== '' && !line.includes('org.schedules'))
    const old = lines.map((line) => line.replace(/,"request":(?:null|\{.*\})(?=,"policy_revision")/, ''))
    const file = join(running.directory, 'old.ndjson')
    await writeFile(file, `${old.join('\n')}\n`)
    const found = await asData({}, file)
    expect(found).toMatchObject({ records: total, newly_allowed: 0, newly_denied: 0, other_key: 0, other_guardrail: 0 })
    const { out } = await simulated('--log', file, '--policies', await policySet())
    expect(out).toContain('were recorded by an earlier version')
  })
})
