// What `drift` found, for people.

import { counted, plural } from '../../config/plural.ts'
import type { ConcernedTeam } from '../../policy/tools/drift-teams.ts'
import type {
  ChangedOperationReport,
  DifferenceReport,
  DriftReport,
  NewOperationReport,
  VanishedOperationReport,
} from './report.ts'
import type { Painter } from '../style.ts'

/** The report, line by line. */
export function driftLines(report: DriftReport, paint: Painter): string[] {
  const { document, compared, unconfirmed, not_compared: outside, retired } = report
  const counts = [report.new, report.changed, report.vanished].map((list) => list.length)
  const [fresh = 0, changed = 0, vanished = 0] = counts
  return [
    `${paint('bold', document.title)} ${document.version} (OpenAPI ${document.openapi}): ${counted(compared, 'operation')} compared`,
    ...section(
      'New',
      report.new.map((each) => newLines(each, paint)),
    ),
    ...section(
      'Changed',
      report.changed.map((each) => changedLines(each, paint)),
    ),
    ...section(
      'Vanished',
      report.vanished.map((each) => vanishedLines(each, paint)),
    ),
    ...(unconfirmed.length + outside.length + retired === 0 && !report.partial ? [] : ['']),
    ...unconfirmed.map(({ id, names }) => paint('dim', `Still unconfirmed: ${names.join(', ')} of ${id}`)),
    ...(report.partial
      ? [paint('dim', 'Not compared: operations that the document does not describe, because it is partial')]
      : outside.map(({ prefix, operations }) =>
          paint(
            'dim',
            `Not compared: ${counted(operations, 'operation')} below ${prefix}, of which the document has nothing`,
          ),
        )),
    ...(retired === 0 ? [] : [paint('dim', `Left out: ${counted(retired, 'operation')} of the retired API`)]),
    '',
    fresh + changed + vanished === 0
      ? paint('green', 'No drift: the catalogue says what the document says.')
      : paint('yellow', `${fresh} new, ${changed} changed, ${vanished} vanished`),
  ]
}

function section(title: string, entries: readonly (readonly string[])[]): string[] {
  return entries.length === 0 ? [] : ['', `${title} (${entries.length})`, ...entries.flat()]
}

function newLines(each: NewOperationReport, paint: Painter): string[] {
  const { method, path, summary, permissions, permission_source: where, proposal, problem, teams } = each
  const permission =
    permissions === null
      ? 'the document states no permission'
      : permissions.length === 0
        ? `no permission needed (${where ?? ''})`
        : `permission ${permissions.join(', ')} (${where ?? ''})`
  return [
    `  ${paint('bold', `${method} ${path}`)}`,
    ...(summary === '' ? [] : [`      ${summary}`]),
    `      ${permission}`,
    proposal === null
      ? `      not proposed: ${problem ?? ''}`
      : `      proposed as ${proposal.id}${proposal.served ? '' : `, not served: ${proposal.why ?? ''}`}`,
    ...teamLine(proposal?.served === false ? 'would get it, were it served' : 'would get it', teams),
  ]
}

function changedLines({ id, method, path, changes, teams }: ChangedOperationReport, paint: Painter): string[] {
  return [
    `  ${paint('bold', id)}  ${method} ${path}`,
    ...changes.map((change) => `      ${differenceText(change)}`),
    ...teamLine('teams', teams),
  ]
}

function vanishedLines(
  { id, method, path, stability, served, source, teams }: VanishedOperationReport,
  paint: Painter,
): string[] {
  const kind = source === 'catalogue' ? '' : `, of ${source}`
  return [
    `  ${paint('bold', id)}  ${method} ${path}`,
    `      ${stability}${served ? '' : ', not served'}${kind}`,
    ...teamLine('teams', teams),
  ]
}

function teamLine(label: string, teams: readonly ConcernedTeam[] | null): string[] {
  if (teams === null) return []
  const named = teams.map(({ team, grants }) => `${team}${grants.length === 0 ? '' : ` (${grants.join(', ')})`}`)
  return [`      ${label}: ${named.length === 0 ? 'none' : named.join(', ')}`]
}

const places: Readonly<Record<DifferenceReport['in'], string>> = {
  path: 'path parameter ',
  query: 'query parameter ',
  body: 'body field ',
  answer: 'answer: ',
  operation: '',
}

function differenceText(change: DifferenceReport): string {
  const guardrails = change.guardrails ?? []
  const bounds = guardrails.length === 0 ? '' : `; bounded by guardrail ${guardrails.join(', ')}`
  return `${places[change.in]}${change.name}${whatHappened(change)}${bounds}`
}

function whatHappened(change: DifferenceReport): string {
  switch (change.change) {
    case 'new':
      return ' is new'
    case 'vanished':
      return ' has vanished'
    case 'values':
      return [
        change.new.length === 0 ? '' : `: new ${plural(change.new.length, 'value')} ${change.new.join(', ')}`,
        change.vanished.length === 0
          ? ''
          : `: vanished ${plural(change.vanished.length, 'value')} ${change.vanished.join(', ')}`,
      ].join('')
    case 'changed':
      return `: ${change.what === change.name ? '' : `${change.what} `}was ${change.from}, is now ${change.to}`
    default:
      return ''
  }
}
