// One call of `decide`: the requests that are judged in it, and what this instance tells with their limits. Each limit is in
// it once, however many requests ask for it. Used by limit-calls.ts.

import type { Argument } from '../store/store.ts'
import { figuresOf, readDecision, type LimitWriter } from './limit-wire.ts'
import type { Allowance, Limit } from './limiter.ts'
import type { Uses } from './local-share.ts'

/** A request to be judged. */
export interface Ask {
  readonly limits: readonly Limit[]
  /** `peek`: it is only told how the limits stand. */
  readonly what: 'take' | 'peek'
  /** What the store has decided; null when it could not be asked. Called once. */
  readonly settle: (allowance: Allowance | null) => void
  /** What the store has decided after all, when `settle` was called with null. */
  readonly late: ((allowance: Allowance) => void) | null
}

export class LimitCall {
  readonly #write: LimitWriter
  readonly #nowMs: number
  readonly #limits: Limit[] = []
  readonly #words: string[] = []
  readonly #uses: number[] = []
  /** Where a meter is in the lists above. */
  readonly #places = new Map<string, number>()
  readonly #asks: { readonly ask: Ask; readonly places: readonly number[] }[] = []
  #figures = 0

  constructor(write: LimitWriter, nowMs: number) {
    this.#write = write
    this.#nowMs = nowMs
  }

  get limits(): readonly Limit[] {
    return this.#limits
  }

  /** Has this request judged; false when it has to wait for another call: new policies say something else of a limit in it. */
  add(ask: Ask): boolean {
    const places = ask.limits.map((limit) => this.#placeOf(limit))
    const isFirst = this.#asks.length === 0
    if (!isFirst && ask.limits.some((limit, index) => !this.#agrees(limit, places[index] ?? 0))) return false
    this.#asks.push({ ask, places })
    this.#figures += figuresOf(ask.limits)
    return true
  }

  /** Has so many uses counted, beside those of requests. For concurrency: what is held is told with every call. */
  tell(limit: Limit, count: number): void {
    const place = this.#placeOf(limit)
    this.#uses[place] = (this.#uses[place] ?? 0) + count
  }

  /** The arguments of the script. */
  values(instance: string, leaseMs: number, running: (limit: Limit) => number): Argument[] {
    const values: Argument[] = [instance, leaseMs]
    for (const [place, limit] of this.#limits.entries())
      values.push(`${limit.quota === null ? running(limit) : this.#uses[place]} ${this.#words[place]}`)
    for (const { ask, places } of this.#asks) values.push(`${ask.what} ${places.map((place) => place + 1).join(' ')}`)
    return values
  }

  /** Hands each request what the script has answered for it. Throws when it is no such answer. */
  read(answer: unknown, hear: (ask: Ask, allowance: Allowance) => void): void {
    if (!Array.isArray(answer) || answer.length !== this.#figures) throw new TypeError('not an answer of limits.decide')
    let at = 0
    for (const { ask, places } of this.#asks) {
      hear(ask, readDecision(ask.limits, places, answer, at))
      at += figuresOf(ask.limits)
    }
  }

  /** The store may have done it or not: nobody knows. */
  fail(): void {
    for (const { ask } of this.#asks) ask.settle(null)
  }

  /** Uses that were to be counted beside those of requests; not those that were given back. */
  get untold(): readonly Uses[] {
    return this.#limits
      .map((limit, place) => ({ limit, count: this.#uses[place] ?? 0 }))
      .filter(({ count }) => count > 0)
  }

  #placeOf(limit: Limit): number {
    const known = this.#places.get(limit.meter)
    if (known !== undefined) return known
    const place = this.#limits.length
    this.#places.set(limit.meter, place)
    this.#limits.push(limit)
    this.#words.push(this.#write(limit, this.#nowMs))
    this.#uses.push(0)
    return place
  }

  #agrees(limit: Limit, place: number): boolean {
    return this.#limits[place] === limit || this.#words[place] === this.#write(limit, this.#nowMs)
  }
}
