// How the reports look and when they judge: cells, verdicts and Markdown tables.

import type { Comparison, Series } from './series.ts'
import type { Spread } from './statistics.ts'

export interface Judged {
  readonly compared: Comparison
  /** Nothing is judged without a goal. */
  readonly goal: { readonly atMost?: number | undefined; readonly atLeast?: number | undefined }
  /** How many were measured, of all runs. */
  readonly rounds: number
  readonly quick: boolean
  readonly series: readonly Series[]
}

/** Goal and verdict. None of a smoke run, of wrong answers, or where noise left less than half the rounds. */
export function judge({ compared, goal, rounds, quick, series }: Judged): string {
  const { atMost, atLeast } = goal
  if (atMost === undefined && atLeast === undefined) return ''
  const wanted = atMost === undefined ? `≥ ${(atLeast ?? 0).toFixed(2)}` : `≤ ${atMost.toFixed(2)}`
  return `${wanted}: ${verdict()}`

  function verdict(): string {
    if (quick) return 'not judged, smoke run'
    if (series.some((each) => faults(each) > 0)) return 'not judged, wrong answers'
    if (compared.spread === null) return series.some(isNoisy) ? 'not judged, noise' : 'not available here'
    if (compared.rounds * 2 < rounds) return 'not judged, noise'
    const { median } = compared.spread
    return (atMost === undefined || median <= atMost) && (atLeast === undefined || median >= atLeast) ? 'met' : 'missed'
  }
}

function isNoisy({ runs }: Series): boolean {
  return runs.flat().some(({ noisy }) => noisy)
}

/** Answers with a wrong status and answers that did not come. */
export function faults({ runs }: Series): number {
  return runs.flat().reduce((total, { unexpected, errors }) => total + unexpected + errors, 0)
}

/** Foreign CPU over all rounds, and how many of them do not count. */
export function disturbance({ runs }: Series): string {
  const samples = runs.flat()
  const values = samples.flatMap(({ foreignPercent }) => foreignPercent ?? [])
  if (values.length === 0) return 'not available'
  const noisy = samples.filter((sample) => sample.noisy).length
  const most = `≤ ${Math.max(...values).toFixed(0)}`
  return noisy === 0 ? most : `${most}, ${noisy} of ${samples.length} rounds left out`
}

/** Median with the smallest and the largest value. */
export function spread(value: Spread | null, digits: number): string {
  if (value === null) return '–'
  const [median, min, max] = [value.median, value.min, value.max].map((number) => number.toFixed(digits))
  return min === max ? `${median}` : `${median} (${min}–${max})`
}

export function list(items: readonly string[]): string {
  return items.map((item) => `- ${item}`).join('\n')
}

export function table(title: string, heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [`### ${title}`, '', line(heads), line(heads.map(() => '---')), ...rows.map(line)].join('\n')
}
