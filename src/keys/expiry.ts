// Warns operators before and after a key's declared end. Pure but for the timer.

import type { KeyHandle } from './key.ts'

const dayMs = 86_400_000
/** A key warns this long before its end: two weeks outlast a holiday. */
const warnedMs = 14 * dayMs

/** True from the declared end of a key on. */
export function isExpired({ expiresAtMs }: KeyHandle, nowMs: number): boolean {
  return expiresAtMs !== null && nowMs >= expiresAtMs
}

/** A sentence about a key that ends soon or has ended; null for any other. */
export function expiryWarning(handle: KeyHandle, nowMs: number): string | null {
  const { id, expiresAtMs } = handle
  const ending = expiresAtMs === null ? null : endingText(expiresAtMs, nowMs)
  if (ending === null) return null
  return isExpired(handle, nowMs)
    ? `key "${id}" ${ending}: calls that need it are refused with 503 until it is renewed and \`expires\` says so`
    : `key "${id}" ${ending}: renew it, and write its new end into \`expires\``
}

/** When something ends, from the verb on; null for an end that is more than two weeks away. */
export function endingText(endsAtMs: number, nowMs: number): string | null {
  if (nowMs < endsAtMs - warnedMs) return null
  const end = new Date(endsAtMs).toISOString().replace('.000', '')
  if (nowMs >= endsAtMs) return `ended at ${end}`
  const days = Math.floor((endsAtMs - nowMs) / dayMs)
  return `ends at ${end}, ${days === 0 ? 'within a day' : days === 1 ? 'in a day' : `in ${days} days`}`
}

/** Checks every hour, and warns once a day, and once when the key has ended. */
export function watchExpiry(
  keys: () => readonly KeyHandle[],
  now: () => number,
  warn: (handle: KeyHandle, text: string) => void,
) {
  const warned = new Map<string, string>()
  const look = (): void => {
    for (const handle of keys()) {
      const text = expiryWarning(handle, now())
      if (text !== null && warned.get(handle.id) !== text) warn(handle, text)
      if (text !== null) warned.set(handle.id, text)
    }
  }
  const timer = setInterval(look, 3_600_000)
  timer.unref()
  return { stop: () => clearInterval(timer) }
}
