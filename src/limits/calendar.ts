// Where the days, weeks and months of a time zone end. Pure.

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
