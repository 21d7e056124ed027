// One call of `decide`: the requests to be decided, and the uses this instance reports. Each limit is in it once,
// however many requests need it.

import type { Argument } from '../../store/store.ts'
import type { LimitDecision, Limit } from '../limiter.ts'
import { figures, readDecision, readTime, type LimitWriter } from './limit-wire.ts'
import type { Uses } from './local-share.ts'

/** A request to be judged. */
export interface Ask {
  readonly limits: readonly Limit[]
  /** What it counts in each of them. */
  readonly cost: number
  /** `peek`: only reads the state of the limits. */
  readonly what: 'take' | 'peek'
  /** What the store has decided; null when it could not be asked, or has lost what it held. Called once. */
  readonly settle: (decision: LimitDecision | null, hasLost: boolean) => void
  /** What the store has decided after all, by its clock at `storeMs`, when `settle` was called with null. */
  readonly late: ((decision: LimitDecision, storeMs: number) => void) | null
}

/** A limit in the call. */
interface Row {
  readonly limit: Limit
  /** Its position among them, from 1. */
  readonly place: number
  readonly words: string
  /** Uses to be counted beside those of requests; below zero, to be given back. */
  uses: number
}

export class LimitCall {
  readonly #write: LimitWriter
  readonly #nowMs: number
  /** By meter, in their order. */
  readonly #rows = new Map<string, Row>()
  readonly #backs: string[] = []
  readonly #asks: { readonly ask: Ask; readonly places: readonly number[] }[] = []

  constructor(write: LimitWriter, nowMs: number) {
    this.#write = write
    this.#nowMs = nowMs
  }

  get limits(): readonly Limit[] {
    return [...this.#rows.values()].map(({ limit }) => limit)
  }

  get size(): number {
    return this.#rows.size
  }

  /**
   * Adds a request; false when it has to wait for another call, because new policies have changed a limit in this
   * one.
   */
  add(ask: Ask): boolean {
    const rows = ask.limits.map((limit) => this.#rowOf(limit))
    const isFirst = this.#asks.length === 0
    if (!isFirst && !rows.every((row, index) => this.#agrees(row, ask.limits[index]))) return false
    this.#asks.push({ ask, places: rows.map(({ place }) => place) })
    return true
  }

  /**
   * Has so many uses counted, beside those of requests. For concurrency the held slots are reported with every call.
   */
  report(limit: Limit, count: number): void {
    this.#rowOf(limit).uses += count
  }

  /** Uses that were counted when the store's clock showed this time have not been any. */
  giveBack(limit: Limit, storeMs: number, count: number): void {
    this.#backs.push(`back ${this.#rowOf(limit).place} ${storeMs} ${count}`)
  }

  /** The arguments of the script; `heldOf` says how many slots of a concurrency limit this instance holds. */
  values(instance: string, epoch: string, heldOf: (limit: Limit) => number): Argument[] {
    const values: Argument[] = [instance, epoch]
    const rows = [...this.#rows.values()]
    for (const { limit, words } of rows) values.push(limit.quota === null ? `${words} ${heldOf(limit)}` : words)
    values.push(...this.#backs)
    for (const { place, uses } of rows) if (uses !== 0) values.push(`uses ${place} ${uses}`)
    for (const { ask, places } of this.#asks) values.push(`${ask.what} ${ask.cost} ${places.join(' ')}`)
    return values
  }

  /**
   * Tells each request what the script has decided. False when the store has lost what it held, and decided nothing. Throws
   * when it is no answer of the script.
   */
  read(answer: unknown, decided: (ask: Ask, decision: LimitDecision, storeMs: number) => void): boolean {
    if (Array.isArray(answer) && answer.length === 0) return false
    let at: number = figures.time
    const size = this.#asks.reduce((sum, { ask }) => sum + figures.request(ask.limits), at)
    if (!Array.isArray(answer) || answer.length !== size || !answer.every(isFigure))
      throw new TypeError('not an answer of limits.decide')
    const storeMs = readTime(answer)
    for (const { ask, places } of this.#asks) {
      decided(ask, readDecision(ask.limits, places, answer, at), storeMs)
      at += figures.request(ask.limits)
    }
    return true
  }

  /** The call failed: whether the store has done it is unknown; or it has lost what it held, and has done nothing. */
  fail(hasLost: boolean): void {
    for (const { ask } of this.#asks) ask.settle(null, hasLost)
  }

  /** Uses that were to be counted beside those of requests; not those that were given back. */
  get unreported(): readonly Uses[] {
    return [...this.#rows.values()].filter(({ uses }) => uses > 0).map(({ limit, uses }) => ({ limit, count: uses }))
  }

  #rowOf(limit: Limit): Row {
    const known = this.#rows.get(limit.meter)
    if (known !== undefined) return known
    const row = { limit, place: this.#rows.size + 1, words: this.#write(limit, this.#nowMs), uses: 0 }
    this.#rows.set(limit.meter, row)
    return row
  }

  #agrees(row: Row, limit: Limit | undefined): boolean {
    return row.limit === limit || (limit !== undefined && row.words === this.#write(limit, this.#nowMs))
  }
}

/** Other values would get into the fields of answers. */
function isFigure(value: unknown): value is number {
  return Number.isSafeInteger(value)
}
