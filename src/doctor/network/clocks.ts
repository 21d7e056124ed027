// The clock of this machine, held against the clocks of all servers that told theirs. Pure.

import { clockSkewMs } from '../../identity/signing-keys/lifetime.ts'
import { counted } from '../../config/plural.ts'
import type { Examination } from '../examination.ts'
import type { Findings } from '../finding.ts'
import type { ProbeAnswer } from './probe.ts'

/** How far another clock is ahead of this machine's. */
export interface ClockReading {
  /** "the Devin API", "the store". */
  readonly name: string
  readonly aheadMs: number
  /** More than this does harm. */
  readonly toleratedMs: number
  /** What the difference does, as a sentence. */
  readonly harm: string
}

/** What follows from the `Date` of an answer; null where it has none, or comes from a cache on the way. */
export function aheadOf(answer: ProbeAnswer): number | null {
  return answer.headers['age'] === undefined ? clockSkewMs(answer.headers, answer.atMs) : null
}

/** Clocks that differ by less agree. */
const agreeMs = 2_000

/** One finding for each clock, or one about the own clock, where the others agree that it is the wrong one. */
export function clockExamination(readings: readonly ClockReading[]): Examination {
  const byName = (): ClockReading[] => readings.toSorted((a, b) => a.name.localeCompare(b.name))
  return { area: 'clock', about: null, examine: (found) => judge(found, byName()) }
}

function judge(found: Findings, readings: readonly ClockReading[]): void {
  const wrong = readings.filter(({ aheadMs, toleratedMs }) => Math.abs(aheadMs) > toleratedMs)
  const [first] = wrong
  if (readings.length === 0)
    found.skipped('own', 'No server told its time, so the clock of this machine was held against none.')
  else if (first === undefined) {
    const most = Math.max(...readings.map(({ aheadMs }) => Math.abs(aheadMs)))
    found.ok('own', `differs from ${counted(readings.length, 'other')} by ${secondsOf(most)} at most`)
  } else if (wrong.length > 1 && agree(readings))
    found.error(
      'own',
      `The clock of this machine is ${secondsOf(first.aheadMs)} ${first.aheadMs > 0 ? 'behind' : 'ahead'}: ${names(readings)} agree on the time. Tokens, certificates and the ends of rights are judged by it.`,
      'Set the clock by NTP. timedatectl says whether that is on.',
    )
  else
    for (const { name, aheadMs, harm } of wrong)
      found.error(
        'peer',
        `The clock of ${name} is ${secondsOf(aheadMs)} ${aheadMs > 0 ? 'ahead of' : 'behind'} this machine's. ${harm}`,
        `Check both clocks: ${readings.length === 1 ? 'no other server told its time, so it is not known which one is wrong' : 'those of the other servers do not differ so'}.`,
        name,
      )
}

function agree(readings: readonly ClockReading[]): boolean {
  const all = readings.map(({ aheadMs }) => aheadMs)
  return Math.max(...all) - Math.min(...all) <= agreeMs
}

function names(readings: readonly ClockReading[]): string {
  const all = [...new Set(readings.map(({ name }) => name))]
  return all.length < 2 ? (all[0] ?? '') : `${all.slice(0, -1).join(', ')} and ${all.at(-1) ?? ''}`
}

function secondsOf(ms: number): string {
  const seconds = Math.abs(ms) / 1000
  if (seconds < 120) return `${Math.round(seconds * 10) / 10} s`
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : counted(Math.round(seconds / 86_400), 'day')
}
