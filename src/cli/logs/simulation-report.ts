// What `simulate` found, as text and as data.

import { plural } from '../../config/plural.ts'
import { shellOption } from '../../policy/tools/shell-word.ts'
import type { OutcomeKind } from '../../policy/replay/outcome.ts'
import type { ReplayGroup, ReplayTally } from '../../policy/replay/tally.ts'
import type { ReadDecisions } from './decisions.ts'
import type { Gap } from './read-logs.ts'

/** The members of `--json`. */
export function simulationData(tally: ReplayTally, read: ReadDecisions): object {
  const { counts, older } = tally
  return {
    records: read.decisions,
    same: counts.same,
    newly_allowed: counts['newly-allowed'],
    newly_denied: counts['newly-denied'],
    other_key: counts['other-key'],
    other_guardrail: counts['other-guardrail'],
    not_replayable: counts['not-replayable'],
    gaps: read.gaps.length,
    groups: tally.groups(),
    gap_details: read.gaps,
    other_lines: read.others,
    older_records: older,
    first: read.first,
    last: read.last,
  }
}

const sentences: Readonly<Record<Exclude<OutcomeKind, 'same'>, (group: ReplayGroup) => string>> = {
  'newly-denied': ({ from, to }) => `${to}; recorded: ${from}`,
  'newly-allowed': ({ from, to }) => `${to}; recorded: ${from}`,
  'other-key': ({ from, to }) => `${to}; recorded: ${from}`,
  'other-guardrail': ({ from, to }) => `${to}; recorded: ${from}`,
  'not-replayable': ({ from, to }) => `the record does not hold ${to}; recorded: ${from}`,
}
const marks = {
  'newly-denied': '-',
  'newly-allowed': '+',
  'other-key': '~',
  'other-guardrail': '~',
  'not-replayable': '?',
} as const

/** Lines for people. */
export function simulationText(
  tally: ReplayTally,
  read: ReadDecisions,
  { logs, policies }: { readonly logs: readonly string[]; readonly policies: string },
): readonly string[] {
  const { counts, older } = tally
  const groups = tally.groups()
  return [
    ...groups.flatMap((group) => groupLines(group, logs, policies)),
    `${number(read.decisions)} recorded ${plural(read.decisions, 'decision')}, from ${read.first} to ${read.last}`,
    `decided again: ${number(counts.same)} the same, ${number(counts['newly-denied'])} newly denied, ${number(counts['newly-allowed'])} newly allowed, ${number(counts['other-key'])} with another key, ${number(counts['other-guardrail'])} with another effect of guardrails`,
    `not replayable: ${number(counts['not-replayable'])}`,
    read.gaps.length === 0 ? 'gaps in the log: none found' : `gaps in the log: ${read.gaps.length}`,
    ...read.gaps.slice(0, mostShown).map((gap) => `    ${gapText(gap)}`),
    ...(older === 0
      ? []
      : [
          `note: ${number(older)} ${plural(older, 'decision was', 'decisions were')} recorded by an earlier version, which did not say whether the query held undocumented parameters; ${plural(older, 'it is', 'they are')} decided as if it held none`,
        ]),
    ...(read.others === 0
      ? []
      : [
          `note: ${number(read.others)} ${plural(read.others, 'line is no decision and was', 'lines are no decisions and were')} passed over`,
        ]),
  ]
}

const mostShown = 10

function groupLines(group: ReplayGroup, logs: readonly string[], policies: string): readonly string[] {
  const { result, team, operation, count, example } = group
  if (result === 'same') return []
  const who = team === null ? 'no team' : `team ${team}`
  return [
    `${marks[result]} ${result.replace('-', ' ')}: ${number(count)} × ${operation ?? 'no operation'} of ${who}`,
    `    ${sentences[result](group)}`,
    `    see: ${explaining(example.decision_id, logs, policies)}`,
  ]
}

function explaining(id: string, logs: readonly string[], policies: string): string {
  const named = logs.map((log) => shellOption('log', log))
  return ['devin-gateway explain', shellOption('decision', id), ...named, shellOption('policies', policies)].join(' ')
}

function gapText({ kind, file, line, count }: Gap): string {
  const place = `${file}:${line}`
  if (kind === 'lost-records')
    return `${place}: ${count} ${plural(count, 'decision', 'decisions')} before this one could not be written and ${plural(count, 'is', 'are')} lost`
  if (kind === 'half-line') return `${place}: the last line has no end; it was not counted`
  if (kind === 'cut-file') return `${place}: the compressed file ends early; what follows is missing`
  return `${place}: the line is not whole; it was not counted`
}

function number(count: number): string {
  return count.toLocaleString('en')
}
