// Checkpoints on their way to one place: in order, one at a time; while the place is away they wait, a bounded number of them.

import type { CheckpointPlace } from './place.ts'

export interface PlaceStatus {
  readonly place: string
  readonly waiting: number
  readonly delivered: number
  /** Given up because too many waited, the oldest first: a later one says more. */
  readonly dropped: number
  /** Why the place does not take them now; null while it does. */
  readonly error: string | null
  /** Of the last one that it has: its number in the chain, and when. */
  readonly lastSequence: number
  readonly lastAtMs: number | null
}

interface WaitingLine {
  readonly line: string
  readonly sequence: number
  readonly tried: (isDelivered: boolean) => void
}

export interface OutboxOptions {
  readonly place: CheckpointPlace
  readonly nowMs: () => number
  /** Called with a sentence when the place begins to fail, and when it works again. */
  readonly onTrouble: (text: string) => void
  readonly maxWaiting?: number
  readonly retryMs?: { readonly first: number; readonly most: number }
  readonly sendMs?: number
}

/** A day of one a minute. */
const usualWaiting = 1440

export class Outbox {
  readonly #options: Required<OutboxOptions>
  readonly #waiting: WaitingLine[] = []
  #sending: WaitingLine | null = null
  #timer: NodeJS.Timeout | null = null
  #pauseMs = 0
  #delivered = 0
  #dropped = 0
  #error: string | null = null
  #lastSequence = 0
  #lastAtMs: number | null = null

  constructor(options: OutboxOptions) {
    this.#options = { maxWaiting: usualWaiting, retryMs: { first: 1_000, most: 60_000 }, sendMs: 10_000, ...options }
  }

  /** Resolves with whether the first attempt has delivered it; one that has not is tried again. Never rejects. */
  add(line: string, sequence: number): Promise<boolean> {
    return new Promise((tried) => {
      this.#waiting.push({ line, sequence, tried })
      this.#trim()
      // While the place is away nobody waits for it, and a new one is a reason to look again.
      if (this.#error !== null) tried(false)
      void this.#send()
    })
  }

  status(): PlaceStatus {
    return {
      place: this.#options.place.name,
      waiting: this.#waiting.length + (this.#sending === null ? 0 : 1),
      delivered: this.#delivered,
      dropped: this.#dropped,
      error: this.#error,
      lastSequence: this.#lastSequence,
      lastAtMs: this.#lastAtMs,
    }
  }

  /** Tries no more. */
  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    for (const { tried } of this.#waiting) tried(false)
  }

  async #send(): Promise<void> {
    if (this.#sending !== null) return
    const { place, nowMs, sendMs } = this.#options
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      this.#sending = next
      const error = await place.send(next.line, AbortSignal.timeout(sendMs)).then(
        () => null,
        (failure: unknown) => (failure instanceof Error ? failure.message : 'unknown error'),
      )
      this.#sending = null
      if (error !== null) {
        this.#waiting.unshift(next)
        this.#trim()
        this.#failed(error)
        return
      }
      this.#delivered += 1
      this.#lastSequence = next.sequence
      this.#lastAtMs = nowMs()
      this.#recovered()
      next.tried(true)
    }
  }

  #trim(): void {
    while (this.#waiting.length > this.#options.maxWaiting) {
      this.#waiting.shift()?.tried(false)
      this.#dropped += 1
    }
  }

  #failed(error: string): void {
    const { place, onTrouble, retryMs } = this.#options
    for (const { tried } of this.#waiting) tried(false)
    if (this.#error !== error)
      onTrouble(`audit checkpoints do not reach ${place.name} (${error}); they wait and are sent later`)
    this.#error = error
    this.#pauseMs = Math.min(Math.max(this.#pauseMs * 2, retryMs.first), retryMs.most)
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#send(), this.#pauseMs).unref()
  }

  #recovered(): void {
    this.#pauseMs = 0
    if (this.#error === null) return
    this.#error = null
    this.#options.onTrouble(`audit checkpoints reach ${this.#options.place.name} again`)
  }
}
