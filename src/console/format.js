// Times and figures as people say them.

/** In UTC, as records and messages tell times. @param {string | null | undefined} time */
export function clock(time) {
  if (time === null || time === undefined) return 'never'
  const text = new Date(time).toISOString()
  const isToday = text.slice(0, 10) === new Date().toISOString().slice(0, 10)
  return isToday ? text.slice(11, 19) : `${text.slice(0, 10)} ${text.slice(11, 16)}`
}

/** @param {string | null | undefined} time How long ago, or in how long. */
export function distance(time) {
  if (time === null || time === undefined) return 'never'
  const seconds = Math.round((Date.now() - Date.parse(time)) / 1000)
  return seconds >= 0 ? `${span(seconds)} ago` : `in ${span(-seconds)}`
}

/** @param {number} seconds */
export function span(seconds) {
  const whole = Math.round(seconds)
  if (whole < 90) return `${whole} s`
  if (whole < 5400) return `${Math.round(whole / 60)} min`
  if (whole < 172_800) return `${Math.round(whole / 3600)} h`
  return `${Math.round(whole / 86_400)} days`
}

/** @param {number | null | undefined} value */
export function milliseconds(value) {
  if (value === null || value === undefined) return '–'
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} s`
  return `${value >= 100 ? Math.round(value) : value >= 10 ? value.toFixed(1) : value.toFixed(2)} ms`
}

/** @param {number | null | undefined} value */
export function bytes(value) {
  if (value === null || value === undefined) return '–'
  if (value < 1024) return `${value} B`
  const units = ['KiB', 'MiB', 'GiB', 'TiB']
  let [size, unit] = [value, -1]
  while (size >= 1024 && unit < units.length - 1) [size, unit] = [size / 1024, unit + 1]
  return `${size >= 100 ? Math.round(size) : size.toFixed(1)} ${units[unit]}`
}

/** @param {number | null | undefined} value */
export function number(value) {
  if (value === null || value === undefined) return '–'
  return value.toLocaleString('en-US', { maximumFractionDigits: 2 })
}

/** @param {number | null | undefined} value */
export function percent(value) {
  return value === null || value === undefined
    ? '–'
    : `${value.toLocaleString('en-US', { maximumFractionDigits: 1 })} %`
}

/** @param {number} count @param {string} one @param {string} [many] */
export function counted(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`
}
