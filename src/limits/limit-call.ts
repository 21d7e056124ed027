// One call of `decide`: the requests that are judged in it, and what this instance tells and asks with their limits. Each
// limit is in it once, however many requests ask for it. Used by limit-calls.ts.

import type { Argument } from '../store/store.ts'
import { figures, readDecision, readGiven, readTime, type LimitWriter } from './limit-wire.ts'
import type { Allowance, Limit } from './limiter.ts'
import type { Uses } from './local-share.ts'
import type { Given, Outgoing } from './meter-permits.ts'

/** A request to be judged. */
export interface Ask {
  readonly limits: readonly Limit[]
  /** `peek`: it is only told how the limits stand. */
  readonly what: 'take' | 'peek'
  /** What the store has decided; null when it could not be asked. Called once. */
  readonly settle: (allowance: Allowance | null) => void
  /** What the store has decided after all, by its clock at `storeMs`, when `settle` was called with null. */
  readonly late: ((allowance: Allowance, storeMs: number) => void) | null
}

/** What is heard of a call. */
export interface Hearing {
  decided(ask: Ask, allowance: Allowance, storeMs: number): void
  given(limit: Limit, given: Given, storeMs: number): void
}

/** A limit in the call. */
interface Row {
  readonly limit: Limit
  /** Its position among them, from 1. */
  readonly place: number
  readonly words: string
  /** Uses to be counted beside those of requests; below zero, to be given back. */
  uses: number
  /** A request takes of it. */
  isTaken: boolean
  outgoing: Outgoing
}

const nothing: Outgoing = { held: 0, ahead: null, lastingMs: 0 }

export class LimitCall {
  readonly #write: LimitWriter
  readonly #nowMs: number
  /** By meter, in their order. */
  readonly #rows = new Map<string, Row>()
  readonly #backs: string[] = []
  readonly #asks: { readonly ask: Ask; readonly places: readonly number[] }[] = []
  readonly #aheads: Row[] = []

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

  has({ meter }: Limit): boolean {
    return this.#rows.has(meter)
  }

  /** Has this request judged; false when it has to wait for another call: new policies say something else of a limit in it. */
  add(ask: Ask): boolean {
    const rows = ask.limits.map((limit) => this.#rowOf(limit))
    const isFirst = this.#asks.length === 0
    if (!isFirst && !rows.every((row, index) => this.#agrees(row, ask.limits[index]))) return false
    this.#asks.push({ ask, places: rows.map(({ place }) => place) })
    if (ask.what === 'take') for (const row of rows) row.isTaken = true
    return true
  }

  /** Has so many uses counted, beside those of requests. For concurrency: what is held is told with every call. */
  tell(limit: Limit, count: number): void {
    this.#rowOf(limit).uses += count
  }

  /** Asks, once all limits are in the call, what is to be told with each; `isTaken`: a request takes of it. */
  prepare(outgoingOf: (limit: Limit, isTaken: boolean) => Outgoing): void {
    for (const row of this.#rows.values()) {
      row.outgoing = outgoingOf(row.limit, row.isTaken)
      if (row.outgoing.ahead !== null) this.#aheads.push(row)
    }
  }

  /** So many uses that were counted in this entry of the store's window have not been. */
  giveBack(limit: Limit, entryMs: number, count: number): void {
    this.#backs.push(`back ${this.#rowOf(limit).place} ${entryMs} ${count}`)
  }

  /** The arguments of the script. */
  values(instance: string, leaseMs: number): Argument[] {
    const values: Argument[] = [instance, leaseMs]
    const rows = [...this.#rows.values()]
    for (const { limit, words, outgoing } of rows)
      values.push(limit.quota === null ? `${words} ${outgoing.held}` : words)
    values.push(...this.#backs)
    for (const { place, uses } of rows) if (uses !== 0) values.push(`uses ${place} ${uses}`)
    for (const { ask, places } of this.#asks) values.push(`${ask.what} ${places.join(' ')}`)
    for (const { place, outgoing } of this.#aheads)
      values.push(`ahead ${place} ${outgoing.ahead} ${outgoing.lastingMs}`)
    return values
  }

  /** Tells what the script has answered: decisions, then permits. Throws when it is no such answer. */
  read(answer: unknown, { decided, given }: Hearing): void {
    let at: number = figures.time
    const size = this.#asks.reduce((sum, { ask }) => sum + figures.request(ask.limits), at)
    if (!Array.isArray(answer) || answer.length !== size + figures.ahead * this.#aheads.length)
      throw new TypeError('not an answer of limits.decide')
    const storeMs = readTime(answer)
    for (const { ask, places } of this.#asks) {
      decided(ask, readDecision(ask.limits, places, answer, at), storeMs)
      at += figures.request(ask.limits)
    }
    for (const { limit } of this.#aheads) {
      given(limit, readGiven(answer, at), storeMs)
      at += figures.ahead
    }
  }

  /** The store may have done it or not: nobody knows. */
  fail(): void {
    for (const { ask } of this.#asks) ask.settle(null)
  }

  /** Uses that were to be counted beside those of requests; not those that were given back. */
  get untold(): readonly Uses[] {
    return [...this.#rows.values()].filter(({ uses }) => uses > 0).map(({ limit, uses }) => ({ limit, count: uses }))
  }

  #rowOf(limit: Limit): Row {
    const known = this.#rows.get(limit.meter)
    if (known !== undefined) return known
    const words = this.#write(limit, this.#nowMs)
    const row = { limit, place: this.#rows.size + 1, words, uses: 0, isTaken: false, outgoing: nothing }
    this.#rows.set(limit.meter, row)
    return row
  }

  #agrees(row: Row, limit: Limit | undefined): boolean {
    return row.limit === limit || (limit !== undefined && row.words === this.#write(limit, this.#nowMs))
  }
}
