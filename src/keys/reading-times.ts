// When the source of a key is asked again: regularly, and sooner with growing waits while it cannot be read. Pure but for chance.

import type { SecretReference } from '../config/secret-schema.ts'
import { isLocal } from './sources/local-source.ts'
import type { SourceFault } from './sources/source.ts'

const firstWaitMs = 1_000
const longestWaitMs = 60_000

/** The interval of a source that is asked regularly; null for a variable, which cannot change, and a file, which is watched. */
export function refreshMsOf(reference: SecretReference): number | null {
  if (isLocal(reference)) return null
  const [{ refreshMs }] = Object.values(reference) as [{ readonly refreshMs: number }]
  return refreshMs
}

/**
 * Milliseconds until the next reading; Infinity for none. `failures`: failed readings in a row, `fault` the latest. Without a reference the value
 * is given by the sandbox. Instances that began together ask at different times.
 */
export function nextReadingMs(
  reference: SecretReference | null,
  fault: SourceFault | null,
  failures: number,
  hasValue: boolean,
): number {
  if (reference === null) return Infinity
  const regular = refreshMsOf(reference) ?? Infinity
  const regularly = regular * (0.9 + 0.2 * Math.random())
  // What is refused stays so until somebody acts; what is away may be back in a moment.
  if (fault === null || (hasValue && fault.kind !== 'unavailable')) return regularly
  const growing = Math.min(firstWaitMs * 2 ** Math.min(failures - 1, 16), longestWaitMs) * (0.5 + 0.5 * Math.random())
  return Math.min(growing, regularly)
}
