// Warns operators before and after a key's declared end. Pure but for the timer.

import { endingText } from '../config/values/instants.ts'
import type { KeyHandle } from './key.ts'

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
  const timer = setInterval(look, 3_600_000).unref()
  return { stop: () => clearInterval(timer) }
}
