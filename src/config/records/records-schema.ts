// The mapping `records`: where each stream goes, and how its files rotate.

import path from 'node:path'
import { z } from 'zod'
import { duration, size, text } from '../fields.ts'
import type { Path } from '../yaml/document.ts'
import { alternatives } from '../yaml/issues.ts'

const target = () => text().default('stdout')

const rotate = z.strictObject({
  size: size().prefault('256MiB').describe('A record file that has reached it is moved away.'),
  daily: z.boolean().default(true).describe('Whether record files are moved away at midnight, UTC.'),
  compress: z
    .enum(['gzip', 'zstd', 'none'])
    .default('gzip')
    .describe('How files that were moved away are compressed; of the audit log by gzip, unless none.'),
  keep: duration('1h', '3650d')
    .optional()
    .describe('Age at which they are deleted. Default: never. The audit log is never deleted.'),
  keep_size: size()
    .optional()
    .describe(
      'Size of all of one stream beyond which the oldest are deleted. Default: none. The audit log is never deleted.',
    ),
})

/** Schema of `records`. */
export const recordsSchema = z.strictObject({
  access: target().describe('Access records, one line per request: `stdout`, `stderr` or a file.'),
  decisions: target().describe('Decision records, one line per decision: `stdout`, `stderr` or a file.'),
  audit: target().describe(
    'Audit records, one line per change, hash-chained: `stdout`, `stderr` or a file of its own.',
  ),
  rotate: rotate
    .optional()
    .describe('Rotation of the files by the gateway itself. Default: none; reopen them after a rotation by others.'),
})

type RecordsDocument = z.output<typeof recordsSchema>

/** The audit log is a hash chain: another stream in the same file would break it. */
export function resolveRecords(
  written: RecordsDocument,
  absolute: (path: string) => string,
  report: (at: Path, message: string) => void,
) {
  const place = (target: string) => (target === 'stdout' || target === 'stderr' ? target : absolute(target))
  const records = { access: place(written.access), decisions: place(written.decisions), audit: place(written.audit) }
  const shared = (['access', 'decisions'] as const).filter(
    (stream) => path.isAbsolute(records.audit) && records[stream] === records.audit,
  )
  if (shared.length > 0)
    report(
      ['records', 'audit'],
      `the audit log needs a file of its own: ${alternatives(shared).replace(' or ', ' and ')} would write into it too`,
    )
  return records
}

/** Null: none is wanted. */
export function resolveRotation(
  { access, decisions, audit, rotate }: RecordsDocument,
  report: (at: Path, message: string) => void,
) {
  if (rotate === undefined) return null
  if ([access, decisions, audit].every((target) => target === 'stdout' || target === 'stderr'))
    report(
      ['records', 'rotate'],
      'there is no file to rotate: name one in access, decisions or audit, or remove the key',
    )
  return {
    maxBytes: rotate.size,
    daily: rotate.daily,
    compress: rotate.compress,
    keepMs: rotate.keep ?? null,
    keepBytes: rotate.keep_size ?? null,
  }
}
