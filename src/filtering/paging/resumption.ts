// Finds where a caller continues in an upstream's page: after the item named in its cursor, wherever that is now.

import type { PagePosition } from './cursor.ts'

/** An item that may have to be given, and the place before it. */
export interface Candidate {
  readonly selected: Buffer
  readonly here: PagePosition
}

/** Skips the items of a page that the caller already has. */
export class Resumption {
  readonly #skip: number
  readonly #last: string | null
  #isOpen: boolean
  /** What was read since the place where the item should have been. */
  #unsure: Candidate[] = []

  constructor({ skip, last }: Pick<PagePosition, 'skip' | 'last'>) {
    this.#skip = skip
    this.#last = last
    this.#isOpen = skip > 0
  }

  /** Whether the place has not been found yet. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Takes the next item of the page while the place has not been found; `selected` is null for one that does not pass. */
  pass(here: PagePosition, id: string | null, selected: Buffer | null): void {
    const index = here.skip
    if (this.#last === null) this.#isOpen = index + 1 < this.#skip
    else if (id === this.#last) {
      this.#isOpen = false
      this.#unsure = []
    } else if (index >= this.#skip - 1 && selected !== null) this.#unsure.push({ selected, here })
  }

  /** The page is read: where the item to go on from is gone, what stood behind it. */
  rest(): readonly Candidate[] {
    const rest = this.#unsure
    this.#unsure = []
    return rest
  }
}
