// The two clocks of the cache. Ages and lifetimes use the monotonic clock. Dates of the upstream are compared with
// the wall clock, and a step of it makes no answer older or longer-lived.

export interface Clocks {
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Monotonic clock, milliseconds. */
  readonly monotonic: () => number
}

/** The wall time by the clock as it is now, and as it was at the start: they differ once it was set. */
export interface WallTime {
  readonly earliestMs: number
  readonly latestMs: number
}

export function createWallTime({ now, monotonic }: Clocks): () => WallTime {
  const startedAtMs = now() - monotonic()
  return () => {
    const [byWall, byStart] = [now(), startedAtMs + monotonic()]
    return { earliestMs: Math.min(byWall, byStart), latestMs: Math.max(byWall, byStart) }
  }
}
