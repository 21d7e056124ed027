// Checks the audit chain of one file, as `audit verify` does.

import { verifyAudit } from '../../src/records/audit/verification.ts'

/** What is wrong at which line. `expectedHead`: a hash noted earlier, which has to occur. */
export async function verifyChain(lines: AsyncIterable<string> | Iterable<string>, expectedHead: string | null = null) {
  const options = { checkpoints: null, expectedHead, from: null }
  const { entries, head, tornLines, problems } = await verifyAudit([{ name: 'audit', lines }], options)
  const [first] = problems
  if (first === undefined) return { ok: true, entries, head, tornLines } as const
  return { ok: false, line: first.line, problem: first.problem } as const
}
