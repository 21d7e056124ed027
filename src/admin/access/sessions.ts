// Sessions of signed-in browsers, in the memory of this process: ids are opaque, ends are exact, and signing out ends one for good.

import { randomBytes } from 'node:crypto'
import type { Renewal } from '../../identity/sign-in/sign-in.ts'
import { createSealing } from '../../store/sealing.ts'
import type { Operator } from './operator.ts'

/** Beginning and ends of a session, in milliseconds. */
export interface SessionTimes {
  readonly sinceMs: number
  readonly idleUntilMs: number
  readonly untilMs: number
}

/** Times are of the monotonic clock: a session lasts as long, however the computer's clock is set. */
export interface Session {
  operator: Operator
  /** For later checks at the issuer; null where it gave no refresh token. */
  renewal: Renewal | null
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
/** Of one subject: whoever signs in often ends own sessions, and not those of others. */
const mostOfSubject = 20

export class BrowserSessions {
  readonly #limits: SessionLimits
  readonly #monotonic: () => number
  readonly #byId = new Map<string, Session>()

  constructor(limits: SessionLimits, monotonic: () => number) {
    this.#limits = limits
    this.#monotonic = monotonic
  }

  /** Returns the id of the new session; the oldest one ends where there are too many, of its subject or in all. */
  add(operator: Operator, renewal: Renewal | null): string {
    const nowMs = this.#monotonic()
    const id = randomBytes(32).toString('base64url')
    this.#byId.set(id, {
      operator,
      renewal,
      checkedAtMs: nowMs,
      checking: null,
      sinceMs: nowMs,
      usedAtMs: nowMs,
    })
    const own = [...this.#byId].filter(([, session]) => isSameCaller(session.operator, operator)).map(([each]) => each)
    const [oldest] = own.length > mostOfSubject ? own : this.#byId.keys()
    if (oldest !== undefined && (own.length > mostOfSubject || this.#byId.size > mostSessions))
      this.#byId.delete(oldest)
    return id
  }

  /** The session that still lasts. `isUse`: the idle time begins anew. */
  get(id: string, isUse: boolean): Session | null {
    const session = this.#byId.get(id)
    if (session === undefined) return null
    const { idleUntilMs, untilMs } = this.timesOf(session, 0)
    const nowMs = this.#monotonic()
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

  /** `aheadMs`: by how much the clock of the returned times is ahead of the monotonic one. */
  timesOf(session: Session, aheadMs: number): SessionTimes {
    const { idleMs, longestMs } = this.#limits
    const [sinceMs, usedAtMs] = [session.sinceMs + aheadMs, session.usedAtMs + aheadMs]
    return { sinceMs, untilMs: sinceMs + longestMs, idleUntilMs: Math.min(usedAtMs + idleMs, sinceMs + longestMs) }
  }
}

function isSameCaller(a: Operator, b: Operator): boolean {
  return a.subject === b.subject && a.issuer === b.issuer
}

/** Of sign-ins that came back. A used one that is forgotten again still needs a code that the issuer has not seen. */
const mostUsed = 1_000
/** What is sealed here opens nowhere else. */
const context = 'started'

/**
 * Sign-ins whose browser is at the issuer: each is taken once, within its time. What is remembered of one is sealed into the cookie
 * of its browser, so that nobody can push out others by beginning many.
 */
export class StartedSignIns<T extends object> {
  readonly #monotonic: () => number
  readonly #lastsMs: number
  readonly #sealing = createSealing(randomBytes(32), 'sign-in')
  readonly #used = new Set<string>()

  constructor(lastsMs: number, monotonic: () => number) {
    this.#lastsMs = lastsMs
    this.#monotonic = monotonic
  }

  /** Returns the value of the cookie. */
  add(value: T): string {
    const endsAtMs = this.#monotonic() + this.#lastsMs
    return this.#sealing.seal(Buffer.from(JSON.stringify({ value, endsAtMs })), context).toString('base64url')
  }

  take(cookie: string): T | null {
    const sealed = Buffer.from(cookie, 'base64url')
    const opened = this.#sealing.open(sealed, context)
    // One value has several spellings in base64url.
    const id = sealed.toString('base64url')
    if (opened === null || this.#used.has(id)) return null
    this.#used.add(id)
    for (const oldest of this.#used) {
      if (this.#used.size <= mostUsed) break
      this.#used.delete(oldest)
    }
    // Nobody else can seal.
    const { value, endsAtMs } = JSON.parse(opened.toString()) as { readonly value: T; readonly endsAtMs: number }
    return endsAtMs > this.#monotonic() ? value : null
  }
}
