// Arithmetic of one limit: how much was used, whether a cost fits, and how long to wait when it does not. Pure: time
// is passed in, by the monotonic clock in milliseconds; for calendar windows, since the epoch.

import { calendarEndMs } from '../calendar.ts'
import type { Quota } from '../limiter.ts'

/** Usage of one quota. The amount may change between calls (policies are replaced); what was used stays used. */
export interface QuotaMeter {
  /** Milliseconds until `cost` fits: 0 when it does now, Infinity when it never does. */
  waitMs(quota: Quota, cost: number, nowMs: number): number
  /** Counts a cost that fits. */
  take(quota: Quota, cost: number, nowMs: number): void
  /** Takes back what was counted for a call that came to nothing. */
  giveBack(cost: number): void
  remaining(quota: Quota, nowMs: number): number
  /** Milliseconds until the full amount is there again. */
  resetMs(quota: Quota, nowMs: number): number
}

export function createMeter(quota: Quota): QuotaMeter {
  if (quota.calendar !== null) return new CalendarMeter()
  return quota.burst === null ? new SlidingMeter() : new BucketMeter()
}

/** An entry of the window is at most this part of it wide, so a window holds at most so many entries. */
const resolution = 1000

/** Which entry of a sliding window a moment falls into. */
function entryOf(spanMs: number, timeMs: number): number {
  return Math.ceil(timeMs / Math.max(1, spanMs / resolution))
}

/**
 * Never more than the amount in any window of the quota's length. Uses within a thousandth of the window are kept together
 * by the time of the last of them, so each is forgotten up to a thousandth late, never early.
 */
class SlidingMeter implements QuotaMeter {
  #times: number[] = []
  #counts: number[] = []
  #head = 0
  #used = 0

  waitMs(quota: Quota, cost: number, nowMs: number): number {
    if (cost > quota.amount) return Infinity
    this.#forget(spanOf(quota), nowMs)
    let excess = this.#used + cost - quota.amount
    if (excess <= 0) return 0
    for (let index = this.#head; index < this.#times.length; index++) {
      excess -= this.#counts[index] ?? 0
      if (excess <= 0) return (this.#times[index] ?? 0) + spanOf(quota) - nowMs
    }
    return Infinity
  }

  take(quota: Quota, cost: number, nowMs: number): void {
    const last = this.#times.length - 1
    const span = spanOf(quota)
    if (last >= this.#head && entryOf(span, this.#times[last] ?? 0) === entryOf(span, nowMs)) {
      this.#times[last] = nowMs
      this.#counts[last] = (this.#counts[last] ?? 0) + cost
    } else {
      this.#times.push(nowMs)
      this.#counts.push(cost)
    }
    this.#used += cost
  }

  giveBack(cost: number): void {
    let left = Math.min(cost, this.#used)
    this.#used -= left
    for (let index = this.#times.length - 1; index >= this.#head && left > 0; index--) {
      const part = Math.min(left, this.#counts[index] ?? 0)
      this.#counts[index] = (this.#counts[index] ?? 0) - part
      left -= part
      if (this.#counts[index] !== 0) continue
      this.#times.pop()
      this.#counts.pop()
    }
  }

  remaining(quota: Quota, nowMs: number): number {
    this.#forget(spanOf(quota), nowMs)
    return Math.max(0, quota.amount - this.#used)
  }

  resetMs(quota: Quota, nowMs: number): number {
    this.#forget(spanOf(quota), nowMs)
    const last = this.#times.at(-1)
    return this.#used === 0 || last === undefined ? 0 : last + spanOf(quota) - nowMs
  }

  #forget(spanMs: number, nowMs: number): void {
    while (this.#head < this.#times.length && (this.#times[this.#head] ?? 0) + spanMs <= nowMs) {
      this.#used -= this.#counts[this.#head] ?? 0
      this.#head += 1
    }
    // Expired entries are cut off from time to time, so that neither memory nor copying grows.
    if (this.#head > resolution) {
      this.#times = this.#times.slice(this.#head)
      this.#counts = this.#counts.slice(this.#head)
      this.#head = 0
    }
  }
}

/** Generic cell rate algorithm: one number, the theoretical arrival time. At most amount + burst in any window. */
class BucketMeter implements QuotaMeter {
  #arrivalMs = 0
  #intervalMs = 0

  waitMs(quota: Quota, cost: number, nowMs: number): number {
    const interval = bucketIntervalMs(quota)
    const tolerance = burstOf(quota) * interval
    if (cost * interval > tolerance) return Infinity
    return Math.max(0, Math.max(this.#arrivalMs, nowMs) + cost * interval - tolerance - nowMs)
  }

  take(quota: Quota, cost: number, nowMs: number): void {
    this.#intervalMs = bucketIntervalMs(quota)
    const arrivalMs = Math.max(this.#arrivalMs, nowMs) + cost * this.#intervalMs
    // Uses that were counted without a check fill the bucket at most.
    this.#arrivalMs = Math.max(this.#arrivalMs, Math.min(arrivalMs, nowMs + burstOf(quota) * this.#intervalMs))
  }

  giveBack(cost: number): void {
    this.#arrivalMs -= cost * this.#intervalMs
  }

  remaining(quota: Quota, nowMs: number): number {
    const interval = bucketIntervalMs(quota)
    const tolerance = burstOf(quota) * interval
    return Math.max(0, Math.floor((tolerance - Math.max(0, this.#arrivalMs - nowMs)) / interval))
  }

  resetMs(_quota: Quota, nowMs: number): number {
    return Math.max(0, this.#arrivalMs - nowMs)
  }
}

/**
 * Counts in a calendar window that turns at midnight of a time zone. Where the clock is set back over a midnight, what was
 * counted stays counted in the window that is there again; nobody waits longer than until that one ends.
 */
class CalendarMeter implements QuotaMeter {
  #endMs = 0
  #used = 0
  /** When this window was last found to be the right one. */
  #seenMs = 0
  #before = { endMs: 0, used: 0 }

  waitMs(quota: Quota, cost: number, nowMs: number): number {
    this.#moveWindow(quota, nowMs)
    if (this.#used + cost <= quota.amount) return 0
    return cost > quota.amount ? Infinity : this.#endMs - nowMs
  }

  take(quota: Quota, cost: number, nowMs: number): void {
    this.#moveWindow(quota, nowMs)
    this.#used += cost
  }

  giveBack(cost: number): void {
    this.#used = Math.max(0, this.#used - cost)
  }

  remaining(quota: Quota, nowMs: number): number {
    this.#moveWindow(quota, nowMs)
    return Math.max(0, quota.amount - this.#used)
  }

  resetMs(quota: Quota, nowMs: number): number {
    this.#moveWindow(quota, nowMs)
    return this.#used === 0 ? 0 : this.#endMs - nowMs
  }

  #moveWindow(quota: Quota, nowMs: number): void {
    if (nowMs >= this.#seenMs && nowMs < this.#endMs) return
    this.#seenMs = nowMs
    const endMs = calendarEndMs(quota.calendar ?? 'day', quota.timeZone, nowMs)
    if (endMs > this.#endMs) {
      this.#before = { endMs: this.#endMs, used: this.#used }
      this.#used = 0
    } else if (endMs === this.#before.endMs) {
      this.#used += this.#before.used
      this.#before = { endMs: 0, used: 0 }
    }
    this.#endMs = endMs
  }
}

function spanOf(quota: Quota): number {
  // Only quotas with a span get the meters that ask for it.
  return quota.perMs ?? Infinity
}

function burstOf(quota: Quota): number {
  return quota.burst ?? quota.amount
}

/** 2^-12 ms: how exactly a double holds a moment of this century. */
const tickMs = 1 / 4096

/**
 * Milliseconds in which a bucket gets one use back: whole ticks, so that moments add and subtract exactly, and what is taken
 * and given back in one piece or in many comes to the same.
 */
export function bucketIntervalMs(quota: Quota): number {
  return Math.max(1, Math.floor(spanOf(quota) / quota.amount / tickMs)) * tickMs
}
