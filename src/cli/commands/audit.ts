// `audit verify FILE`: checks the hash chain of an audit log.

import { counted } from '../../config/plural.ts'
import { whyUnreadable } from '../../config/values/file-errors.ts'
import { auditLines } from '../../records/audit/audit-tail.ts'
import { verifyChain } from '../../records/audit/chain.ts'
import type { Command } from '../invocation.ts'
import { painter } from '../style.ts'
import { UsageError } from '../usage.ts'

export const auditCommand: Command = {
  usage: 'audit verify FILE [--head HASH]',
  summary: 'check the hash chain of an audit log',
  positionals: 2,
  options: { head: { type: 'string', help: 'a hash noted earlier, which must occur; finds a log that was cut short' } },
  async run(invocation) {
    const [verb, file, ...rest] = invocation.positionals
    if (verb !== 'verify' || file === undefined || rest.length > 0) throw new UsageError('say: audit verify FILE')
    const verdict = await verifyChain(auditLines(file), invocation.option('head')).catch((error: unknown) => {
      throw new Error(`${file} cannot be read: ${whyUnreadable(error)}`, { cause: error })
    })
    const paint = painter(invocation.out, invocation.env)
    if (invocation.json) invocation.print(JSON.stringify(verdict))
    else if (verdict.ok)
      invocation.print(
        `${paint('green', 'unbroken')}: ${counted(verdict.entries, 'entry', 'entries')}, head ${verdict.head}`,
      )
    else invocation.print(`${paint('red', 'broken')} at ${file}:${verdict.line}: ${verdict.problem}`)
    return verdict.ok ? 0 : 1
  },
}
