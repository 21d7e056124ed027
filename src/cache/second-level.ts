// Where answers are kept beyond this memory, for other instances too. Types only; shared/sealed-answers.ts is the one that does it.

import type { Entry } from './entry.ts'

/** What an answer is kept under: its key, and the names under which it can be dropped. */
export interface Place {
  readonly key: string
  readonly names: readonly string[]
}

export interface SecondLevel {
  /** What is known at this moment of what was dropped; null when nothing may be kept. To be noted before the upstream is asked. */
  position(): string | null
  /** An answer that was asked for after everything under its names was dropped; null when there is none. Never rejects. */
  find(place: Place): Promise<Entry | null>
  /** Keeps an answer that was asked for at that position. Nobody waits for it. */
  keep(place: Place, entry: Entry, position: string): void
}
