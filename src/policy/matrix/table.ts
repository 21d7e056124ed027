// The matrix as data and as CSV: one row for each organization. Pure.

import type { LastUses, Matrix } from './matrix.ts'

export interface TableRow {
  readonly team: string
  readonly callers: string
  readonly operation: string
  readonly organization: string | null
  readonly effect: 'allow' | 'deny'
  readonly grant: string | null
  readonly key: string | null
  readonly conditions: string | null
  /** Null: never, as far as is recorded, or no log was given. */
  readonly last_used: string | null
  readonly reason: string
  readonly guardrails: readonly string[]
  readonly limits: readonly string[]
}

const tableColumns = [
  'team',
  'callers',
  'operation',
  'organization',
  'effect',
  'grant',
  'key',
  'conditions',
  'last_used',
  'reason',
  'guardrails',
  'limits',
] as const satisfies readonly (keyof TableRow)[]

/** One row for each organization. */
export function* tableRows({ rows }: Matrix, uses: LastUses | null): Generator<TableRow> {
  for (const { organizations, ...row } of rows) {
    for (const organization of organizations) {
      const used = uses?.of({ ...row, organizations }, organization) ?? null
      yield { ...row, organization, last_used: row.effect === 'allow' ? used : null }
    }
  }
}

/** Lines of CSV as RFC 4180 has it, each with its end. */
export function* csvLines(rows: Iterable<TableRow>): Generator<string> {
  yield `${tableColumns.join(',')}\r\n`
  for (const row of rows) {
    const fields = tableColumns.map((name) => [row[name] ?? ''].flat().join('; '))
    yield `${fields.map(csvField).join(',')}\r\n`
  }
}

/** A spreadsheet takes a text for a formula that begins like one; an apostrophe in front says that it is none. */
function csvField(text: string): string {
  const plain = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain
}
