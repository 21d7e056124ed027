// A comparison as Markdown: a comment for a review. Pure.

import type { Comparison } from './compare.ts'
import { commandFor, organizationsText, comparisonSummary } from './report.ts'
import { callersText, rowsOf, type ChangeRow } from './rows.ts'

/** GitHub takes comments of 65,536 characters; the rest is for what stands around this one. */
const mostCharacters = 60_000

/** Lines of a comment. What matters least is left out where the comment would be too long for GitHub, and counted. */
export function comparisonMarkdown(comparison: Comparison, names: readonly [string, string]): readonly string[] {
  const rows = rowsOf(comparison.changes)
  const [from, to] = names
  const summary = comparisonSummary(comparison, rows)
  const head = [`### Rights: ${code(from)} → ${code(to)}`, '']
  const titles = [
    '| | team | callers | operations | organizations | before | after | see |',
    '| --- | --- | --- | --- | --- | --- | --- | --- |',
  ]
  const whole = `run ${code(`devin-gateway diff ${from} ${to}`)} to see all`
  const notes = within(
    comparison.notes.map((note) => `- ${escaped(note)}`),
    mostCharacters / 4,
    (count) => [`- … and ${count} more notes: ${whole}`],
  )
  const used = [...head, ...titles, ...notes, summary].join('\n').length
  const table = within(
    rows.map((row) => lineOf(row, names)),
    mostCharacters - used,
    (count) => ['', `… and ${count} more: ${whole}.`],
  )
  return [
    ...head,
    ...(rows.length === 0 ? ['No difference in rights.'] : [...titles, ...table]),
    '',
    ...(notes.length === 0 ? [] : [...notes, '']),
    summary,
  ]
}

function lineOf(row: ChangeRow, names: readonly [string, string]): string {
  const cells = [
    row.alsoBy === null ? row.change : `${row.change} (also by team ${escaped(row.alsoBy)})`,
    escaped(row.team),
    escaped(callersText(row)),
    row.operations.map(code).join(', '),
    escaped(organizationsText(row)),
    escaped(row.from),
    escaped(row.to),
    code(commandFor(row, names)),
  ]
  return `| ${cells.join(' | ')} |`
}

/** The first lines that have room, and how many have none. */
function within(lines: readonly string[], most: number, rest: (count: number) => readonly string[]): readonly string[] {
  let left = most
  const kept = lines.findIndex((line) => (left -= line.length + 1) < 0)
  return kept === -1 ? lines : [...lines.slice(0, kept), ...rest(lines.length - kept)]
}

/** A text that is no markup, and mentions nobody. */
function escaped(text: string): string {
  return text
    .replaceAll(/[\\`*[\]<>|~&]|(?<!\w)_|_(?!\w)/g, String.raw`\$&`)
    .replaceAll(/(?<!\w)@(?=\w)/g, '@<!-- -->')
    .replaceAll(/\s+/g, ' ')
}

/** Inside of a table a bar ends the cell, in code as well. */
function code(text: string): string {
  const plain = text.replaceAll(/\s+/g, ' ').replaceAll('|', String.raw`\|`)
  const fence = '`'.repeat(1 + Math.max(0, ...(plain.match(/`+/g) ?? []).map(({ length }) => length)))
  return fence.length === 1 ? `\`${plain}\`` : `${fence} ${plain} ${fence}`
}
