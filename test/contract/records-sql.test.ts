// The SQL of docs/records.md, run by DuckDB on the samples, and on the same lines in rotated and compressed files. Skipped unless
// GATEWAY_TEST_DUCKDB names a folder in which `@duckdb/node-api` is installed, as in CI.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, describe, expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')
const folder = process.env['GATEWAY_TEST_DUCKDB']
if (folder === undefined)
  process.stderr.write('GATEWAY_TEST_DUCKDB names no DuckDB: the SQL of docs/records.md is not run\n')
const page = readFileSync(join(root, 'docs/records.md'), 'utf8')
const blocks = [...page.matchAll(/```sql\n([^]*?)```\n(?:\n```text\n([^]*?)```)?/g)].map(([, sql = '', wanted]) => ({
  sql,
  wanted: wanted ?? null,
}))
const views = blocks.filter(({ wanted }) => wanted === null)
const questions = blocks.filter(({ wanted }) => wanted !== null)

/** A value of its own kind for each type of SQL. */
interface Value {
  toString(): string
}

interface Database {
  run(sql: string): Promise<unknown>
  runAndReadAll(
    sql: string,
  ): Promise<{ columnNames(): readonly string[]; getRows(): readonly (readonly (Value | null)[])[] }>
  closeSync(): void
}

/** A new database in memory. */
async function connect(): Promise<Database> {
  const { DuckDBInstance } = createRequire(join(folder ?? '', 'package.json'))('@duckdb/node-api') as {
    DuckDBInstance: { create(path: string): Promise<{ connect(): Promise<Database> }> }
  }
  return await (await DuckDBInstance.create(':memory:')).connect()
}

/** As columns of text, as wide as their widest value. */
async function shown(database: Database, sql: string): Promise<string> {
  const result = await database.runAndReadAll(sql)
  const rows = [result.columnNames(), ...result.getRows()].map((row) =>
    row.map((value) => (value === null ? '' : value.toString())),
  )
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? []
  return rows
    .map(
      (row) =>
        `${row
          .map((value, column) => value.padEnd(widths[column] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('')
}

const directory = mkdtempSync(join(tmpdir(), 'gateway-records-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

test('the page has the ten questions in both languages', () => {
  const numbers = [...page.matchAll(/^\*\*(\d+)\. /gm)].map(([, number]) => Number(number))
  expect(numbers).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  expect([views.length, questions.length]).toEqual([1, 10])
})

describe.skipIf(folder === undefined)('DuckDB', () => {
  /** Each stream as three files: the one that is written, and two that were rotated. */
  function splitFiles(): string {
    for (const stream of ['access', 'decisions', 'audit']) {
      const lines = readFileSync(join(root, `examples/${stream}.ndjson`), 'utf8').split(/(?<=\n)/)
      const parts = [0, 1, 2].map((part) =>
        lines.slice(Math.floor((lines.length * part) / 3), Math.floor((lines.length * (part + 1)) / 3)).join(''),
      )
      const file = join(directory, `${stream}.ndjson`)
      writeFileSync(`${file}.2026-11-27T000000.000Z.gz`, gzipSync(parts[0] ?? ''))
      writeFileSync(`${file}.2026-11-28T000000.000Z.zst`, zstdCompressSync(parts[1] ?? ''))
      writeFileSync(file, parts[2] ?? '')
    }
    writeFileSync(join(directory, 'audit.ndjson.head'), '{"seq":3,"hash":"00"}\n')
    return directory
  }

  test.each([
    ['the samples', () => join(root, 'examples')],
    ['rotated and compressed files', splitFiles],
  ])('answers each question as the page says, from %s', async (_where, prepare) => {
    const database = await connect()
    const at = prepare()
    for (const { sql } of views) await database.run(sql.replaceAll("'examples/", `'${at}/`))
    for (const { sql, wanted } of questions) expect(await shown(database, sql), sql).toBe(wanted)
    database.closeSync()
  })
})
