// `matrix`: who may do what under a policy set, as a page, as a table and as data.

import { createWriteStream } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { counted, plural } from '../../../config/plural.ts'
import { whyUnreadable } from '../../../config/values/file-errors.ts'
import { LastUses, matrixOf, type Matrix } from '../../../policy/matrix/matrix.ts'
import { matrixPage } from '../../../policy/matrix/page.ts'
import { csvLines, tableRows } from '../../../policy/matrix/table.ts'
import type { Command, Invocation } from '../../invocation.ts'
import { readDecisions } from '../../logs/decisions.ts'
import { refusalNotes } from '../../policy-source.ts'
import { configOption, loadSetup, policiesOption, readRunningConfig } from '../../setup.ts'
import { UsageError } from '../../usage.ts'

export const matrixCommand: Command = {
  usage: 'matrix [--html FILE|-] [--csv FILE|-] [--log FILE]… [--all] [--policies DIR] [--config F]',
  summary:
    'show who may do what: team, callers, operation, organization, with grant, key, conditions and last use; a cell is one operation for one class of callers in one organization',
  positionals: 10_000,
  options: {
    ...configOption,
    ...policiesOption,
    html: { type: 'string', help: 'write one HTML file that needs nothing from outside; - for standard output' },
    csv: { type: 'string', help: 'write CSV (RFC 4180); - for standard output' },
    log: {
      type: 'string',
      multiple: true,
      help: 'decision log that says what was used; repeatable, - for standard input',
    },
    all: { type: 'boolean', help: 'list what no grant covers, too' },
  },
  async run(invocation) {
    const [html, csv] = [invocation.option('html'), invocation.option('csv')]
    // A shell expands `--log decisions*` to several words.
    const logs = [...invocation.list('log'), ...invocation.positionals]
    if (invocation.positionals.length > 0 && invocation.list('log').length === 0)
      throw new UsageError(`"${invocation.positionals[0] ?? ''}" is one argument too many: logs are given by --log`)
    const outputs = [
      html === '-' ? '--html -' : [],
      csv === '-' ? '--csv -' : [],
      invocation.json ? '--json' : [],
    ].flat()
    if (outputs.length > 1)
      throw new UsageError(`${outputs.join(' and ')} all write to standard output: name a file for one of them`)
    const { loaded } = await loadSetup(invocation, { read: readRunningConfig, tests: 'ignored' })
    const { policy } = loaded
    const matrix = matrixOf(policy, invocation.flag('all') ? 'all' : 'covered')
    const uses = logs.length === 0 ? null : await usesIn(logs, matrix, invocation)
    for (const text of refusalNotes(loaded)) invocation.tell(text)
    if (html !== null) {
      const about = { revision: policy.revision, madeAt: new Date().toISOString(), hasLog: uses !== null }
      const page = matrixPage(matrix, uses, about)
      if (html === '-') invocation.out.write(page)
      else await written(html, writeFile(html, page))
    }
    if (csv !== null) {
      const lines = csvLines(tableRows(matrix, uses))
      if (csv === '-') invocation.out.write([...lines].join(''))
      else await written(csv, pipeline(Readable.from(lines), createWriteStream(csv)))
    }
    if (invocation.json) {
      const { decided: cells, undecided } = matrix
      invocation.print(JSON.stringify({ cells, undecided, rows: [...tableRows(matrix, uses)] }))
    } else if (outputs.length === 0) printText(invocation, matrix, uses, [html, csv])
    return matrix.undecided > 0 ? 1 : 0
  },
}

/** Says in a sentence why a file could not be written. */
async function written(file: string, writing: Promise<void>): Promise<void> {
  await writing.catch((error: unknown) => {
    throw new Error(`${file} cannot be written: ${whyUnreadable(error, 'folder')}`, { cause: error })
  })
}

async function usesIn(logs: readonly string[], matrix: Matrix, invocation: Invocation): Promise<LastUses> {
  const uses = new LastUses(matrix)
  const { gaps } = await readDecisions(logs, invocation.err, {
    repeated: () => false,
    decision: ({ time, effect, team, grant, operation, organizations }) => {
      if (effect !== 'allow' || team == null || operation == null) return
      uses.add({ time, team, grant: grant ?? null, operation, organizations: organizations ?? [] })
    },
  })
  if (gaps.length > 0)
    invocation.err.write(
      `note: the log has ${counted(gaps.length, 'gap')}, so what was last used in ${plural(gaps.length, 'it', 'them')} is not known\n`,
    )
  return uses
}

function printText(
  invocation: Invocation,
  { rows, decided, undecided }: Matrix,
  uses: LastUses | null,
  files: readonly (string | null)[],
): void {
  const named = files.filter((file) => file !== null)
  if (named.length === 0) {
    for (const row of rows) {
      const { team, callers, operation, organizations, effect, reason, grant, key, conditions } = row
      const places = organizations.filter((id) => id !== null)
      const where = places.length === 0 ? '' : ` in ${places.join(', ')}`
      const by = grant === null ? 'as a member' : `grant ${grant}`
      const how = effect === 'allow' ? `${by}, key ${key ?? 'none'}` : `denied (${reason}), ${by}`
      const times = organizations.flatMap((id) => uses?.of(row, id) ?? []).sort()
      const last = uses === null ? '' : `, last used ${times.at(-1) ?? 'never'}`
      const when = conditions === null ? '' : ` (${conditions})`
      invocation.print(`${team}: ${callers}: ${operation}${where}: ${how}${when}${last}`)
    }
  }
  for (const file of named) invocation.print(`written to ${file}`)
  invocation.print(`${counted(rows.length, 'row')}, ${counted(decided, 'cell')} decided, ${undecided} could not be`)
}
