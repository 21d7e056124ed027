// When a right ends, and why it has an end: for grants, member entries and exceptions of guardrails.

export interface RightEnding {
  /** Milliseconds since the epoch; null: it does not end. */
  readonly endsAtMs: number | null
  readonly reason: string | null
}

/** From its end on. */
export function hasEnded({ endsAtMs }: RightEnding, nowMs: number): boolean {
  return endsAtMs !== null && nowMs >= endsAtMs
}
