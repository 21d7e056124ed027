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
  if (expiresAtMs === null || nowMs < expiresAtMs - warnedMs) return null
  const end = new Date(expiresAtMs).toISOString().replace('.000', '')
  if (isExpired(handle, nowMs)) {
    return `key "${id}" ended at ${end}: calls that need it are refused with 503 until it is renewed and \`expires\` says so`
  }
  const days = Math.floor((expiresAtMs - nowMs) / dayMs)
  const left = days === 0 ? 'within a day' : days === 1 ? 'in a day' : `in ${days} days`
  return `key "${id}" ends at ${end}, ${left}: renew it, and write its new end into \`expires\``
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
