// The limiter of one instance, which answers at once. Windows use the monotonic clock, so that setting the system's
// time neither drops uses nor keeps them longer; calendar windows follow the calendar.

import { Counts } from '../../counts.ts'
import {
  costOfRequest,
  type LimitDecision,
  type LimitClocks,
  type Limit,
  type LimitStatus,
  type Quota,
} from '../limiter.ts'
import { createMeter, type QuotaMeter } from './meter.ts'

export type LocalLimiter = ReturnType<typeof createLocalLimiter>

/** Meters that nobody uses are dropped when there are more than this: callers come and go. */
const sweepAbove = 10_000

export function createLocalLimiter({ now, monotonic }: LimitClocks) {
  const meters = new Map<string, { readonly meter: QuotaMeter; readonly quota: Quota }>()
  const running = new Counts()
  let sweepAt = sweepAbove

  /** Both clocks, read once for each call. Whole milliseconds: a bucket adds and subtracts them exactly. */
  let [runMs, wallMs] = [0, 0]
  const timeOf = ({ calendar }: Quota): number => (calendar === null ? runMs : wallMs)

  function readClocks(): void {
    runMs = Math.floor(monotonic())
    wallMs = now()
  }

  function meterOf(name: string, quota: Quota): QuotaMeter {
    const known = meters.get(name)
    if (known !== undefined) return known.meter
    if (meters.size >= sweepAt) sweep()
    const meter = createMeter(quota)
    meters.set(name, { meter, quota })
    return meter
  }

  /** Next only at twice the number in use, because dropping scans all meters. */
  function sweep(): void {
    for (const [name, { meter, quota }] of meters) if (meter.resetMs(quota, timeOf(quota)) <= 0) meters.delete(name)
    sweepAt = Math.max(sweepAbove, 2 * meters.size)
  }

  function waitFor({ quota, meter, most }: Limit, cost: number): number {
    if (quota === null) return running.of(meter) < most ? 0 : 1000
    return meterOf(meter, quota).waitMs(quota, cost, timeOf(quota))
  }

  function statusOf(limit: Limit): LimitStatus {
    const { quota, most } = limit
    if (quota === null) return { limit, remaining: Math.max(0, most - running.of(limit.meter)), resetMs: 0 }
    const meter = meterOf(limit.meter, quota)
    const timeMs = timeOf(quota)
    return { limit, remaining: meter.remaining(quota, timeMs), resetMs: meter.resetMs(quota, timeMs) }
  }

  function count(limits: readonly Limit[], cost: number): void {
    for (const { quota, meter } of limits) {
      if (quota === null) running.add(meter)
      else meterOf(meter, quota).take(quota, cost, timeOf(quota))
    }
  }

  return {
    take(limits: readonly Limit[], cost = costOfRequest): LimitDecision {
      readClocks()
      let exceeded: Limit | null = null
      let shadowed: Limit | null = null
      let retryAfterMs = 0
      for (const limit of limits) {
        const wait = waitFor(limit, cost)
        if (wait <= 0) continue
        if (limit.shadow) shadowed ??= limit
        else if (exceeded === null || wait > retryAfterMs) {
          exceeded = limit
          retryAfterMs = wait
        }
      }
      if (exceeded === null) count(limits, cost)
      return {
        granted: exceeded === null,
        exceeded: exceeded ?? shadowed,
        retryAfterMs,
        statuses: limits.map(statusOf),
        storeAway: false,
      }
    },
    /** Counts a request that the shared store has granted, whether or not there is room. */
    count(limits: readonly Limit[], cost = costOfRequest): void {
      readClocks()
      count(limits, cost)
    },
    /** How much of a rate or budget is used, as far as its amount. */
    used(limit: Limit): number {
      readClocks()
      return limit.quota === null ? 0 : (limit.quota.burst ?? limit.quota.amount) - statusOf(limit).remaining
    },
    /** How many requests hold a slot of a concurrency limit. */
    running: ({ meter }: Limit): number => running.of(meter),
    peek(limits: readonly Limit[]): readonly LimitStatus[] {
      readClocks()
      return limits.map(statusOf)
    },
    release(limits: readonly Limit[]): void {
      for (const { quota, meter } of limits) if (quota === null) running.subtract(meter)
    },
    giveBack(limits: readonly Limit[], cost = costOfRequest): void {
      for (const limit of limits) if (limit.kind === 'refundable') meters.get(limit.meter)?.meter.giveBack(cost)
    },
  }
}
