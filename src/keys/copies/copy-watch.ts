// Watches for copies of keys: remembers own writes and lines of the audit log for a day, and tells each foreign use once. Knows no
// clock and no store.

import { foreignLines, skewMs, type AuditLine, type OwnUse } from './foreign-uses.ts'

/** So long after it a line is judged at the earliest: until then a write of ours may still be under way, or not told to others. */
export const graceMs = 15 * 60_000
/** Lines that come later than this are not judged. */
export const keptMs = 24 * 3_600_000
/** More writes, or lines, in a day are not held; then the time before the oldest that is held is not judged. */
const mostHeld = 200_000

export interface JudgedKey {
  readonly id: string
  readonly serviceUser: string
}

export class CopyWatch {
  readonly #operationsOf: ReadonlyMap<string, ReadonlySet<string>>
  /** By id, in the order in which they were heard of. */
  readonly #uses = new Map<string, OwnUse>()
  readonly #lines = new Map<string, AuditLine>()
  readonly #told = new Set<string>()
  /** Nothing before it is judged: own writes before it are not known. */
  #sinceMs: number

  constructor(operationsOf: ReadonlyMap<string, ReadonlySet<string>>, startedAtMs: number) {
    this.#operationsOf = operationsOf
    this.#sinceMs = startedAtMs
  }

  /** From when on lines are judged. */
  get sinceMs(): number {
    return this.#sinceMs
  }

  /** Own writes are not known before this time. */
  blindUntil(timeMs: number): void {
    this.#sinceMs = Math.max(this.#sinceMs, timeMs)
  }

  addUse(use: OwnUse): void {
    this.#uses.set(use.id, use)
    this.#shrink(this.#uses, (each) => each.toMs)
  }

  addLine(line: AuditLine): void {
    this.#lines.set(line.id, line)
    this.#shrink(this.#lines, (each) => each.atMs)
  }

  #shrink<T>(held: Map<string, T>, timeOf: (each: T) => number): void {
    if (held.size <= mostHeld) return
    for (const [id, each] of held) {
      held.delete(id)
      this.blindUntil(timeOf(each) + skewMs)
      return
    }
  }

  /** Foreign uses that were not told yet. `keys`: all keys of the inventory whose service user is known. */
  judge(keys: readonly JudgedKey[], watched: ReadonlySet<string>, nowMs: number): readonly [key: string, AuditLine][] {
    for (const [id, { toMs }] of this.#uses) if (toMs < nowMs - keptMs - skewMs) this.#uses.delete(id)
    for (const [id, { atMs }] of this.#lines)
      if (atMs < nowMs - keptMs) {
        this.#lines.delete(id)
        this.#told.delete(id)
      }
    const fromMs = Math.max(this.#sinceMs + skewMs, nowMs - keptMs)
    const found: [string, AuditLine][] = []
    for (const [serviceUser, ofUser] of Map.groupBy(keys, (key) => key.serviceUser)) {
      const named = ofUser.find(({ id }) => watched.has(id))
      if (named === undefined) continue
      const ids = new Set(ofUser.map(({ id }) => id))
      const lines = [...this.#lines.values()].filter(
        (line) => line.serviceUser === serviceUser && line.atMs >= fromMs && line.atMs <= nowMs - graceMs,
      )
      const uses = [...this.#uses.values()].filter(({ key }) => ids.has(key))
      for (const line of foreignLines(lines, uses, this.#operationsOf)) {
        if (this.#told.has(line.id)) continue
        this.#told.add(line.id)
        found.push([named.id, line])
      }
    }
    return found
  }
}
