// How much each team keeps under idempotency keys. A team may keep as much as is still free: alone it gets half, and
// each later team half of the rest, so there is always room for another one. As keys expire the shares become equal.

export interface TeamSharesOptions {
  /** Monotonic clock, milliseconds. */
  readonly monotonic: () => number
  /** What this instance keeps, or may give the store, for all teams together. */
  readonly maxBytes: number
  /** An entry's time is over. */
  readonly onExpire?: (name: string) => void
}

interface Kept {
  readonly team: string
  bytes: number
  readonly expiresAtMs: number
}

/** What an entry takes besides its value: its name, the objects, its place in the maps. */
const overheadBytes = 400

export class TeamShares {
  readonly #options: TeamSharesOptions
  /** In the order of their claims; with one lifetime for all, the first to expire come first. */
  readonly #kept = new Map<string, Kept>()
  readonly #byTeam = new Map<string, number>()
  /** Teams that were refused; whether they still would be is checked on demand. */
  readonly #refused = new Set<string>()
  #bytes = 0

  constructor(options: TeamSharesOptions) {
    this.#options = options
  }

  /** What all entries take. */
  get bytes(): number {
    this.#expire()
    return this.#bytes
  }

  /** Teams that have no room for another entry, in the order in which they were refused. */
  get full(): string[] {
    this.#expire()
    for (const team of this.#refused) if (this.#hasRoom(team, overheadBytes)) this.#refused.delete(team)
    return [...this.#refused]
  }

  /** Makes room for an entry of so many bytes. `known`: there is an entry of this name already. */
  take(name: string, team: string, bytes: number, ttlMs: number): 'taken' | 'known' | 'full' {
    this.#expire()
    if (this.#kept.has(name)) return 'known'
    if (!this.#hasRoom(team, bytes + overheadBytes)) {
      this.#refused.add(team)
      return 'full'
    }
    this.#kept.set(name, { team, bytes: 0, expiresAtMs: this.#options.monotonic() + ttlMs })
    this.#count(team, overheadBytes)
    return this.resize(name, bytes) ? 'taken' : 'full'
  }

  /** False when the entry may not become so large. One that is not known here takes no room. */
  resize(name: string, bytes: number): boolean {
    const kept = this.#kept.get(name)
    if (kept === undefined) return true
    const growth = bytes - kept.bytes
    if (growth > 0 && !this.#hasRoom(kept.team, growth)) return false
    kept.bytes = bytes
    this.#count(kept.team, growth)
    return true
  }

  give(name: string): void {
    const kept = this.#kept.get(name)
    if (kept === undefined) return
    this.#kept.delete(name)
    this.#count(kept.team, -kept.bytes - overheadBytes)
  }

  #hasRoom(team: string, bytes: number): boolean {
    return (this.#byTeam.get(team) ?? 0) + bytes <= this.#options.maxBytes - this.#bytes - bytes
  }

  #count(team: string, bytes: number): void {
    this.#bytes += bytes
    const all = (this.#byTeam.get(team) ?? 0) + bytes
    if (all === 0) this.#byTeam.delete(team)
    else this.#byTeam.set(team, all)
  }

  #expire(): void {
    const nowMs = this.#options.monotonic()
    for (const [name, { expiresAtMs }] of this.#kept) {
      if (expiresAtMs > nowMs) return
      this.give(name)
      this.#options.onExpire?.(name)
    }
  }
}
