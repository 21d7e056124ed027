// How many bytes of bodies may be held in memory at the same time, counted as they arrive. A team may hold as much as
// is free, so one team alone never gets more than half and there is always room for others (dynamic thresholds,
// Choudhury and Hahne 1998).

export function createBodyMemory(mostBytes: number) {
  const held = new Map<string, number>()
  let heldBytes = 0
  return {
    get heldBytes(): number {
      return heldBytes
    },
    /** False when there is no room; then nothing is taken. */
    take(team: string, bytes: number): boolean {
      const ofTeam = (held.get(team) ?? 0) + bytes
      if (ofTeam > mostBytes - heldBytes - bytes) return false
      held.set(team, ofTeam)
      heldBytes += bytes
      return true
    },
    giveBack(team: string, bytes: number): void {
      const left = (held.get(team) ?? 0) - bytes
      if (left > 0) held.set(team, left)
      else held.delete(team)
      heldBytes -= bytes
    },
  }
}

export type BodyMemory = ReturnType<typeof createBodyMemory>
