// What `doctor` has found, for people and as JSON.

import { counted } from '../../config/plural.ts'
import { relative } from 'node:path'
import type { Examined } from '../../doctor/examination.ts'
import type { Finding, FindingStatus } from '../../doctor/finding.ts'
import type { Painter } from '../style.ts'

const words = {
  ok: ['green', 'ok'],
  warning: ['yellow', 'warning'],
  error: ['red', 'error'],
  skipped: ['dim', 'skipped'],
} as const

/** One line for what is as it should be, two for what is not; under a heading for what it is about. */
export function doctorLines(examined: readonly Examined[], paint: Painter): readonly string[] {
  const lines: string[] = []
  let before = ''
  for (const { area, about, findings } of examined) {
    if (findings.length === 0) continue
    const heading = about === null ? area : `${area} ${about}`
    if (heading !== before) lines.push('', paint('bold', heading))
    before = heading
    for (const [index, finding] of findings.entries()) {
      const next = findings[index + 1]
      // Many keys that lack a value need one line of advice.
      const isRepeated = next?.id === finding.id && next.action === finding.action
      lines.push(...linesOf(isRepeated ? { ...finding, action: null } : finding, about, paint))
    }
  }
  const all = examined.flatMap(({ findings }) => findings)
  return [...lines.slice(1), '', summaryOf(all, paint)]
}

function linesOf({ status, about, message, action, place }: Finding, heading: string | null, paint: Painter): string[] {
  const [colour, word] = words[status]
  const position = place === null || place.line === 0 ? '' : `:${place.line}:${place.column}`
  const at = place === null ? '' : `${shortPath(place.file)}${position}: `
  // What is wrong is said in whole sentences; a short line needs the name.
  const isShort = status === 'ok' && about !== null && about !== heading && !message.includes(about)
  const label = paint(colour, word.padEnd(8))
  return [
    `  ${label} ${isShort ? `${about}: ` : ''}${at}${message}`,
    ...(action === null ? [] : [`           -> ${action}`]),
  ]
}

/** From this folder on, where it lies in it. */
function shortPath(file: string): string {
  const near = relative('', file)
  return near.startsWith('..') ? file : near
}

function summaryOf(findings: readonly Finding[], paint: Painter): string {
  const { error, warning, skipped, ok } = countsOf(findings)
  const verdict = error > 0 ? paint('red', counted(error, 'error')) : paint('green', 'no error')
  const more = skipped === 0 ? '' : `, ${skipped} not examined`
  return `${verdict}, ${counted(warning, 'warning')}, ${ok} fine${more}`
}

export function countsOf(findings: readonly Finding[]): Readonly<Record<FindingStatus, number>> {
  const count = (status: FindingStatus): number => findings.filter((each) => each.status === status).length
  return { error: count('error'), warning: count('warning'), skipped: count('skipped'), ok: count('ok') }
}

/** The findings as `--json` has them. */
export function doctorView(findings: readonly Finding[]) {
  return findings.map(({ id, status, about, message, action, place }) => ({
    id,
    status,
    about,
    message,
    action,
    file: place?.file ?? null,
    line: place === null || place.line === 0 ? null : place.line,
    column: place === null || place.line === 0 ? null : place.column,
  }))
}
