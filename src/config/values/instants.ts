// Instants as people write them, and when something ends. Pure.

const dayMs = 86_400_000
/** An end is worth a warning so long before: two weeks outlast a holiday. */
const warnedMs = 14 * dayMs

/** The instant as people write it: `2026-12-24T18:00:00Z`. */
export function instantText(ms: number): string {
  return new Date(ms).toISOString().replace('.000Z', 'Z')
}

/** When something ends, from the verb on; null for an end that is more than two weeks away. */
export function endingText(endsAtMs: number, nowMs: number): string | null {
  if (nowMs < endsAtMs - warnedMs) return null
  const end = instantText(endsAtMs)
  if (nowMs >= endsAtMs) return `ended at ${end}`
  const days = Math.floor((endsAtMs - nowMs) / dayMs)
  return `ends at ${end}, ${days === 0 ? 'within a day' : days === 1 ? 'in a day' : `in ${days} days`}`
}
