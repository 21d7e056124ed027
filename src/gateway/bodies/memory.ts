// How many bytes of bodies may be held in memory at the same time, counted as they arrive. A team may hold as much as
// is free, so one team alone never gets more than half and there is always room for others (dynamic thresholds,
// Choudhury and Hahne 1998).

import { Counts } from '../../counts.ts'

export function createBodyMemory(mostBytes: number) {
  const held = new Counts()
  let heldBytes = 0
  return {
    get heldBytes(): number {
      return heldBytes
    },
    /** False when there is no room; then nothing is taken. */
    take(team: string, bytes: number): boolean {
      const ofTeam = held.of(team) + bytes
      if (ofTeam > mostBytes - heldBytes - bytes) return false
      held.add(team, bytes)
      heldBytes += bytes
      return true
    },
    giveBack(team: string, bytes: number): void {
      held.subtract(team, bytes)
      heldBytes -= bytes
    },
  }
}

export type BodyMemory = ReturnType<typeof createBodyMemory>
