// BrowserSessions of signed-in browsers, in the memory of this process: ids are opaque, ends are exact, and signing out ends one for good.

import { randomBytes } from 'node:crypto'
import type { Operator } from './operator.ts'

/** Ends of a session, in milliseconds since the epoch. */
export interface SessionTimes {
  readonly sinceMs: number
  readonly idleUntilMs: number
  readonly untilMs: number
}

export interface Session {
  operator: Operator
  /** For later checks at the issuer; null where it gave none. */
  refreshToken: string | null
  checkedAtMs: number
  /** A check that is under way. */
  checking: Promise<void> | null
  readonly sinceMs: number
  usedAtMs: number
}

export interface SessionLimits {
  readonly idleMs: number
  readonly longestMs: number
}

const mostSessions = 1_000

export class BrowserSessions {
  readonly #limits: SessionLimits
  readonly #now: () => number
  readonly #byId = new Map<string, Session>()

  constructor(limits: SessionLimits, now: () => number) {
    this.#limits = limits
    this.#now = now
  }

  /** Returns the id of the new session; the oldest one ends where there are too many. */
  add(operator: Operator, refreshToken: string | null): string {
    const nowMs = this.#now()
    const id = randomBytes(32).toString('base64url')
    this.#byId.set(id, {
      operator,
      refreshToken,
      checkedAtMs: nowMs,
      checking: null,
      sinceMs: nowMs,
      usedAtMs: nowMs,
    })
    for (const oldest of this.#byId.keys()) {
      if (this.#byId.size <= mostSessions) break
      this.#byId.delete(oldest)
    }
    return id
  }

  /** The session that still lasts. `isUse`: the idle time begins anew. */
  get(id: string, isUse: boolean): Session | null {
    const session = this.#byId.get(id)
    if (session === undefined) return null
    const { idleUntilMs, untilMs } = this.timesOf(session)
    const nowMs = this.#now()
    if (nowMs >= Math.min(idleUntilMs, untilMs)) {
      this.#byId.delete(id)
      return null
    }
    if (isUse) session.usedAtMs = nowMs
    return session
  }

  remove(id: string): Session | null {
    const session = this.#byId.get(id) ?? null
    this.#byId.delete(id)
    return session
  }

  timesOf({ sinceMs, usedAtMs }: Session): SessionTimes {
    const { idleMs, longestMs } = this.#limits
    return { sinceMs, untilMs: sinceMs + longestMs, idleUntilMs: Math.min(usedAtMs + idleMs, sinceMs + longestMs) }
  }
}

const mostStarted = 1_000

/** Sign-ins whose browser is at the issuer: each is taken once, within its time. */
export class StartedSignIns<T> {
  readonly #now: () => number
  readonly #byId = new Map<string, { readonly value: T; readonly endsAtMs: number }>()
  readonly #lastsMs: number

  constructor(lastsMs: number, now: () => number) {
    this.#lastsMs = lastsMs
    this.#now = now
  }

  add(value: T): string {
    const id = randomBytes(32).toString('base64url')
    this.#byId.set(id, { value, endsAtMs: this.#now() + this.#lastsMs })
    for (const [oldest, { endsAtMs }] of this.#byId) {
      if (this.#byId.size <= mostStarted && endsAtMs > this.#now()) break
      this.#byId.delete(oldest)
    }
    return id
  }

  take(id: string): T | null {
    const found = this.#byId.get(id)
    this.#byId.delete(id)
    return found !== undefined && found.endsAtMs > this.#now() ? found.value : null
  }
}
