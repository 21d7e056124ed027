// The two clocks of the cache. Ages and lifetimes run by one that nobody sets; dates of the upstream are held against the wall
// clock, and a step of that one makes no answer older or longer-lived.

export interface Clocks {
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Milliseconds by a clock that nobody sets. */
  readonly monotonic: () => number
}

/** The wall clock at one moment, if it was right now and if it was right at the start: they differ when it was set since. */
export interface WallTime {
  readonly earliestMs: number
  readonly latestMs: number
}

/** Tells the wall time. */
export function createWallTime({ now, monotonic }: Clocks): () => WallTime {
  const startedAtMs = now() - monotonic()
  return () => {
    const [byWall, byStart] = [now(), startedAtMs + monotonic()]
    return { earliestMs: Math.min(byWall, byStart), latestMs: Math.max(byWall, byStart) }
  }
}
