// The status of this instance among the members, and listeners for its changes.

import type { MembershipState, MembershipStatus } from './types.ts'

type Facts = Omit<MembershipState, 'status'> & { readonly isJoined: boolean }

export class StatusTracker {
  #facts: Facts = {
    isJoined: false,
    members: 0,
    missing: 0,
    lapses: 0,
    reason: 'the store has not answered yet',
  }
  readonly #watchers: ((state: MembershipState) => void)[] = []
  readonly #waiting = new Set<() => void>()

  get isJoined(): boolean {
    return this.#facts.isJoined
  }

  get status(): MembershipStatus {
    const { isJoined, missing } = this.#facts
    return isJoined ? (missing > 0 ? 'degraded' : 'joined') : 'isolated'
  }

  get state(): MembershipState {
    const { isJoined: _isJoined, ...facts } = this.#facts
    return { status: this.status, ...facts }
  }

  onChange(watcher: (state: MembershipState) => void): void {
    this.#watchers.push(watcher)
  }

  /** Members and missing members, from the store's answer. A later missing member is announced by a message. */
  count(members: number, missing: number): void {
    const known = this.#facts.isJoined ? Math.min(this.#facts.missing, missing) : missing
    this.#change({ members, missing: known })
  }

  /** So many more went missing. */
  miss(count: number): void {
    this.#change({ missing: this.#facts.missing + count })
  }

  join(): void {
    this.#change({ isJoined: true, reason: null })
    for (const resolve of this.#waiting) resolve()
  }

  leave(reason: string): void {
    this.#change({ isJoined: false, lapses: this.#facts.lapses + 1, reason })
  }

  /** Resolves when this instance has joined; after that time in any case. */
  joined(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(limit)
        this.#waiting.delete(done)
        resolve()
      }
      const limit = setTimeout(done, withinMs)
      this.#waiting.add(done)
      if (this.#facts.isJoined) done()
    })
  }

  #change(news: Partial<Facts>): void {
    const before = this.status
    this.#facts = { ...this.#facts, ...news }
    if (this.status !== before) for (const watcher of this.#watchers) watcher(this.state)
  }
}
