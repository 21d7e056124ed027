// HTTP dates (RFC 9110 section 5.6.7), read strictly, so that no two caches take a malformed date for different times.

const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const fixed = /^(?:mon|tue|wed|thu|fri|sat|sun), (\d{2}) ([a-z]{3}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) gmt$/
const rfc850 =
  /^(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday), (\d{2})-([a-z]{3})-(\d{2}) (\d{2}):(\d{2}):(\d{2}) gmt$/
const asctime = /^(?:mon|tue|wed|thu|fri|sat|sun) ([a-z]{3}) ([ \d]\d) (\d{2}):(\d{2}):(\d{2}) (\d{4})$/

/** Milliseconds since the epoch, or null for anything that is not an HTTP date. `nowMs` places two-digit years. */
export function parseHttpDate(text: string, nowMs: number): number | null {
  const lower = text.toLowerCase()
  const modern = fixed.exec(lower)
  if (modern !== null) {
    const [, day = '', month = '', year = '', ...time] = modern
    return assemble(Number(year), month, day, time)
  }
  const older = rfc850.exec(lower)
  if (older !== null) {
    const [, day = '', month = '', year = '', ...time] = older
    return assemble(fullYear(Number(year), nowMs), month, day, time)
  }
  const [, month, day = '', ...rest] = asctime.exec(lower) ?? []
  if (month === undefined) return null
  const [year, ...time] = [rest[3], ...rest.slice(0, 3)]
  return assemble(Number(year), month, day.trim(), time)
}

function assemble(year: number, monthName: string, day: string, time: readonly (string | undefined)[]): number | null {
  const month = months.indexOf(monthName)
  const [hour = 99, minute = 99, second = 99] = time.map(Number)
  // 60 is a leap second, which no clock here has.
  if (month === -1 || hour > 23 || minute > 59 || second > 60) return null
  const date = new Date(Date.UTC(year, month, Number(day), hour, minute, second))
  return date.getUTCDate() === Number(day) || second === 60 ? date.getTime() : null
}

/** A year that appears to be more than 50 years ahead is the most recent past one with these digits. */
function fullYear(twoDigits: number, nowMs: number): number {
  const thisYear = new Date(nowMs).getUTCFullYear()
  const year = thisYear - (thisYear % 100) + twoDigits
  return year > thisYear + 50 ? year - 100 : year
}
