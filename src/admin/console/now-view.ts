// What operators see of the moment and of the last hour. Listed fields of plain data, so that no secret fits in.

import type { ExchangeOutcome } from '../../records/entries.ts'

export type TroubleOwner = 'identity team' | 'Devin' | 'platform' | 'policy owner' | 'team'

export type TroubleSubject =
  | 'issuer'
  | 'upstream'
  | 'store'
  | 'cache'
  | 'key'
  | 'policies'
  | 'shadow'
  | 'certificate'
  | 'records'
  | 'audit'
  | 'budget'
  | 'limit'
  | 'block'
  | 'configuration'
  | 'instance'

/** Something that is wrong. Times in ISO 8601. */
export interface TroubleView {
  /** Stable while it lasts. */
  readonly id: string
  /** `outage`: requests fail. `degraded`: it works with less. `warning`: it will fail. */
  readonly severity: 'outage' | 'degraded' | 'warning'
  /** A sentence. */
  readonly what: string
  readonly since: string
  readonly owner: TroubleOwner
  /** Who that is, where the policies name them. */
  readonly contact: string | null
  /** A sentence that says what to do. */
  readonly do: string
  readonly about: { readonly kind: TroubleSubject; readonly name: string | null }
}

/** Milliseconds; null without requests. */
export interface PercentilesView {
  readonly p50: number | null
  readonly p99: number | null
}

/** Refusals and failures for one reason. */
export interface RefusalCountView {
  readonly reason: string
  readonly problem: string | null
  readonly count: number
  readonly teams: readonly string[]
  readonly last_at: string
  /** The id of the latest decision. */
  readonly example: string
}

export interface NowView {
  readonly at: string
  readonly instance: { readonly version: string; readonly started_at: string; readonly workers: number }
  readonly ready: boolean
  readonly draining: boolean
  readonly summary: string
  readonly troubles: readonly TroubleView[]
  readonly traffic: {
    readonly window_seconds: number
    readonly requests: number
    readonly per_second: number
    readonly in_flight: number
    readonly outcomes: Readonly<Partial<Record<ExchangeOutcome, number>>>
  }
  readonly latency: { readonly gateway: PercentilesView; readonly devin: PercentilesView }
  readonly refusals: readonly RefusalCountView[]
  readonly cache: {
    readonly asked: number
    readonly answered: number
    readonly hit_percent: number | null
    readonly bytes: number
    readonly max_bytes: number
    readonly entries: number
  }
  readonly queue: {
    readonly at_devin: number
    readonly waiting: number
    readonly connections: number
    readonly longest_wait_ms: number | null
  }
  readonly memory: { readonly rss_bytes: number; readonly heap_bytes: number }
}

/** One number for each step; null where there was nothing to measure. */
export type SeriesColumn = readonly (number | null)[]

export const seriesNames = [
  'requests',
  'refused',
  'failed',
  'gateway_p50_ms',
  'gateway_p99_ms',
  'devin_p50_ms',
  'devin_p99_ms',
  'cache_asked',
  'cache_answered',
  'waiting',
  'in_flight',
  'rss_bytes',
] as const
export type SeriesName = (typeof seriesNames)[number]

export interface SeriesView {
  readonly step_seconds: number
  /** The end of each step, in seconds since the epoch. */
  readonly at: readonly number[]
  readonly columns: Readonly<Record<SeriesName, SeriesColumn>>
}
