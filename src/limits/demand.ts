// How much a limit was used lately at this instance: what permits are taken ahead by. Used by rate-permits.ts and
// slot-permits.ts.

/** Uses of one limit in this period and in the one before. */
interface Uses {
  count: number
  /** The most requests at once. */
  peak: number
}

/** Fewer in a period, and each may as well ask. */
const busyFrom = 4

export class Demand {
  readonly #periodMs: number
  #endsMs = -Infinity
  #now: Uses = { count: 0, peak: 0 }
  #before: Uses = { count: 0, peak: 0 }

  constructor(periodMs: number) {
    this.#periodMs = periodMs
  }

  /** A request was let through; so many are under way with it. */
  note(running: number, nowMs: number): void {
    this.#turn(nowMs)
    this.#now.count += 1
    this.#now.peak = Math.max(this.#now.peak, running)
  }

  /** What came in the last whole period; null when that was little. */
  lately(nowMs: number): Readonly<Uses> | null {
    this.#turn(nowMs)
    return this.#before.count < busyFrom ? null : this.#before
  }

  /** Nothing came in this period and the one before. */
  isOver(nowMs: number): boolean {
    this.#turn(nowMs)
    return this.#now.count + this.#before.count === 0
  }

  #turn(nowMs: number): void {
    if (nowMs < this.#endsMs) return
    const isNext = nowMs < this.#endsMs + this.#periodMs
    this.#before = isNext ? this.#now : { count: 0, peak: 0 }
    this.#now = { count: 0, peak: 0 }
    this.#endsMs = isNext ? this.#endsMs + this.#periodMs : nowMs + this.#periodMs
  }
}
