// Long answers share the event loop: in one turn only so much of them is read or written, and what is beyond it waits for later
// turns, team after team. Between turns there is time for everything else. Short answers take no part.

/** Answers up to this size take no turns: handling many of them at once costs each of them less. */
export const shortBytes = 64 * 1024
/** How much of long answers passes in one turn before the next one has to wait. */
const turnBytes = 128 * 1024
/** Between turns while other requests come: turns without a pause would take all the time that there is, and garbage collections too. */
const pauseMs = 2
/** Requests come while the last one began so recently. Nobody waits otherwise, and long answers get all the time. */
const recentMs = 25
/** How many answers go on in one turn, because what comes of each is known only when it is there. */
const turnStreams = 16
/** An answer goes on without a turn until it has read this much: events, and the ends of answers. */
const freeBytes = 4 * 1024

/** One answer that comes in pieces. */
export class StreamTurn {
  readonly team: string
  readonly #turns: StreamTurns
  readonly #goOn: () => void
  #totalBytes = 0
  /** Read since it was last let on. */
  #readBytes = 0
  #isWaiting = false
  #isHeld = false

  constructor(turns: StreamTurns, team: string, goOn: () => void) {
    this.#turns = turns
    this.team = team
    this.#goOn = goOn
  }

  /** A long answer begins that is there already. False: it has to wait until `goOn` is called. */
  enter(): boolean {
    this.#totalBytes = shortBytes
    this.#readBytes = freeBytes + 1
    return this.#mayGoOn()
  }

  /** Whoever takes the answer has no room, until `release`. */
  hold(): void {
    this.#isHeld = true
  }

  /** There is room again: it goes on now, or when its turn has come. */
  release(): void {
    this.#isHeld = false
    if (this.#mayGoOn()) this.#goOn()
  }

  /** So much was read or written. False: it has to pause until `goOn` is called. */
  read(bytes: number): boolean {
    this.#totalBytes += bytes
    if (this.#totalBytes > shortBytes) {
      this.#readBytes += bytes
      this.#turns.count(bytes)
    }
    return !this.#isHeld && this.#mayGoOn()
  }

  /** Its turn has come. */
  begin(): void {
    this.#isWaiting = false
    this.#readBytes = 0
    if (!this.#isHeld) this.#goOn()
  }

  #mayGoOn(): boolean {
    if (this.#isWaiting) return false
    if (this.#readBytes <= freeBytes) return true
    if (this.#turns.hasRoom) {
      this.#readBytes = 0
      return true
    }
    this.#isWaiting = true
    this.#turns.wait(this)
    return false
  }
}

export class StreamTurns {
  readonly #later: (work: () => void) => void
  /** Answers that wait, by team; the first team is next. */
  readonly #waiting = new Map<string, StreamTurn[]>()
  #readBytes = 0
  #isScheduled = false

  /** `later` runs its argument when the next turn begins. */
  constructor(later: (work: () => void) => void) {
    this.#later = later
  }

  /** More may be read in this turn, and nobody waits. */
  get hasRoom(): boolean {
    return this.#waiting.size === 0 && this.#readBytes < turnBytes
  }

  count(bytes: number): void {
    this.#readBytes += bytes
    this.#schedule()
  }

  wait(stream: StreamTurn): void {
    const line = this.#waiting.get(stream.team)
    if (line === undefined) this.#waiting.set(stream.team, [stream])
    else line.push(stream)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#later(() => this.#begin())
  }

  /** Begins a turn with those that wait. */
  #begin(): void {
    this.#isScheduled = false
    this.#readBytes = 0
    for (let count = 0; count < turnStreams && this.#readBytes < turnBytes; count += 1) {
      const [next] = this.#waiting
      if (next === undefined) return
      const [team, line] = next
      const first = line.shift()
      // The team goes behind the others.
      this.#waiting.delete(team)
      if (line.length > 0) this.#waiting.set(team, line)
      first?.begin()
    }
    if (this.#waiting.size > 0) this.#schedule()
  }
}

/** Runs the work in the next turn of the event loop, or after a pause while requests come: `requests` is how many have come. */
export function betweenTurns(requests: () => number, monotonic: () => number): (work: () => void) => void {
  let known = 0
  let lastMs = Number.NEGATIVE_INFINITY
  return (work) => {
    const count = requests()
    const nowMs = monotonic()
    if (count !== known) lastMs = nowMs
    known = count
    if (nowMs - lastMs < recentMs) setTimeout(work, pauseMs)
    else setImmediate(work)
  }
}
