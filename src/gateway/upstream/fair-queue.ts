// A line in which flows (teams) take turns by weight, each serving its own items in the order of arrival. Used by
// gateway/upstream-line.ts. Pure: no clock, no timers.

/** What waits. Items of one flow share its turn; those of a closed lane (a key that has to rest) stand still. */
export interface Waiter {
  readonly flow: string
  /** Share beside other flows, above 0; that of the flow's latest item counts. */
  readonly weight: number
  readonly lane: string
}

export interface FairQueue<T extends Waiter> {
  readonly size: number
  add(item: T): void
  /** Takes an item out, wherever it stands. False when it does not wait. */
  remove(item: T): boolean
  /** Takes out the item whose turn it is among those in open lanes; null when there is none. */
  next(isOpen: (lane: string) => boolean): T | null
  /** The items of a lane, of each flow in the order of arrival. */
  waitingIn(lane: string): T[]
}

interface Flow<T> {
  /** Services so far, each divided by the weight: who has had least is next. */
  turn: number
  weight: number
  size: number
  /** Had nothing to serve when it was last looked at: it gathers no credit meanwhile. */
  idle: boolean
  /** By lane, with the number of the arrival. */
  readonly lanes: Map<string, Map<T, number>>
}

/**
 * Stride scheduling: the flow with the smallest turn is served, and its turn moves on by 1/weight. Of two flows that both
 * have something to serve all the time, neither is ever more than one item ahead of its share; a flow that comes (again)
 * begins where the others are, so that nobody gathers credit by being away.
 */
export function createFairQueue<T extends Waiter>(): FairQueue<T> {
  const flows = new Map<string, Flow<T>>()
  /** Turn of the flow that was served last. */
  let clock = 0
  let arrivals = 0
  let size = 0

  function flowOf({ flow: name, weight }: T): Flow<T> {
    const known = flows.get(name)
    if (known === undefined) {
      const created: Flow<T> = { turn: clock, weight, size: 0, idle: true, lanes: new Map() }
      flows.set(name, created)
      return created
    }
    known.weight = weight
    if (known.size === 0) known.idle = true
    return known
  }

  function take(item: T): boolean {
    const flow = flows.get(item.flow)
    const lane = flow?.lanes.get(item.lane)
    if (flow === undefined || lane?.delete(item) !== true) return false
    if (lane.size === 0) flow.lanes.delete(item.lane)
    flow.size -= 1
    size -= 1
    return true
  }

  return {
    get size() {
      return size
    },
    add(item) {
      const flow = flowOf(item)
      const lane = flow.lanes.get(item.lane)
      arrivals += 1
      if (lane === undefined) flow.lanes.set(item.lane, new Map([[item, arrivals]]))
      else lane.set(item, arrivals)
      flow.size += 1
      size += 1
    },
    remove: take,
    next(isOpen) {
      let best: { flow: Flow<T>; item: T; arrival: number } | null = null
      for (const [name, flow] of flows) {
        const first = firstOf(flow, isOpen)
        if (first === null) {
          flow.idle = true
          // What it was served beyond its share is remembered until the others have caught up.
          if (flow.size === 0 && flow.turn <= clock) flows.delete(name)
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
    waitingIn: (lane) => [...flows.values()].flatMap((flow) => [...(flow.lanes.get(lane)?.keys() ?? [])]),
  }
}

/** The item of a flow that came first, among those in open lanes. */
function firstOf<T>({ lanes }: Flow<T>, isOpen: (lane: string) => boolean): { item: T; arrival: number } | null {
  let first: { item: T; arrival: number } | null = null
  for (const [name, lane] of lanes) {
    if (!isOpen(name)) continue
    const [entry] = lane
    if (entry !== undefined && (first === null || entry[1] < first.arrival))
      first = { item: entry[0], arrival: entry[1] }
  }
  return first
}
