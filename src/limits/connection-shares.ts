// How much of a scarce resource one team may hold, by what is left of it. Pure.

import { Counts } from '../counts.ts'

export type ConnectionShares = ReturnType<typeof createConnectionShares>

/** A team may hold so many times what is left, for each unit of weight; beyond the highest, weight only orders. */
const timesOfWeight = 4
const mostTimes = 16
/** This part of all is for teams that hold nothing. */
const sparedPart = 1 / 8

/** How many one team holds at the most while no other holds any. */
export function mostForOneTeam(capacity: number, weight: number): number {
  const shares = createConnectionShares(capacity)
  while (shares.allows('', weight)) shares.take('')
  return shares.taken
}

/**
 * Dynamic thresholds (Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998): a team may take one more
 * while what it holds is below a multiple of what is free. Alone it gets most of it, and less beside others, without
 * knowing about them; whatever teams hold, some is left for who comes next. With one or two in all there is nothing
 * to leave. What is shared are connections to the upstream, and places in the queue before them.
 */
export function createConnectionShares(capacity: number) {
  const held = new Counts()
  const spared = capacity > 2 ? Math.max(1, Math.floor(capacity * sparedPart)) : 0
  let taken = 0

  return {
    /** Taken by all. */
    get taken(): number {
      return taken
    },
    takenBy: (team: string): number => held.of(team),
    /** True when the team may take one more. */
    allows(team: string, weight: number): boolean {
      const free = capacity - taken
      const own = held.of(team)
      if (free <= 0) return false
      return own === 0 || own < Math.min(timesOfWeight * weight, mostTimes) * (free - spared)
    },
    take(team: string): void {
      taken += 1
      held.add(team)
    },
    giveBack(team: string): void {
      if (held.of(team) === 0) return
      taken -= 1
      held.subtract(team)
    },
  }
}
