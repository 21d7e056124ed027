// What each team makes the instance do, and whether that is more than its fair share beside the other teams.

/** What a team has under way and has lately begun. */
export interface TeamLoad {
  readonly team: string
  /** Its share beside other teams. */
  weight: number
  inFlight: number
  /** Requests that were begun lately, refused ones too, as counted by `begin`. */
  recent: number
  /** One request less under way; made once for each team, not for each request. */
  readonly leave: () => void
}

/** A team has more than its fair share when it exceeds the mean of the active teams by this factor. */
const tolerance = 1.25
/** And this part of the greatest load: beside one that makes far more load, a team that is busier than most is no cause. */
const nearGreatest = 0.5
/** A load of so few small requests is never too much, whatever others have: their number says little. */
const fewRequests = 8

export class TeamLoads {
  readonly #loads = new Map<string, TeamLoad>()

  /** A request of a team has arrived, and costs as much as so many small ones. */
  begin(team: string, weight: number, cost: number): TeamLoad {
    let load = this.#loads.get(team)
    if (load === undefined) {
      const created: TeamLoad = { team, weight, inFlight: 0, recent: 0, leave: () => void (created.inFlight -= 1) }
      this.#loads.set(team, (load = created))
    }
    load.weight = weight
    load.recent += cost
    return load
  }

  /** Called at regular intervals: half of what was begun before is forgotten. */
  age(): void {
    for (const load of this.#loads.values()) {
      load.recent = load.recent > 1 ? load.recent / 2 : 0
      if (load.recent === 0 && load.inFlight === 0) this.#loads.delete(load.team)
    }
  }

  /** Loads are compared by weight: of two teams, the one with twice the weight may make twice the load. */
  exceedsShare(load: TeamLoad): boolean {
    if (amountOf(load) <= fewRequests) return false
    let [sum, weights, greatest] = [0, 0, 0]
    for (const each of this.#loads.values()) {
      sum += amountOf(each)
      weights += each.weight
      greatest = Math.max(greatest, amountOf(each) / each.weight)
    }
    const own = amountOf(load) / load.weight
    return own > (tolerance * sum) / weights && own > nearGreatest * greatest
  }
}

function amountOf({ inFlight, recent }: TeamLoad): number {
  return inFlight + recent
}
