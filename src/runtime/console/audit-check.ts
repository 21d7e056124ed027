// Checks the hash chain of the audit log where it is, as `devin-gateway audit verify` does, when somebody asks.

import { stat } from 'node:fs/promises'
import { basename } from 'node:path'
import type { AuditCheckView } from '../../admin/console/policy-view.ts'
import { QueryError } from '../../admin/console/query.ts'
import { isoTime } from '../../admin/views.ts'
import { auditLines } from '../../records/audit/audit-tail.ts'
import { headFileOf, isHeadFile, readHead } from '../../records/audit/head-file.ts'
import { verifyAudit } from '../../records/audit/verification.ts'
import { isReadable } from '../../records/search/compressed-file.ts'
import { isCompressed, recordFilesOf } from '../../records/search/record-files.ts'
import { standardDescriptor, withoutLinks } from '../../records/target.ts'
import type { ConsoleOptions } from './console-options.ts'

/** Sizes of the files, as they lie on the disk. */
const mostBytes = 64 * 1024 * 1024
const mostProblems = 20

/** One check at a time: whoever asks meanwhile gets its result. */
export function openAuditCheck({ core }: ConsoleOptions): () => Promise<AuditCheckView> {
  const { config, now, sinks } = core
  const { audit: target } = config.records
  let running: Promise<AuditCheckView> | null = null

  async function check(): Promise<AuditCheckView> {
    const { seq, hash } = sinks.auditHead()
    const log = withoutLinks(target)
    // Other files whose names only begin alike, such as checkpoints, are none of the log.
    const files = (await recordFilesOf(target)).filter(
      (file) =>
        (file === log || file.startsWith(`${log}.`)) && !isHeadFile(file) && (!isCompressed(file) || isReadable(file)),
    )
    const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size))
    if (sizes.reduce((sum, size) => sum + size, 0) > mostBytes)
      throw new QueryError(
        `The audit log is too large to be checked here. Run: devin-gateway audit verify ${target}*`,
        409,
      )
    const verdict = await verifyAudit(
      files.map((file) => ({ name: file, lines: auditLines(file), noted: readHead(headFileOf(file)) })),
      { checkpoints: null, expectedHead: seq === 0 ? null : hash, from: null },
    )
    return {
      at: isoTime(now()) ?? '',
      ok: verdict.ok,
      entries: verdict.entries,
      head: { seq, hash },
      files: verdict.files.map(({ file, from, to }) => ({ name: basename(file), from, to })),
      torn_lines: verdict.tornLines.length,
      problems: verdict.problems
        .slice(0, mostProblems)
        .map(({ file, line, problem }) => ({ file: file === null ? null : basename(file), line, problem })),
    }
  }

  return async () => {
    if (standardDescriptor(target) !== null)
      throw new QueryError(`The audit log goes to ${target}: check it where it is kept.`, 404)
    running ??= check().finally(() => (running = null))
    return await running
  }
}
