// Asks Devin who each key is: at start, after each new value, and about every hour. One question at a time, and nobody waits for it.

import type { KeyAccount } from './account.ts'
import { isSameKey, type KeyHandle } from '../key.ts'
import type { KeyVersion } from '../keyring.ts'
import { describeIdentity, identityFault, type IdentityFault, type KeyIdentity } from './self.ts'

/** `away`: no answer, or none of Devin's own. `rejected`: 401. `unclear`: an answer that does not say who the key is. */
export type SelfAnswer =
  | { readonly kind: 'identity'; readonly identity: KeyIdentity }
  | { readonly kind: 'rejected' }
  | { readonly kind: 'unclear' | 'away'; readonly why: string }

/** What is known of one key. */
export interface KeyIdentityStatus extends KeyAccount {
  /** Of the value in use, or of the one before while the new one was not asked; null: never answered. */
  readonly identity: KeyIdentity | null
  /** When Devin last said who the key is, milliseconds since the epoch. */
  readonly answeredAtMs: number | null
  /** Why it is quarantined. */
  readonly fault: IdentityFault | null
  /** Another service user than the first answer named, where the inventory declares none. */
  readonly changedFrom: KeyIdentity | null
  /** Why the latest question had no answer; null when it had one. */
  readonly trouble: string | null
}

export type IdentityEvent = 'key-quarantined' | 'key-released' | 'key-service-user-changed'

export interface IdentityWatchOptions {
  readonly versions: () => readonly KeyVersion[]
  /** Whether the key may be sent: not while it is blocked, expired or set aside. */
  readonly mayAsk: (handle: KeyHandle) => boolean
  /** Never rejects. */
  readonly ask: (version: KeyVersion) => Promise<SelfAnswer>
  /** Roles and end of a key that has just answered, where they are known. Never rejects. */
  readonly askAccount: (identity: KeyIdentity) => Promise<KeyAccount>
  readonly onEvent: (event: IdentityEvent, version: KeyVersion, text: string) => void
  readonly now: () => number
  readonly monotonic: () => number
  /** From 0 to 1, for jitter. */
  readonly random: () => number
}

interface Known {
  handle: KeyHandle
  /** Asked version; 0 before the first question. */
  version: number
  first: KeyIdentity | null
  status: KeyIdentityStatus
  askedAtMs: number
  dueAtMs: number
}

const everyMs = 3_600_000
const unclearMs = 600_000
/** While Devin is away: growing, to this at most. */
const firstRetryMs = 10_000
const mostRetryMs = 600_000
const unasked: KeyIdentityStatus = {
  identity: null,
  answeredAtMs: null,
  fault: null,
  changedFrom: null,
  trouble: null,
  endsAtMs: null,
  roles: null,
}

/** Nothing is asked before `start`. */
export function createIdentityWatch(options: IdentityWatchOptions) {
  const { monotonic } = options
  const known = new Map<string, Known>()
  let [isStarted, isClosed, isAsking, isFirstPassOver] = [false, false, false, false]
  let retryMs = firstRetryMs
  let timer: NodeJS.Timeout | undefined

  /** Follows the inventory: keys that are gone are forgotten, and what is known is compared with what is declared now. */
  function follow(): void {
    const versions = new Map(options.versions().map((version) => [version.handle.id, version]))
    for (const id of known.keys()) if (!versions.has(id)) known.delete(id)
    for (const [id, version] of versions) {
      const { handle } = version
      const entry = known.get(id)
      if (entry === undefined || !isSameKey(entry.handle, handle))
        known.set(id, {
          handle,
          version: 0,
          first: null,
          status: unasked,
          askedAtMs: -Infinity,
          dueAtMs: -Infinity,
        })
      else if (entry.handle !== handle) {
        entry.handle = handle
        if (entry.version === version.version && entry.status.identity !== null)
          judge(entry, version, entry.status.identity)
      }
    }
    wake()
  }

  function judge(entry: Known, version: KeyVersion, identity: KeyIdentity): void {
    const { handle } = version
    const before = entry.status
    const fault = identityFault(handle, identity)
    if (fault === null && handle.serviceUser === null) entry.first ??= identity
    const isOther =
      handle.serviceUser === null && entry.first !== null && entry.first.serviceUser !== identity.serviceUser
    entry.status = { ...before, identity, fault, changedFrom: fault === null && isOther ? entry.first : null }
    if (fault !== null && fault.text !== before.fault?.text)
      options.onEvent('key-quarantined', version, `${fault.text}. ${fault.action}`)
    if (fault === null && before.fault !== null)
      options.onEvent('key-released', version, 'is what the inventory declares, and is used again')
    const { changedFrom } = entry.status
    if (changedFrom !== null && before.identity?.serviceUser !== identity.serviceUser)
      options.onEvent('key-service-user-changed', version, changedText(changedFrom, identity))
  }

  /** False when Devin is away, so that the other keys need not be asked now. */
  async function question(entry: Known, version: KeyVersion): Promise<boolean> {
    const answer = await options.ask(version)
    entry.askedAtMs = monotonic()
    // The inventory or the value has changed meanwhile, so the answer is about another key.
    if (isClosed || known.get(version.handle.id) !== entry || !isPresent(version)) return true
    if (answer.kind === 'away') {
      entry.status = { ...entry.status, trouble: answer.why }
      return false
    }
    // A new value is asked anew, so what was found of the one before is over.
    if (entry.version !== version.version) entry.status = { ...entry.status, fault: null, endsAtMs: null, roles: null }
    entry.version = version.version
    entry.dueAtMs = monotonic() + (answer.kind === 'unclear' ? unclearMs : everyMs) * (0.9 + options.random() / 5)
    if (answer.kind === 'unclear') entry.status = { ...entry.status, trouble: answer.why }
    if (answer.kind === 'rejected') entry.status = { ...entry.status, trouble: 'Devin rejected the key (401)' }
    if (answer.kind !== 'identity') return true
    entry.status = { ...entry.status, answeredAtMs: options.now(), trouble: null }
    judge(entry, version, answer.identity)
    if (entry.status.fault !== null) return true
    const account = await options.askAccount(answer.identity)
    if (isPresent(version)) entry.status = { ...entry.status, ...account }
    return true
  }

  function isPresent({ handle, version }: KeyVersion): boolean {
    return options.versions().some((each) => each.handle.id === handle.id && each.version === version)
  }

  /** The key that has waited longest among those that are due; undefined: none is. */
  function nextDue(): { readonly entry: Known; readonly version: KeyVersion } | undefined {
    if (isClosed) return undefined
    const due = options.versions().flatMap((version) => {
      const entry = known.get(version.handle.id)
      const isDue = entry !== undefined && (entry.version !== version.version || entry.dueAtMs <= monotonic())
      return isDue && options.mayAsk(version.handle) ? [{ entry, version }] : []
    })
    return due.toSorted((a, b) => a.entry.askedAtMs - b.entry.askedAtMs)[0]
  }

  async function askAll(): Promise<void> {
    for (let due = nextDue(); due !== undefined; due = nextDue()) {
      if (!(await question(due.entry, due.version))) {
        retryMs = Math.min(retryMs * 2, mostRetryMs)
        break
      }
      retryMs = firstRetryMs
    }
    isFirstPassOver = true
  }

  function wake(): void {
    if (!isStarted || isClosed || isAsking) return
    isAsking = true
    clearTimeout(timer)
    void askAll().finally(() => {
      isAsking = false
      if (isClosed) return
      // Blocks and set-asides end without a word, so keys that could not be asked are looked at again before long.
      timer = setTimeout(wake, retryMs).unref()
    })
  }

  return {
    start(): void {
      isStarted = true
      follow()
    },
    follow,
    /** A new value is in use. */
    wake,
    isQuarantined(id: string, version: number): boolean {
      const entry = known.get(id)
      return entry !== undefined && entry.status.fault !== null && entry.version === version
    },
    statusOf: (id: string): KeyIdentityStatus => known.get(id)?.status ?? unasked,
    /** Every key was asked once, or Devin was found to be away. */
    get isFirstPassOver(): boolean {
      return isFirstPassOver
    },
    close(): void {
      isClosed = true
      clearTimeout(timer)
    },
  }
}

export type IdentityWatch = ReturnType<typeof createIdentityWatch>

/** How another service user behind an entry is told, as the end of a sentence that begins with the key. */
export function changedText(from: KeyIdentity, to: KeyIdentity): string {
  return `belongs to the service user ${describeIdentity(to)} now, and belonged to ${describeIdentity(from)} before. A rotation keeps the service user. Declare \`service_user: ${to.serviceUser ?? ''}\` if the change was meant`
}
