// Checks all files of an audit log together, in whatever order they are given, against checkpoints that were kept elsewhere.

import type { Checkpoint } from '../checkpoints/checkpoint.ts'
import { ChainCheck, genesis, type ChainFault, type ChainHead } from './chain.ts'

export interface AuditSource {
  readonly name: string
  readonly lines: AsyncIterable<string> | Iterable<string>
  /** The line that the gateway has written last, as it is noted beside the log; number 0 where nothing is. Read before the lines. */
  readonly noted?: ChainHead
}

/** From one number to another, both included. */
export interface SequenceRange {
  readonly from: number
  readonly to: number
}

export interface AuditProblem {
  /** Null, and line 0, where it is none of one file, or of one line. */
  readonly file: string | null
  readonly line: number
  readonly problem: string
}

export interface AuditVerdict {
  readonly ok: boolean
  readonly entries: number
  /** Hash of the last line. */
  readonly head: string
  /** Lines that a crash cut off, in all files. */
  readonly tornLines: readonly number[]
  readonly files: readonly ({ readonly file: string; readonly entries: number } & SequenceRange)[]
  /** The end of a file that was not given, and which the first one follows. */
  readonly beginsAfter: ChainHead | null
  /** Lines that a checkpoint vouches for, by the chain, and lines that may have been written anew since. */
  readonly anchored: readonly SequenceRange[]
  readonly unanchored: readonly SequenceRange[]
  readonly problems: readonly AuditProblem[]
}

export interface VerificationOptions {
  /** Signed, and of this log. Null: none were given. */
  readonly checkpoints: readonly Checkpoint[] | null
  /** A hash noted earlier, which has to occur. */
  readonly expectedHead: string | null
  /** The number of the first line that has to be there; older files were removed on purpose. Null: all, or one file by itself. */
  readonly from: number | null
}

/** One file by itself. */
interface ScannedFile {
  readonly name: string
  readonly first: ChainStart
  readonly last: ChainHead
  readonly entries: number
  readonly tornLines: readonly number[]
  /** The first thing that is wrong in it. */
  readonly problem: AuditProblem | null
  /** It ends in the middle of a line: fine where another file goes on from the line before. */
  readonly isCutOff: boolean
  /** Hashes of the lines that checkpoints speak of, by number. */
  readonly hashes: ReadonlyMap<number, string>
  readonly hasExpectedHead: boolean
}

interface ChainStart {
  readonly seq: number
  readonly line: number
  /** What it follows; number 0 at the beginning of a chain. */
  readonly before: ChainHead
  /** It says itself that it follows another file. */
  readonly isSegment: boolean
}

/** Rejects with the error of a source that cannot be read. */
export async function verifyAudit(
  sources: readonly AuditSource[],
  options: VerificationOptions,
): Promise<AuditVerdict> {
  const notes = sources.flatMap(({ name, noted }) => (noted === undefined || noted.seq === 0 ? [] : { name, noted }))
  const wanted = new Set([
    ...(options.checkpoints ?? []).map(({ sequence }) => sequence),
    ...notes.map(({ noted }) => noted.seq),
  ])
  const scanned: ScannedFile[] = []
  for (const source of sources) {
    const file = await scan(source, wanted, options.expectedHead)
    if (file !== null) scanned.push(file)
  }
  const runs = runsOf(scanned)
  const files = runs.flat()
  const last = files.at(-1)?.last ?? { seq: 0, hash: genesis }
  const ofChain = [
    ...scanned.flatMap(({ problem }) => problem ?? []),
    ...beginningProblems(files, options),
    ...runs.slice(1).map((run, index) => gapProblem(runs[index] ?? [], run)),
    ...files.flatMap((file) => cutOffProblem(file, file === files.at(-1) || !continues(runs, file))),
    ...headProblems(files, last, options.expectedHead),
    ...notes.flatMap((note) => noteProblem(files, last, note)),
  ]
  const { anchored, unanchored, problems: ofCheckpoints } = anchors(runs, options.checkpoints ?? [])
  const problems = [...ofChain, ...ofCheckpoints]
  const [first] = files
  return {
    ok: problems.length === 0,
    entries: files.reduce((sum, { entries }) => sum + entries, 0),
    head: last.hash,
    tornLines: files.flatMap(({ tornLines }) => tornLines),
    files: files.map(({ name, first: { seq }, last: end, entries }) => ({
      file: name,
      from: seq,
      to: end.seq,
      entries,
    })),
    beginsAfter: first === undefined || first.first.before.seq === 0 ? null : first.first.before,
    anchored,
    unanchored,
    problems,
  }
}

/** Null for a file that holds nothing. */
async function scan(
  source: AuditSource,
  wanted: ReadonlySet<number>,
  expectedHead: string | null,
): Promise<ScannedFile | null> {
  const check = new ChainCheck()
  const hashes = new Map<number, string>()
  let [lines, hasExpectedHead] = [0, false]
  let first: ChainStart | null = null
  let bad: ChainFault | null = null
  for await (const text of source.lines) {
    lines += 1
    const before = check.head
    bad = check.take(text)
    if (bad !== null) break
    const { head, start } = check
    if (head === before) continue
    if (first === null && start !== null)
      first = { seq: head.seq, line: lines, before: start.follows ?? start.before, isSegment: start.follows !== null }
    if (wanted.has(head.seq)) hashes.set(head.seq, head.hash)
    hasExpectedHead ||= head.hash === expectedHead
  }
  if (lines === 0) return null
  const end = bad === null ? check.end() : null
  if (first === null) bad ??= end
  return {
    name: source.name,
    first: first ?? { seq: 0, line: 0, before: check.head, isSegment: false },
    last: check.head,
    entries: check.entries,
    tornLines: bad === null && end === null ? check.tornLines : [],
    problem: bad === null ? null : { file: source.name, line: bad.line, problem: bad.problem },
    isCutOff: end !== null && first !== null,
    hashes,
    hasExpectedHead,
  }
}

/** Files that follow one another without a gap, in their order; each gap begins another run. */
function runsOf(files: readonly ScannedFile[]): ScannedFile[][] {
  const inOrder = files.toSorted(
    (a, b) => a.first.seq - b.first.seq || a.last.seq - b.last.seq || (a.name < b.name ? -1 : 1),
  )
  const ends = new Set(inOrder.filter(({ problem }) => problem === null).map(({ last }) => last.hash))
  const used = new Set<ScannedFile>()
  const runs: ScannedFile[][] = []
  const followerOf = ({ last: { hash, seq } }: ScannedFile): ScannedFile | undefined =>
    seq === 0
      ? undefined
      : inOrder.find((each) => !used.has(each) && each.first.before.seq > 0 && each.first.before.hash === hash)
  const begin = (start: ScannedFile): void => {
    const run: ScannedFile[] = []
    for (let next: ScannedFile | undefined = start; next !== undefined;) {
      used.add(next)
      run.push(next)
      next = followerOf(next)
    }
    runs.push(run)
  }
  for (const file of inOrder)
    if (!used.has(file) && (file.first.before.seq === 0 || !ends.has(file.first.before.hash))) begin(file)
  // What is left follows what others follow as well.
  for (const file of inOrder) if (!used.has(file)) begin(file)
  return runs
}

function continues(runs: readonly (readonly ScannedFile[])[], file: ScannedFile): boolean {
  return runs.some((run) => run.includes(file) && run.at(-1) !== file)
}

function beginningProblems(files: readonly ScannedFile[], { from, checkpoints }: VerificationOptions): AuditProblem[] {
  const [file] = files
  if (file === undefined || file.first.line === 0 || file.first.seq <= (from ?? 1)) return []
  // A file that says that it follows another one may be looked at by itself. Whoever brings checkpoints asks for all.
  if (file.first.isSegment && files.length === 1 && checkpoints === null && from === null) return []
  const { seq, line } = file.first
  const count = seq - (from ?? 1)
  const problem = `line ${line} has seq ${seq}, and it is the first: ${count} line(s) before it were removed, or are in a file that was not given`
  return [{ file: file.name, line, problem }]
}

function gapProblem(before: readonly ScannedFile[], after: readonly ScannedFile[]): AuditProblem {
  const [end, start] = [before.at(-1), after[0]]
  const [last, first] = [end?.last.seq ?? 0, start?.first.seq ?? 0]
  const between = `${end?.name} ends with seq ${last}, and ${start?.name} begins with seq ${first}`
  const problem =
    first > last + 1
      ? `${between}: a file with the lines of seq ${last + 1} to ${first - 1} is missing`
      : `${between}, and does not follow it: one of the two is of another chain, was written anew, or was given twice`
  return { file: start?.name ?? null, line: start?.first.line ?? 0, problem }
}

function cutOffProblem({ name, isCutOff, last }: ScannedFile, isLast: boolean): AuditProblem[] {
  if (!isCutOff || !isLast) return []
  const problem = `the file ends in the middle of a line behind seq ${last.seq}: it is cut off`
  return [{ file: name, line: 0, problem }]
}

function headProblems(
  files: readonly ScannedFile[],
  { seq, hash }: ChainHead,
  expected: string | null,
): AuditProblem[] {
  if (expected === null || expected === genesis || files.some((file) => file.hasExpectedHead)) return []
  const problem = `the chain ends with seq ${seq} and hash ${hash}; the expected head ${expected} does not occur: lines were removed from the end, or this is another chain`
  return [{ file: null, line: 0, problem }]
}

/** Whoever cuts a log off without its note is found, also where there are no checkpoints. */
function noteProblem(
  files: readonly ScannedFile[],
  last: ChainHead,
  { name, noted }: { readonly name: string; readonly noted: ChainHead },
): AuditProblem[] {
  if (files.some(({ hashes }) => hashes.get(noted.seq) === noted.hash)) return []
  const note = `${name}.head has noted seq ${noted.seq}`
  const problem =
    noted.seq > last.seq
      ? `${linesOf(last.seq + 1, noted.seq)} gone, or in a file that was not given: ${note}, and the log ends before it`
      : `the log was written anew: ${note} with another hash`
  return [{ file: name, line: 0, problem }]
}

/** Each run is covered as far as its last line that a checkpoint names. */
function anchors(runs: readonly (readonly ScannedFile[])[], checkpoints: readonly Checkpoint[]) {
  const problems: AuditProblem[] = []
  const anchored: SequenceRange[] = []
  const unanchored: SequenceRange[] = []
  const lastSeq = runs.at(-1)?.at(-1)?.last.seq ?? 0
  const beyond = checkpoints.filter(({ sequence }) => sequence > lastSeq).toSorted((a, b) => b.sequence - a.sequence)[0]
  if (beyond !== undefined) {
    const problem = `${linesOf(lastSeq + 1, beyond.sequence)} gone: a checkpoint of ${beyond.time} has seen seq ${beyond.sequence}, and the log ends before it`
    problems.push({ file: null, line: 0, problem })
  }
  for (const run of runs) {
    const [from, to] = [run[0]?.first.seq ?? 0, run.at(-1)?.last.seq ?? 0]
    if (to === 0) continue
    const here = checkpoints
      .filter(({ sequence }) => sequence >= from && sequence <= to)
      .toSorted((a, b) => a.sequence - b.sequence)
    const fits = (checkpoint: Checkpoint): boolean =>
      run.some(({ hashes }) => hashes.get(checkpoint.sequence) === checkpoint.hash)
    const good = here.findLast(fits)?.sequence ?? 0
    const wrong = here.find((checkpoint) => !fits(checkpoint))
    if (wrong !== undefined) {
      const sound =
        here.findLast((checkpoint) => checkpoint.sequence < wrong.sequence && fits(checkpoint))?.sequence ?? from - 1
      const problem = `the log was written anew: the line of seq ${wrong.sequence} is not the one that a checkpoint of ${wrong.time} has seen; lines of seq ${sound + 1} to ${wrong.sequence} are not what was recorded`
      problems.push({
        file: run.find(({ first, last }) => first.seq <= wrong.sequence && last.seq >= wrong.sequence)?.name ?? null,
        line: 0,
        problem,
      })
    }
    if (good >= from) anchored.push({ from, to: good })
    if (good < to) unanchored.push({ from: Math.max(good + 1, from), to })
  }
  return { problems, anchored, unanchored }
}

function linesOf(from: number, to: number): string {
  return from === to ? `the line of seq ${from} is` : `the lines of seq ${from} to ${to} are`
}
