// A queue in which flows (teams) take turns by weight, each serving its own items in the order of arrival. Pure.

/** A waiting item. Items of one flow share its turn; items of a closed group (a key that has to pause) wait. */
export interface Waiter {
  readonly flow: string
  /** Share beside other flows, above 0; that of the flow's latest item counts. */
  readonly weight: number
  readonly group: string
}

interface Flow<T> {
  /** Services so far, each divided by the weight: who has had least is next. */
  turn: number
  weight: number
  size: number
  /** It had nothing to serve at the last check, so it gathers no credit. */
  idle: boolean
  /** By group, with the number of the arrival. */
  readonly groups: Map<string, Map<T, number>>
}

/**
 * Stride scheduling: the flow with the smallest turn is served, and its turn moves on by 1/weight. Of two flows that both
 * have something to serve all the time, neither is ever more than one item ahead of its share; a flow that comes (again)
 * begins where the others are, so that nobody gathers credit by being away.
 */
export function createFairQueue<T extends Waiter>() {
  const flows = new Map<string, Flow<T>>()
  /** Turn of the flow that was served last. */
  let clock = 0
  let arrivals = 0
  let size = 0

  function flowOf({ flow: name, weight }: T): Flow<T> {
    const known = flows.get(name)
    if (known === undefined) {
      const created: Flow<T> = { turn: clock, weight, size: 0, idle: true, groups: new Map() }
      flows.set(name, created)
      return created
    }
    known.weight = weight
    if (known.size === 0) known.idle = true
    return known
  }

  function take(item: T): boolean {
    const flow = flows.get(item.flow)
    const group = flow?.groups.get(item.group)
    if (flow === undefined || group?.delete(item) !== true) return false
    if (group.size === 0) flow.groups.delete(item.group)
    flow.size -= 1
    size -= 1
    return true
  }

  return {
    get size(): number {
      return size
    },
    add(item: T): void {
      const flow = flowOf(item)
      const group = flow.groups.get(item.group)
      arrivals += 1
      if (group === undefined) flow.groups.set(item.group, new Map([[item, arrivals]]))
      else group.set(item, arrivals)
      flow.size += 1
      size += 1
    },
    /** Removes an item from any position. False when it does not wait. */
    remove: take,
    /**
     * Takes out the item whose turn it is among those in open groups; null when there is none. `maySend` is asked about the
     * first item of each flow: a flow that may not be served now is passed over.
     */
    next(isOpen: (group: string) => boolean, maySend: (item: T) => boolean): T | null {
      let best: { flow: Flow<T>; item: T; arrival: number } | null = null
      for (const [name, flow] of flows) {
        const first = firstOf(flow, isOpen)
        if (first === null) {
          flow.idle = true
          // Service beyond its share is remembered until the others have caught up.
          if (flow.size === 0 && flow.turn <= clock) flows.delete(name)
          continue
        }
        if (!maySend(first.item)) {
          // It holds its share already, and gathers no credit for having to wait.
          flow.idle = true
          continue
        }
        if (flow.idle) {
          flow.idle = false
          flow.turn = Math.max(flow.turn, clock)
        }
        const isSooner =
          best === null || flow.turn < best.flow.turn || (flow.turn === best.flow.turn && first.arrival < best.arrival)
        if (isSooner) best = { flow, ...first }
      }
      if (best === null) return null
      const { flow, item } = best
      clock = flow.turn
      flow.turn += 1 / flow.weight
      take(item)
      return item
    },
    /** The items of a group, of each flow in the order of arrival. */
    waitingIn: (group: string): T[] =>
      [...flows.values()].flatMap((flow) => [...(flow.groups.get(group)?.keys() ?? [])]),
  }
}

/** The item of a flow that came first, among those in open groups. */
function firstOf<T>({ groups }: Flow<T>, isOpen: (group: string) => boolean): { item: T; arrival: number } | null {
  let first: { item: T; arrival: number } | null = null
  for (const [name, group] of groups) {
    if (!isOpen(name)) continue
    const [entry] = group
    if (entry !== undefined && (first === null || entry[1] < first.arrival))
      first = { item: entry[0], arrival: entry[1] }
  }
  return first
}
