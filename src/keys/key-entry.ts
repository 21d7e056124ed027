// One key of the keyring: its value in use, how its source answers, what the upstream says of it. Knows no clock.

import { isExpired } from './expiry.ts'
import type { KeyHandle } from './key.ts'
import type { ReadSecret } from './reading.ts'
import { KeyTrial } from './rotation/trial.ts'
import type { Secret } from './secret.ts'
import type { SourceFault } from './sources/source.ts'

/**
 * `rejected`: the upstream answered 401 lately. `set-aside`: three times in a row; the key is not used for a minute. `expired`: by the
 * inventory. `blocked`: by an operator. `quarantined`: by Devin it is another key than the inventory declares. `unresolved`: its source
 * has given no value yet.
 */
export type KeyState = 'ready' | 'rejected' | 'set-aside' | 'expired' | 'blocked' | 'quarantined' | 'unresolved'

/** With what cursors are sealed, and with what they are opened, the likeliest first. */
export interface SealingSecrets {
  readonly seal: Secret | null
  readonly open: readonly Secret[]
}

/** Longer than any reading takes. */
const retiredMs = 60_000

/** More values of one key in the life of a cursor are not expected. */
const mostEarlier = 2

const rejectionsBeforeSetAside = 3
/** A key that was set aside is tried again after this time: the provider may have been at fault. */
const setAsideMs = 60_000

/** Times are milliseconds: `nowMs` since the epoch, `monotonicMs` of the clock that nobody sets. */
export class KeyEntry {
  handle: KeyHandle
  version = 0
  /** Null until the source has given a value. */
  secret: Secret | null = null
  /** What the source calls the value in use; null where it has no versions. */
  sourceVersion: string | null = null
  loadedAtMs: number | null = null
  /** When the source last said that the value in use is the one it keeps, on the monotonic clock. */
  #confirmedAtMs = -Infinity
  /** Why the latest reading failed. */
  fault: SourceFault | null = null
  /** Failed readings in a row. */
  failures = 0
  /** When its source is asked again, on the monotonic clock. */
  nextReadingMs = Infinity
  /** When it was last asked because of a rejection. */
  askedAgainAtMs = -Infinity
  rejections = 0
  #isDoubted = false
  #setAsideUntilMs = -Infinity
  lastUsedAtMs: number | null = null
  readonly usedPermissions = new Set<string>()
  rereading: Promise<void> | null = null
  isRefreshing = false
  /** Values of before, the latest first: what was sealed with one of them is still opened. */
  #earlier: readonly Secret[] = []
  #sealing: SealingSecrets | null = null
  /** The next value, while a rotation says which requests use it. */
  trial: KeyTrial | null = null
  /** With what cursors are sealed until a rotation is over. */
  #sealedBy: Secret | null = null
  /** What a rotation has taken out of use. */
  #retired: { readonly secret: Secret; readonly untilMs: number } | null = null

  constructor(handle: KeyHandle) {
    this.handle = handle
  }

  /** The source has given a value. True when it is another one than before. */
  take({ secret, sourceVersion }: ReadSecret, nowMs: number, monotonicMs: number): boolean {
    this.fault = null
    this.failures = 0
    this.sourceVersion = sourceVersion
    this.#confirmedAtMs = monotonicMs
    if (this.secret?.equals(secret) === true) return false
    // A reading that began before a rotation went on gives the value of before.
    if (this.#retired !== null && monotonicMs < this.#retired.untilMs && this.#retired.secret.equals(secret))
      return false
    // A rotation holds it back, unless the upstream has just rejected the value in use.
    if (this.trial?.secret.equals(secret) === true && this.rereading === null) return false
    this.trial = null
    if (this.secret !== null) this.#earlier = [this.secret, ...this.#earlier].slice(0, mostEarlier)
    this.secret = secret
    this.#sealing = null
    this.version += 1
    this.loadedAtMs = nowMs
    this.accept()
    this.#setAsideUntilMs = -Infinity
    return true
  }

  /** For cursors. While a rotation runs they are sealed with the value of before, which the other instances have. */
  get sealing(): SealingSecrets {
    return (this.#sealing ??= this.#sealingNow())
  }

  #sealingNow(): SealingSecrets {
    const values = [this.secret, this.trial?.secret ?? null, ...this.#earlier].filter((value) => value !== null)
    return { seal: this.#sealedBy ?? this.secret, open: values }
  }

  /** A rotation is about to put this value into the source. */
  hold(secret: Secret): void {
    if (this.secret?.equals(secret) === true || this.trial?.secret.equals(secret) === true) return
    this.trial = new KeyTrial(secret, this.version + 1)
    this.#sealedBy = this.secret
    this.#sealing = null
  }

  /** One in so many requests uses the value that is held back. Null where all do already. */
  tryOut(secret: Secret, every: number): KeyTrial | null {
    if (this.trial?.secret.equals(secret) !== true) return null
    this.trial.share(every)
    return this.trial
  }

  /** All requests use this value from now on. True when it is another one than before. */
  use(secret: Secret, nowMs: number, monotonicMs: number): boolean {
    // Its object has connections already.
    const held = this.trial?.secret.equals(secret) === true ? this.trial.secret : secret
    const before = this.secret
    this.trial = null
    this.#retired = null
    const isNew = this.take({ secret: held, sourceVersion: null }, nowMs, monotonicMs)
    if (before !== null && isNew) this.#retired = { secret: before, untilMs: monotonicMs + retiredMs }
    return isNew
  }

  /** The rotation is over, or has stopped. */
  release(): void {
    this.trial = null
    this.#sealedBy = null
    this.#sealing = null
  }

  /** The source has given no value. True when it says another thing than before. */
  fail(fault: SourceFault): boolean {
    const isNews = this.fault?.message !== fault.message
    this.fault = fault
    this.failures += 1
    return isNews
  }

  /** The upstream has accepted the value in use. */
  accept(): void {
    this.rejections = 0
    this.#isDoubted = false
  }

  /** The upstream has rejected the value in use. True when the key is set aside for it. */
  reject(monotonicMs: number, isCheck: boolean): boolean {
    this.#isDoubted = true
    if (isCheck) return false
    this.rejections += 1
    if (this.rejections < rejectionsBeforeSetAside) return false
    this.#setAsideUntilMs = monotonicMs + setAsideMs
    return true
  }

  isSetAside(monotonicMs: number): boolean {
    return this.rejections >= rejectionsBeforeSetAside && monotonicMs < this.#setAsideUntilMs
  }

  /** Whatever operators say of it. */
  state(nowMs: number, monotonicMs: number): Exclude<KeyState, 'blocked'> {
    if (isExpired(this.handle, nowMs)) return 'expired'
    if (this.secret === null) return 'unresolved'
    if (!this.#isDoubted) return 'ready'
    return this.isSetAside(monotonicMs) ? 'set-aside' : 'rejected'
  }

  /** How long ago the source last gave the value in use; null without a value. */
  valueAgeMs(monotonicMs: number): number | null {
    return this.secret === null ? null : Math.max(0, monotonicMs - this.#confirmedAtMs)
  }
}

/** For each key whose value a key before it has as well, the id of the first one with it. */
export function twinsOf(all: Iterable<KeyEntry>): ReadonlyMap<string, string> {
  const firsts = new Map<string, string>()
  const twins = new Map<string, string>()
  for (const { handle, secret } of all) {
    if (secret === null) continue
    const mark = secret.mark()
    const first = firsts.get(mark)
    if (first === undefined) firsts.set(mark, handle.id)
    else twins.set(handle.id, first)
  }
  return twins
}
