// `matrix` and `test --coverage` as a shell sees them, over the sample policies.

import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, expect, test } from 'vitest'
import { callCommand } from '../support/command.ts'

const folder = mkdtempSync(join(tmpdir(), 'matrix-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Row {
  readonly team: string
  readonly operation: string
  readonly organization: string | null
  readonly effect: string
  readonly grant: string | null
  readonly last_used: string | null
}

test('`matrix` says why a file cannot be written', async () => {
  for (const option of ['--html', '--csv']) {
    const { code, err } = await callCommand(['matrix', option, join(folder, 'nowhere', 'x')])
    expect([code, err]).toEqual([1, expect.stringMatching(/nowhere\/x cannot be written: there is no such folder\n$/)])
  }
})

test('`matrix` writes one thing to standard output: the page, the table or the data', async () => {
  const page = await callCommand(['matrix', '--html', '-'])
  expect([page.code, page.err]).toEqual([0, ''])
  expect(page.out).toMatch(/^<!doctype html>[^]*<\/html>\s*$/i)
  for (const args of [
    ['--html', '-', '--csv', '-'],
    ['--json', '--csv', '-'],
    ['--html', '-', '--json'],
  ]) {
    const { code, out, err } = await callCommand(['matrix', ...args])
    expect([code, out]).toEqual([2, ''])
    expect(err).toMatch(
      /^devin-gateway matrix: --\w+(?: -)? and --\w+(?: -)? all write to standard output: name a file/,
    )
  }
})

test('`matrix` writes a page, a table and data, and says when each right was last used', async () => {
  const [html, csv, log] = ['matrix.html', 'matrix.csv', 'decisions.ndjson.gz'].map((name) => join(folder, name))
  const plain = await callCommand(['matrix', '--json'])
  const all = JSON.parse(plain.out) as {
    readonly cells: number
    readonly undecided: number
    readonly rows: readonly Row[]
  }
  expect(all).toMatchObject({ undecided: 0 })
  const [first] = all.rows.filter(({ effect, organization }) => effect === 'allow' && organization !== null)
  const used = {
    time: '2026-11-01T10:00:00.000Z',
    decision_id: '01HZ',
    effect: 'allow',
    reason: 'granted',
    team: first?.team,
    grant: first?.grant,
    operation: first?.operation,
    organizations: [first?.organization],
  }
  writeFileSync(log ?? '', gzipSync(`${JSON.stringify(used)}\n`))
  const { code, out } = await callCommand([
    'matrix',
    '--html',
    html ?? '',
    '--csv',
    csv ?? '',
    '--log',
    log ?? '',
    '--json',
  ])
  expect(code).toBe(0)
  const rows = (JSON.parse(out) as typeof all).rows
  expect(rows.filter(({ last_used: time }) => time !== null)).toEqual([{ ...first, last_used: used.time }])
  const lines = readFileSync(csv ?? '', 'utf8').split('\r\n')
  expect(lines[0]).toMatch(/^team,callers,operation,organization,effect,grant,key,conditions,last_used,/)
  expect(lines).toHaveLength(rows.length + 2)
  expect(statSync(html ?? '').size).toBeLessThan(1024 * 1024)
  expect(readFileSync(html ?? '', 'utf8')).toContain(used.time)
  const other = await callCommand(['matrix', '--log', join(folder, 'missing')])
  expect(other).toMatchObject({ code: 1, err: expect.stringContaining('there is no such file') })
})

test('`test --coverage` names what no test exercises, with its place, and --min sets the exit code', async () => {
  const { code, out } = await callCommand(['test', '--coverage'])
  expect(code).toBe(0)
  expect(out).toMatch(/^not tested policies\/guardrails\.recommended\.yaml:\d+: guardrail \S+, grants: named: /m)
  const { coverage } = JSON.parse((await callCommand(['test', '--coverage', '--json'])).out) as {
    readonly coverage: {
      readonly percent: number
      readonly covered: number
      readonly total: number
      readonly missing: object[]
    }
  }
  expect(coverage.total - coverage.covered).toBe(coverage.missing.length)
  // The samples teach how policies are tested.
  expect(coverage.percent).toBeGreaterThanOrEqual(90)
  expect((await callCommand(['test', '--coverage', '--min', '90'])).code).toBe(0)
  const low = await callCommand(['test', '--coverage', '--min', '100'])
  expect(low).toMatchObject({ code: 1, out: expect.stringContaining('at least 100 % is wanted') })
  expect((await callCommand(['test', '--coverage', '--min', 'much'])).code).toBe(2)
  expect((await callCommand(['test', '--min', '90'])).code).toBe(2)
})
