// The current value of each key: requests open it here, rejections are reported here, and rotations take effect here.

import { setTimeout as wait } from 'node:timers/promises'
import { isExpired } from './expiry.ts'
import { KeyEntry, twinsOf, type KeyState, type SealingSecrets } from './key-entry.ts'
import { isSameKey, type KeyHandle } from './key.ts'
import { nextReadingMs } from './reading-times.ts'
import { readNow, type ReadSecret, type ResolvedSecrets, type SecretSources } from './reading.ts'
import type { KeyTrial } from './rotation/trial.ts'
import type { Secret } from './secret.ts'
import { isLocal } from './sources/local-source.ts'
import { SourceFault } from './sources/source.ts'

/** One value of a key. Versions count up from 1, the first value since start. */
export interface KeyVersion {
  readonly handle: KeyHandle
  readonly version: number
  readonly secret: Secret
  /** Absent for values that no caller's request uses. */
  readonly sealing?: SealingSecrets
}

/** Why a key cannot be used now. */
export type UnusableKey = 'set-aside' | 'expired' | 'blocked' | 'quarantined' | 'unresolved' | 'replaced'

export type KeyStatus = ReturnType<Keyring['status']>[number]

export type Keyring = ReturnType<typeof createKeyring>

export interface KeyringOptions {
  readonly sources: SecretSources
  /** Milliseconds since the epoch: expiry and what is shown. */
  readonly now: () => number
  /** Monotonic clock, milliseconds. */
  readonly monotonic: () => number
  readonly onChange: (
    event: 'key-version' | 'key-rejected' | 'key-set-aside',
    handle: KeyHandle,
    version: number,
  ) => void
  /** A key's source cannot be read, or not for the same reason as before; null: it can be read again. */
  readonly onSource?: (handle: KeyHandle, fault: SourceFault | null, hasValue: boolean) => void
}

/** A caller whose call was rejected waits so long for the source to be read again. */
const rereadingWaitMs = 2_000
/** Rejections of one key that follow each other ask a server or a program no more often than this. */
const betweenRereadingsMs = 1_000

/** Creates an empty keyring. */
export function createKeyring(options: KeyringOptions) {
  const { now, monotonic, sources, onChange, onSource } = options
  const entries = new Map<string, KeyEntry>()
  let isBlocked: (id: string) => boolean = () => false
  let isQuarantined: (id: string, version: number) => boolean = () => false
  let changed: () => void = () => {}

  /** The source has answered. True when the value is another one. A value that a rotation holds back is taken when it says so. */
  function take(entry: KeyEntry, read: ReadSecret): boolean {
    const wasFailing = entry.fault !== null
    const isNew = entry.take(read, now(), monotonic())
    schedule(entry)
    if (wasFailing) onSource?.(entry.handle, null, true)
    return isNew
  }

  function fail(entry: KeyEntry, fault: SourceFault): void {
    const isNews = entry.fail(fault)
    schedule(entry)
    if (isNews) onSource?.(entry.handle, fault, entry.secret !== null)
  }

  function schedule(entry: KeyEntry): void {
    const { handle, fault, failures, secret } = entry
    const reference = sources.given === undefined ? handle.secret : null
    entry.nextReadingMs = monotonic() + nextReadingMs(reference, fault, failures, secret !== null)
  }

  /** Whether a program or a server has to be asked. */
  function isElsewhere({ handle }: KeyEntry): boolean {
    return sources.given === undefined && !isLocal(handle.secret)
  }

  /** Reads again. True when another value is in use now; null when the reading says nothing about the value in use. */
  async function readAgain(entry: KeyEntry): Promise<boolean | null> {
    const { version } = entry
    const found = await readNow(entry.handle, sources)
    // A new set was adopted meanwhile, so the reading is about an old value.
    if (entries.get(entry.handle.id) !== entry || entry.version !== version || found === null) return null
    if (found instanceof SourceFault) {
      fail(entry, found)
      return false
    }
    const isNew = take(entry, found)
    if (isNew) {
      changed()
      onChange('key-version', entry.handle, entry.version)
    }
    return isNew
  }

  async function reread(entry: KeyEntry, isCheck: boolean): Promise<void> {
    const restMs = entry.askedAgainAtMs + betweenRereadingsMs - monotonic()
    if (restMs > 0 && isElsewhere(entry)) await wait(restMs)
    entry.askedAgainAtMs = monotonic()
    if ((await readAgain(entry)) !== false) return
    onChange(entry.reject(monotonic(), isCheck) ? 'key-set-aside' : 'key-rejected', entry.handle, entry.version)
  }

  function stateOf(entry: KeyEntry, nowMs: number): KeyState {
    if (isBlocked(entry.handle.id)) return 'blocked'
    return isQuarantined(entry.handle.id, entry.version) ? 'quarantined' : entry.state(nowMs, monotonic())
  }

  async function refresh(entry: KeyEntry): Promise<void> {
    entry.isRefreshing = true
    try {
      await readAgain(entry)
    } finally {
      entry.isRefreshing = false
    }
  }

  return {
    /** Puts a whole set in use. Unchanged values keep their version and state; gone handles are forgotten. */
    adopt(handles: readonly KeyHandle[], { values, away }: ResolvedSecrets): void {
      const ids = new Set(handles.map((handle) => handle.id))
      for (const id of entries.keys()) if (!ids.has(id)) entries.delete(id)
      for (const handle of handles) {
        const read = values.get(handle.id)
        const fault = away.get(handle.id)
        if (read === undefined && fault === undefined) {
          entries.delete(handle.id)
          continue
        }
        const isFirst = !entries.has(handle.id)
        const entry = entries.get(handle.id) ?? new KeyEntry(handle)
        entries.set(handle.id, entry)
        const isSame = isSameKey(entry.handle, handle)
        entry.handle = handle
        if (read !== undefined) {
          if (take(entry, read) && !isFirst) onChange('key-version', handle, entry.version)
          continue
        }
        // The value of another place is not the value of this key.
        if (!isSame) entry.secret = null
        if (entry.secret === null && fault !== undefined) fail(entry, fault)
        // Its value stays, and the source is asked at once, with more time than a reload has.
        else if (fault !== undefined) entry.nextReadingMs = monotonic()
      }
      changed()
    },
    /** The present version of every key that has a value, also of those that must not be used. */
    versions: (): readonly KeyVersion[] =>
      [...entries.values()].flatMap(({ handle, version, secret }) =>
        secret === null ? [] : [{ handle, version, secret }],
      ),
    /** Whether a reading gave what is in use for a handle. */
    holds(handle: KeyHandle, { values, away }: ResolvedSecrets): boolean {
      const entry = entries.get(handle.id)
      if (entry === undefined || !isSameKey(entry.handle, handle)) return false
      const read = values.get(handle.id)
      return read === undefined
        ? away.has(handle.id)
        : entry.secret?.equals(read.secret) === true || entry.trial?.secret.equals(read.secret) === true
    },
    /** Whether a value of this key is in use. */
    isKnown(handle: KeyHandle): boolean {
      const entry = entries.get(handle.id)
      return entry !== undefined && entry.secret !== null && isSameKey(entry.handle, handle)
    },
    /** Whether the id has a value now, and would lose it because its new place gives no answer. */
    wouldLose(handle: KeyHandle, { values, away }: ResolvedSecrets): boolean {
      const hasValue = (entries.get(handle.id)?.secret ?? null) !== null
      return hasValue && away.has(handle.id) && !values.has(handle.id) && !this.isKnown(handle)
    },
    /** Asks the sources that are due again; to be called several times a second. */
    refreshDue(): void {
      for (const entry of entries.values())
        if (entry.nextReadingMs <= monotonic() && !entry.isRefreshing && entry.rereading === null) void refresh(entry)
    },
    /**
     * The current version of a handle. `set-aside`: it is not used for a minute after three rejections. `expired`: its end has passed.
     * `blocked`: an operator says so. `quarantined`: it is another key than declared. `unresolved`: its source has given no value yet. `replaced`: the id now stands for another key than the handle of the asking request's snapshot.
     */
    open(handle: KeyHandle): KeyVersion | UnusableKey {
      const entry = entries.get(handle.id)
      if (entry === undefined || !isSameKey(entry.handle, handle)) return 'replaced'
      if (isBlocked(handle.id)) return 'blocked'
      if (isQuarantined(handle.id, entry.version)) return 'quarantined'
      if (entry.handle.expiresAtMs !== null && isExpired(entry.handle, now())) return 'expired'
      if (entry.isSetAside(monotonic())) return 'set-aside'
      if (entry.secret === null) return 'unresolved'
      const { trial } = entry
      const { sealing } = entry
      if (trial?.isTurn() === true)
        return { handle: entry.handle, version: trial.version, secret: trial.secret, sealing }
      return { handle: entry.handle, version: entry.version, secret: entry.secret, sealing }
    },
    /** Who says from now on which keys are blocked. */
    blockBy: (asked: (id: string) => boolean): void => void (isBlocked = asked),
    /** Who says from now on which versions of keys are quarantined. */
    quarantineBy: (asked: (id: string, version: number) => boolean): void => void (isQuarantined = asked),
    /** Called after each set that is adopted and each new value. */
    whenChanged: (listener: () => void): void => void (changed = listener),
    /** What `open` would say of the key, without its value. */
    stateOf(handle: KeyHandle): 'ready' | UnusableKey {
      const found = this.open(handle)
      return typeof found === 'string' ? found : 'ready'
    },
    /** Notes that a call used the version, for the inventory of used and unused permissions. */
    used(handle: KeyHandle, permissions: readonly string[]): void {
      const entry = entries.get(handle.id)
      if (entry === undefined) return
      entry.lastUsedAtMs = now()
      for (const permission of permissions) entry.usedPermissions.add(permission)
    },
    /** The upstream accepted the key: the count of rejections starts anew. */
    accepted(version: KeyVersion): void {
      const entry = entries.get(version.handle.id)
      if (entry === undefined) return
      if (entry.version === version.version) entry.accept()
      else if (entry.trial?.version === version.version) entry.trial.answered += 1
    },
    /**
     * The upstream answered 401. Reads the secret again at once (concurrent reports share one reading); when the value
     * has changed the next call uses it, else the rejection counts, and the third in a row sets the key aside. A check does not
     * count: nobody was served by it. Resolves after the reading, or when a source takes longer than a caller should wait.
     */
    async rejected(version: KeyVersion, isCheck = false): Promise<void> {
      const entry = entries.get(version.handle.id)
      if (entry?.trial?.version === version.version) entry.trial.isRejected = true
      // A report about an older version says nothing about the current one.
      if (entry === undefined || entry.version !== version.version) return
      entry.rereading ??= reread(entry, isCheck).finally(() => {
        entry.rereading = null
      })
      const enough = new AbortController()
      await Promise.race([
        entry.rereading,
        wait(rereadingWaitMs, undefined, { signal: enough.signal, ref: false }).catch(() => {}),
      ])
      enough.abort()
    },
    /** A rotation is about to write this value to the source: from now on `tryOut` and `use` say which requests use it. */
    hold: (id: string, secret: Secret): void => entries.get(id)?.hold(secret),
    /** One in so many requests uses the value that is held back. Null where all do already, or none may. */
    tryOut: (id: string, secret: Secret, every: number): KeyTrial | null =>
      entries.get(id)?.tryOut(secret, every) ?? null,
    /** All requests use this value from now on. */
    use(id: string, secret: Secret): void {
      const entry = entries.get(id)
      if (entry === undefined) return
      if (!entry.use(secret, now(), monotonic())) return
      onChange('key-version', entry.handle, entry.version)
      changed()
    },
    /** Nothing is held back any more. */
    release: (id: string): void => entries.get(id)?.release(),
    /** Number of the version in use; 0 without one. */
    versionOf: (id: string): number => entries.get(id)?.version ?? 0,
    /** Reads the source of a key again, now. */
    async refresh(id: string): Promise<void> {
      const entry = entries.get(id)
      if (entry !== undefined && !entry.isRefreshing && entry.rereading === null) await refresh(entry)
    },
    status() {
      const nowMs = now()
      let twins: ReadonlyMap<string, string> | null = null
      return [...entries.values()].map((entry) => ({
        handle: entry.handle,
        version: entry.version,
        loadedAtMs: entry.loadedAtMs,
        sourceVersion: entry.sourceVersion,
        /** The first key before it that has the same value. Most who ask for the status do not ask for this. */
        get sameValueAs(): string | null {
          twins ??= twinsOf(entries.values())
          return twins.get(entry.handle.id) ?? null
        },
        /**
         * How long ago the source last gave the value in use. Null without a value, and for a variable or a file that can be
         * read: the one cannot change, the other is watched.
         */
        valueAgeMs: isElsewhere(entry) || entry.fault !== null ? entry.valueAgeMs(monotonic()) : null,
        /** Why the latest reading of its source failed. */
        sourceFault: entry.fault?.message ?? null,
        state: stateOf(entry, nowMs),
        lastUsedAtMs: entry.lastUsedAtMs,
        /** Permissions that calls have needed from this key since start. */
        usedPermissions: entry.usedPermissions as ReadonlySet<string>,
      }))
    },
  }
}
