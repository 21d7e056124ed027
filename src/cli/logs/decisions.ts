// The decisions of logs, one after the other, with what is missing between them. Other records of the gateway are passed over.

import { memberOf } from '../../json/untyped.ts'
import { counted } from '../../config/plural.ts'
import { isRecordedDecision, type RecordedDecision } from '../../policy/replay/recorded-decision.ts'
import { forPeople } from '../style.ts'
import { showProgress } from './progress.ts'
import { readLogs, type Gap } from './read-logs.ts'

export interface DecisionTaker {
  /** A decision that repeats an earlier one but for time and ids: true when it was counted by `content` alone. */
  readonly repeated: (content: string, time: string) => boolean
  /** `content`: null where the line is not as the gateway writes it. */
  readonly decision: (record: RecordedDecision, content: string | null) => void
}

/** What was read. */
export interface ReadDecisions {
  readonly decisions: number
  /** Lines that are no decisions: access records, lines of other programs. */
  readonly others: number
  readonly gaps: readonly Gap[]
  /** Times of the first and of the last decision. */
  readonly first: string
  readonly last: string
}

/** How the gateway begins a decision, and the members that repeat. */
const lineStart = '{"time":"'
const contentStart = ',"ended":{'
const timeLength = 24
const timeForm = /^\d{4}-(?:0\d|1[0-2])-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d\.\d{3}Z$/
const mostGaps = 1_000

/** Gives every decision to `taker`, and shows on `err` how far it is. Throws a sentence where the logs hold none, or cannot be read. */
export async function readDecisions(
  names: readonly string[],
  err: NodeJS.WritableStream,
  taker: DecisionTaker,
): Promise<ReadDecisions> {
  const progress = showProgress(err)
  const gaps: Gap[] = []
  let [decisions, others, first, last] = [0, 0, '', '']
  let sample: unknown = null
  const files = { seen: new Set<string>(), told: new Set<string>(), current: '' }
  const note = (gap: Gap): void => {
    if (gaps.length < mostGaps) gaps.push(gap)
  }
  const count = (time: string): void => {
    decisions += 1
    if (!files.told.has(files.current)) files.told.add(files.current)
    if (first === '' || time < first) first = time
    if (time > last) last = time
  }
  const isWhole = (text: string, file: string, line: number): boolean => {
    if (files.current !== file) files.seen.add((files.current = file))
    const start = text.startsWith(lineStart) ? text.indexOf(contentStart) : -1
    const content = start > 0 ? text.slice(start) : null
    const time = text.slice(lineStart.length, lineStart.length + timeLength)
    const isPlain = content !== null && timeForm.test(time) && text.lastIndexOf(lossMember, start) === -1
    if (isPlain && taker.repeated(content, time)) {
      count(time)
      return true
    }
    const value = parsed(text)
    if (value === undefined) return false
    if (!isRecordedDecision(value)) {
      others += 1
      sample ??= value
      return true
    }
    count(value.time)
    const { lost_before: lost } = value
    if (typeof lost === 'number' && lost > 0) note({ kind: 'lost-records', file, line, count: lost })
    taker.decision(value, content)
    return true
  }
  await readLogs(names, process.stdin, {
    line(text, file, line) {
      if (!isWhole(text, file, line)) note({ kind: 'cut-line', file, line, count: 1 })
    },
    rest: isWhole,
    gap: note,
    progress: (bytes, total) => progress.tell(decisions, bytes, total),
  }).finally(progress.end)
  if (decisions === 0) throw new Error(noDecisions(names, others, gaps, sample))
  for (const file of files.seen)
    if (!files.told.has(file))
      err.write(`note: no line of ${forPeople(file)} is a decision: name the files of records.decisions\n`)
  return { decisions, others, gaps, first, last }
}

const lossMember = '"lost_before":'

function parsed(text: string): unknown {
  try {
    // Some editors begin a file with a mark of its encoding.
    return JSON.parse(text.startsWith('\ufeff') ? text.slice(1) : text)
  } catch {
    return undefined
  }
}

function noDecisions(names: readonly string[], others: number, gaps: readonly Gap[], sample: unknown): string {
  const cut = gaps.length
  const where = names.map((name) => (name === '-' ? 'standard input' : name)).join(', ')
  if (others === 0 && cut === 0) return `there is no decision in ${where}: the log is empty`
  if (others === 0 && gaps.some(({ kind }) => kind === 'cut-file'))
    return `there is no decision in ${where}: the compressed file ends early, before its first whole line`
  const has = (name: string): boolean => memberOf(sample, name) !== undefined
  const kind = has('outcome')
    ? 'These are access records'
    : has('hash') || has('event')
      ? 'These are audit records'
      : others > 0
        ? 'Its lines are records of something else'
        : 'Its lines are no JSON'
  return `there is no decision in ${where} (${counted(others + cut, 'line')}). ${kind}: name the file of records.decisions in the configuration`
}
