// `audit verify FILE…`: checks audit logs, also against checkpoints. `audit checkpoint`: has the running gateway sign one.

import { readFile } from 'node:fs/promises'
import { didYouMean } from '../../config/nearest.ts'
import { whyUnreadable } from '../../config/values/file-errors.ts'
import { auditLines } from '../../records/audit/audit-tail.ts'
import { headFileOf, isHeadFile, readHead } from '../../records/audit/head-file.ts'
import { verifyAudit, type AuditVerdict, type SequenceRange } from '../../records/audit/verification.ts'
import {
  checkCheckpoint,
  readCheckpoint,
  readPublicKey,
  type Checkpoint,
  type CheckpointKey,
} from '../../records/checkpoints/checkpoint.ts'
import type { CheckpointOutcome } from '../../records/checkpoints/checkpoints.ts'
import { isBeingCompressed } from '../../records/rotation/archive.ts'
import type { Command, Invocation } from '../invocation.ts'
import { operatorOption, operatorsOf } from '../operators.ts'
import { configOption, readRunningConfig } from '../setup.ts'
import { UsageError } from '../usage.ts'

export const auditCommand: Command = {
  usage:
    'audit verify FILE…|- [--checkpoints FILE]… [--public-key FILE]… [--head HASH] [--from SEQ] | audit checkpoint [--config F]',
  summary:
    'check the hash chain of audit logs, against signed checkpoints where there are; have a checkpoint signed now',
  positionals: 10_000,
  options: {
    ...configOption,
    ...operatorOption,
    checkpoints: {
      type: 'string',
      multiple: true,
      help: 'verify: file with checkpoints, as a place has kept them; repeatable',
    },
    'public-key': {
      type: 'string',
      multiple: true,
      help: 'verify: PEM file of a key that signs checkpoints; repeatable, after a change',
    },
    origin: { type: 'string', help: 'verify: the log, where checkpoints of several are in one file' },
    head: { type: 'string', help: 'verify: a hash noted earlier, which must occur; finds a log that was cut short' },
    from: {
      type: 'string',
      help: 'verify: number of the first line that must be there, where older files were removed',
    },
  },
  async run(invocation) {
    const [verb, ...files] = invocation.positionals
    if (verb === 'checkpoint' && files.length === 0) return await checkpointNow(invocation)
    if (verb === 'verify' && files.length > 0) return await verify(invocation, files)
    const meant = verb === undefined ? '' : didYouMean(verb, ['verify', 'checkpoint'])
    throw new UsageError(`say: audit verify FILE…, or: audit checkpoint${meant}`)
  },
}

async function verify(invocation: Invocation, given: readonly string[]): Promise<number> {
  // `audit.ndjson*` names more than the log.
  const named = given.filter((file) => !isHeadFile(file) && !isBeingCompressed(file))
  // A shell's pattern behind --checkpoints gives more than one file.
  const isCheckpoints = await Promise.all(named.map(holdsCheckpoints))
  const files = named.filter((_, index) => isCheckpoints[index] !== true)
  const kept = [...invocation.list('checkpoints'), ...named.filter((_, index) => isCheckpoints[index] === true)]
  const keyFiles = invocation.list('public-key')
  if (files.length === 0) throw new UsageError('name the files of the audit log: audit verify FILE…')
  if (kept.length > 0 && keyFiles.length === 0)
    throw new UsageError('--checkpoints needs --public-key: the key that signs them')
  if (keyFiles.length > 0 && kept.length === 0)
    throw new UsageError('--public-key needs --checkpoints: what it has signed')
  const read =
    kept.length === 0 ? null : await readCheckpoints(kept, await readKeys(keyFiles), invocation.option('origin'))
  const chain = await verifyAudit(
    files.map((file) =>
      file === '-'
        ? { name: 'standard input', lines: readable(file) }
        : { name: file, lines: readable(file), noted: readHead(headFileOf(file)) },
    ),
    { checkpoints: read?.checkpoints ?? null, expectedHead: invocation.option('head'), from: fromOf(invocation) },
  )
  const problems = [...(read?.problems ?? []), ...chain.problems]
  const ok = problems.length === 0
  if (invocation.json) invocation.print(JSON.stringify(asData({ ...chain, ok, problems }, read)))
  else show(invocation, { ...chain, ok, problems }, read)
  return ok ? 0 : 1
}

function fromOf(invocation: Invocation): number | null {
  const written = invocation.option('from')
  if (written !== null && !/^[1-9][0-9]{0,14}$/.test(written))
    throw new UsageError(`--from takes the number of a line, not "${written}"`)
  return written === null ? null : Number(written)
}

async function* readable(file: string): AsyncGenerator<string> {
  try {
    yield* auditLines(file === '-' ? process.stdin : file)
  } catch (error) {
    throw new Error(`${file} cannot be read: ${whyUnreadable(error)}`, { cause: error })
  }
}

async function holdsCheckpoints(file: string): Promise<boolean> {
  // Standard input can be read once, and is the log.
  if (file === '-') return false
  for await (const line of readable(file)) if (line.trim() !== '') return readCheckpoint(line) !== null
  return false
}

async function readKeys(files: readonly string[]): Promise<CheckpointKey[]> {
  return await Promise.all(
    files.map(async (file) => {
      const text = await readFile(file, 'utf8').catch((error: unknown) => {
        throw new Error(`${file} cannot be read: ${whyUnreadable(error)}`, { cause: error })
      })
      try {
        return readPublicKey(text)
      } catch (error) {
        throw new Error(`${file}: ${error instanceof Error ? error.message : 'it is no key'}`, { cause: error })
      }
    }),
  )
}

type ReadCheckpoints = Awaited<ReturnType<typeof readCheckpoints>>

/** Those that are signed. Whatever else is in the files is counted, and a signature that does not fit is a problem. */
async function readCheckpoints(files: readonly string[], keys: readonly CheckpointKey[], origin: string | null) {
  const checkpoints: Checkpoint[] = []
  const problems: { file: string | null; line: number; problem: string }[] = []
  const unknown = new Map<string, { file: string; line: number; count: number }>()
  const origins = new Set<string>()
  const others = new Set<string>()
  let [unreadable, forged] = [0, 0]
  for (const file of files) {
    let line = 0
    for await (const text of readable(file)) {
      line += 1
      const checkpoint = readCheckpoint(text)
      if (checkpoint === null) {
        unreadable += text.trim() === '' ? 0 : 1
        continue
      }
      if (origin !== null && checkpoint.origin !== origin) {
        others.add(checkpoint.origin)
        continue
      }
      const result = checkCheckpoint(checkpoint, keys)
      if (result === 'signed') {
        checkpoints.push(checkpoint)
        origins.add(checkpoint.origin)
      } else if (result === 'forged') {
        forged += 1
        problems.push({
          file,
          line,
          problem: `line ${line} is a checkpoint whose signature does not fit what it says: it was changed or forged`,
        })
      } else unknown.set(checkpoint.key_id, { file, line, count: (unknown.get(checkpoint.key_id)?.count ?? 0) + 1 })
    }
  }
  for (const [id, { file, line, count }] of unknown)
    problems.push({
      file,
      line,
      problem: `${count} checkpoint(s) are signed by key ${id}, which is none of those given: give its public key with --public-key as well`,
    })
  if (origins.size > 1)
    throw new UsageError(`the checkpoints are of several logs: choose one with --origin (${[...origins].join(', ')})`)
  if (checkpoints.length === 0)
    problems.push({
      file: files[0] ?? null,
      line: 0,
      problem: `there is no signed checkpoint of this log: nothing anchors it${others.size === 0 ? '' : `; --origin names ${origin}, and the checkpoints are of ${[...others].slice(0, 5).join(', ')}`}`,
    })
  const unknownKey = [...unknown.values()].reduce((sum, { count }) => sum + count, 0)
  return { checkpoints, problems, counts: { forged, unknown_key: unknownKey, unreadable } }
}

/** Of one file by itself it is what it has always been; more stands beside it where more was asked. */
function asData(verdict: AuditVerdict, read: ReadCheckpoints | null): object {
  const { ok, entries, head, tornLines, files, beginsAfter, anchored, unanchored, problems } = verdict
  const [worst] = problems
  const short =
    worst === undefined ? { ok, entries, head, tornLines } : { ok, line: worst.line, problem: worst.problem }
  const follows = beginsAfter === null ? {} : { begins_after: beginsAfter }
  if (files.length < 2 && read === null) return { ...short, ...follows }
  return {
    ...short,
    ...(worst === undefined ? {} : { file: worst.file, entries, head, tornLines }),
    ...follows,
    files,
    ...(read === null
      ? {}
      : { checkpoints: { signed: read.checkpoints.length, ...read.counts }, anchored, unanchored }),
    problems,
  }
}

function show(invocation: Invocation, verdict: AuditVerdict, read: ReadCheckpoints | null): void {
  const { paint, print } = invocation
  const { ok, entries, head, files, beginsAfter, anchored, unanchored, problems } = verdict
  if (ok) print(`${paint('green', 'unbroken')}: ${entries} entries, head ${head}`)
  for (const { file, line, problem } of problems)
    print(`${paint('red', 'broken')}${file === null ? '' : ` at ${file}${line === 0 ? '' : `:${line}`}`}: ${problem}`)
  if (files.length > 1) for (const { file, from, to } of files) print(`  ${file}: ${rangeText({ from, to })}`)
  if (ok && beginsAfter !== null) print(`  it follows seq ${beginsAfter.seq} of a file that was not given`)
  if (read === null) return
  const { checkpoints, counts } = read
  const others = counts.unreadable === 0 ? '' : `; ${counts.unreadable} line(s) are no checkpoints`
  print(`  checkpoints: ${checkpoints.length} signed${others}`)
  for (const range of anchored) print(`  ${paint('green', 'anchored')}: ${rangeText(range)}`)
  for (const range of unanchored)
    print(
      `  ${paint('yellow', 'not anchored')}: ${rangeText(range)}: no checkpoint has seen this, so it may have been written anew`,
    )
}

function rangeText({ from, to }: SequenceRange): string {
  return from === to ? `seq ${from}` : `seq ${from} to ${to}`
}

/** Asks the running gateway. */
async function checkpointNow(invocation: Invocation): Promise<number> {
  const { config } = await readRunningConfig(invocation)
  const response = await operatorsOf(config, invocation).demand('/api/audit/checkpoint', 20_000, { method: 'POST' })
  // Our own listener's answer.
  const outcome = (await response
    .json()
    .catch(() => ({ error: `it answered ${response.status}` }))) as CheckpointOutcome
  if ('error' in outcome) throw new Error(outcome.error)
  const away = outcome.places.filter(({ delivered }) => !delivered)
  invocation.print(JSON.stringify(invocation.json ? outcome : outcome.checkpoint))
  for (const { place, error } of away)
    invocation.tell(`note: ${place} does not have it yet (${error ?? 'it waits'}); it is sent later`)
  return away.length === 0 ? 0 : 1
}
