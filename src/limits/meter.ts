// Arithmetic of one limit: how much was used, whether a cost fits, and how long to wait when it does not. Time is passed in.

/** So many in a span of time: sliding (`perMs`), sliding with a burst, or in a calendar day, week or month. */
export interface Quota {
  readonly amount: number
  readonly perMs: number | null
  readonly calendar: 'day' | 'week' | 'month' | null
  /** For sliding quotas: the most at once; a bucket of this size that refills at the rate. Null: an exact sliding window. */
  readonly burst: number | null
  /** IANA name; calendar windows turn at its midnight. */
  readonly timeZone: string
}

/** Usage of one quota. The amount may change between calls (policies are replaced); what was used stays used. */
export interface Meter {
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

export function createMeter(quota: Quota): Meter {
  if (quota.calendar !== null) return new CalendarMeter()
  return quota.burst === null ? new SlidingMeter() : new BucketMeter()
}

/** An entry of the window is at most this part of it wide, so a window holds at most so many entries. */
const resolution = 1000

/** How wide an entry of a sliding window is. */
export function entryWidthMs(spanMs: number): number {
  return Math.max(1, spanMs / resolution)
}

/** By which moment a use is kept: the end of the entry that it falls into. */
export function entryEndMs(spanMs: number, nowMs: number): number {
  const width = entryWidthMs(spanMs)
  return Math.ceil(nowMs / width) * width
}

/**
 * Never more than the amount in any window of the quota's length. Uses are kept by the end of a thousandth of the window
 * in which they fell, so each is forgotten up to a thousandth late, never early.
 */
class SlidingMeter implements Meter {
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
    const time = entryEndMs(spanOf(quota), nowMs)
    const last = this.#times.length - 1
    if (last >= this.#head && (this.#times[last] ?? 0) >= time) this.#counts[last] = (this.#counts[last] ?? 0) + cost
    else {
      this.#times.push(time)
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
    // Uses are kept up to a thousandth of the window too long; nobody is told more than the window.
    return this.#used === 0 || last === undefined ? 0 : Math.min(spanOf(quota), last + spanOf(quota) - nowMs)
  }

  #forget(spanMs: number, nowMs: number): void {
    while (this.#head < this.#times.length && (this.#times[this.#head] ?? 0) + spanMs <= nowMs) {
      this.#used -= this.#counts[this.#head] ?? 0
      this.#head += 1
    }
    // The forgotten part is cut off now and then, so that neither memory nor copying grows.
    if (this.#head > resolution) {
      this.#times = this.#times.slice(this.#head)
      this.#counts = this.#counts.slice(this.#head)
      this.#head = 0
    }
  }
}

/** Generic cell rate algorithm: one number, the theoretical arrival time. At most amount + burst in any window. */
class BucketMeter implements Meter {
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
    this.#arrivalMs = Math.max(this.#arrivalMs, nowMs) + cost * this.#intervalMs
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

/** Counts in a calendar window that turns at midnight of a time zone. */
class CalendarMeter implements Meter {
  #endMs = 0
  #used = 0

  waitMs(quota: Quota, cost: number, nowMs: number): number {
    this.#turn(quota, nowMs)
    if (this.#used + cost <= quota.amount) return 0
    return cost > quota.amount ? Infinity : this.#endMs - nowMs
  }

  take(quota: Quota, cost: number, nowMs: number): void {
    this.#turn(quota, nowMs)
    this.#used += cost
  }

  giveBack(cost: number): void {
    this.#used = Math.max(0, this.#used - cost)
  }

  remaining(quota: Quota, nowMs: number): number {
    this.#turn(quota, nowMs)
    return Math.max(0, quota.amount - this.#used)
  }

  resetMs(quota: Quota, nowMs: number): number {
    this.#turn(quota, nowMs)
    return this.#used === 0 ? 0 : this.#endMs - nowMs
  }

  #turn(quota: Quota, nowMs: number): void {
    if (nowMs < this.#endMs) return
    this.#endMs = calendarEndMs(quota.calendar ?? 'day', quota.timeZone, nowMs)
    this.#used = 0
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

const dayMs = 86_400_000

/** When the calendar window that holds `nowMs` ends, at a midnight of the time zone. Weeks begin on Monday (ISO 8601). */
export function calendarEndMs(unit: 'day' | 'week' | 'month', timeZone: string, nowMs: number): number {
  const { year, month, day } = localDate(timeZone, nowMs)
  const weekday = (new Date(Date.UTC(year, month - 1, day)).getUTCDay() + 6) % 7
  const [endMonth, endDay] = unit === 'month' ? [month + 1, 1] : [month, day + (unit === 'week' ? 7 - weekday : 1)]
  const asUtc = Date.UTC(year, endMonth - 1, endDay)
  // The zone's offset before and after that midnight. Where the clocks skip it the day begins later, where they show it
  // twice with the first of the two: with the first moment at which they show midnight or more.
  const ends = [asUtc - dayMs, asUtc + dayMs].map((near) => asUtc - offsetMs(timeZone, near))
  return Math.min(...ends.filter((end) => end + offsetMs(timeZone, end) >= asUtc))
}

function localDate(timeZone: string, timeMs: number): { year: number; month: number; day: number } {
  const local = new Date(timeMs + offsetMs(timeZone, timeMs))
  return { year: local.getUTCFullYear(), month: local.getUTCMonth() + 1, day: local.getUTCDate() }
}

function offsetMs(timeZone: string, timeMs: number): number {
  if (timeZone === 'UTC') return 0
  const parts = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  }).formatToParts(timeMs)
  const value = (type: string): number => Number(parts.find((part) => part.type === type)?.value ?? 0)
  const asUtc = Date.UTC(
    value('year'),
    value('month') - 1,
    value('day'),
    value('hour'),
    value('minute'),
    value('second'),
  )
  return asUtc - Math.floor(timeMs / 1000) * 1000
}
