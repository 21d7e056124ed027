// Time series of the last hour, in memory of a fixed size: one point for each step.

import { seriesNames, type SeriesName, type SeriesView } from '../../../admin/console/now-view.ts'

export const stepSeconds = 10
const steps = 360

export type SeriesPoint = Readonly<Record<SeriesName, number | null>>

export class TimeSeries {
  readonly #at = new Float64Array(steps)
  readonly #columns = new Map<SeriesName, Float64Array>(
    seriesNames.map((name) => [name, new Float64Array(steps).fill(Number.NaN)]),
  )
  #count = 0

  /** `atSeconds`: the end of the step, since the epoch. */
  add(atSeconds: number, point: SeriesPoint): void {
    const slot = this.#count % steps
    this.#at[slot] = atSeconds
    for (const [name, column] of this.#columns) column[slot] = point[name] ?? Number.NaN
    this.#count += 1
  }

  view(): SeriesView {
    const length = Math.min(this.#count, steps)
    const slots = Array.from({ length }, (_, index) => (this.#count - length + index) % steps)
    const columnOf = (name: SeriesName): readonly (number | null)[] => {
      const column = this.#columns.get(name)
      return slots.map((slot) => {
        const value = column?.[slot] ?? Number.NaN
        return Number.isNaN(value) ? null : value
      })
    }
    return {
      step_seconds: stepSeconds,
      at: slots.map((slot) => this.#at[slot] ?? 0),
      columns: Object.fromEntries(seriesNames.map((name) => [name, columnOf(name)])) as SeriesView['columns'],
    }
  }
}
