// The current value of each key: requests open it here, rejections are reported here, and rotations take effect here.

import { readFile, stat } from 'node:fs/promises'
import { didYouMean } from '../config/nearest.ts'
import { whyUnreadable } from '../config/values/file-errors.ts'
import { isExpired } from './expiry.ts'
import { Secret } from './secret.ts'
import { valueFault } from './value-fault.ts'
import type { KeyHandle, SecretReference } from './key.ts'

/** One value of a key. Versions count up from 1 at start. */
export interface KeyVersion {
  readonly handle: KeyHandle
  readonly version: number
  readonly secret: Secret
}

/** `rejected`: the upstream answered 401 lately. `set-aside`: three times in a row; the key is not used for a minute. `expired`: by the inventory. `blocked`: by an operator. */
export type KeyState = 'ready' | 'rejected' | 'set-aside' | 'expired' | 'blocked'

/** Why a key cannot be used now. */
export type UnusableKey = 'set-aside' | 'expired' | 'blocked' | 'replaced'

export type KeyStatus = ReturnType<Keyring['status']>[number]

/** Values read for a set of handles, not yet in use. */
export type ResolvedSecrets = ReadonlyMap<string, Secret>

/** What is to be said about one key. */
export interface KeyRemark {
  readonly handle: KeyHandle
  readonly message: string
}

export interface SecretSources {
  readonly env: Readonly<Record<string, string | undefined>>
  /** The upstream's scheme, host and port, to which every value is bound. */
  readonly origin: string
  /** Values by key id, in place of what the references of the keys say. */
  readonly given?: ((id: string) => string) | undefined
  /** Called with every value that is read, before anything can use it, so that the leak guard knows it. */
  readonly protect?: (value: string) => void
  /**
   * Called with every secret file that is looked for, also in sets that are refused: when the file appears, the set
   * may become valid.
   */
  readonly noteFile?: (file: string) => void
}

/** Reads the value of every handle. Those that cannot be resolved are listed; no message holds any part of a value. */
export async function resolveSecrets(
  handles: readonly KeyHandle[],
  sources: SecretSources,
): Promise<{
  secrets: ResolvedSecrets
  unresolved: readonly KeyRemark[]
  /** About values that can be used. */
  warnings: readonly KeyRemark[]
}> {
  const secrets = new Map<string, Secret>()
  const unresolved: KeyRemark[] = []
  const warnings: KeyRemark[] = []
  for (const handle of handles) {
    const remark = (message: string): KeyRemark => ({ handle, message: `key "${handle.id}": ${message}` })
    const found = await resolve(handle, sources)
    if (typeof found === 'string') {
      unresolved.push(remark(found))
      continue
    }
    const twin = [...secrets].find(([, other]) => other.equals(found))?.[0]
    if (twin !== undefined)
      warnings.push(
        remark(`its value is also that of key "${twin}": one of the two names the wrong secret, or is superfluous`),
      )
    if (sources.given === undefined && 'file' in handle.secret && (await mayOthersRead(handle.secret.file)))
      warnings.push(remark(`other users of this machine may read ${handle.secret.file}: chmod o-rwx takes that away`))
    secrets.set(handle.id, found)
  }
  return { secrets, unresolved, warnings }
}

async function resolve({ id, secret: reference }: KeyHandle, sources: SecretSources): Promise<Secret | string> {
  if (sources.given !== undefined) return secretOf(sources.given(id), sources)
  if ('file' in reference) sources.noteFile?.(reference.file)
  const text = 'env' in reference ? sources.env[reference.env] : await readText(reference.file)
  const where = 'env' in reference ? `the environment variable ${reference.env}` : `the file ${reference.file}`
  if (text === undefined) return `${where} is not set: it should hold the key${nearName(reference, sources.env)}`
  if (text === '') return `${where} is empty: it should hold the key`
  if (typeof text !== 'string') return `${where} cannot be read: ${text.problem}`
  // A single final line break of a secret file is dropped: editors and `echo` add one.
  const value = 'file' in reference ? text.replace(/\r?\n$/, '') : text
  const fault = valueFault(value)
  return fault === null ? secretOf(value, sources) : `${where} does not hold a service-user key: ${fault}`
}

function secretOf(value: string, { protect, origin }: SecretSources): Secret {
  protect?.(value)
  return new Secret(value, origin)
}

function nearName(reference: SecretReference, env: SecretSources['env']): string {
  return 'env' in reference ? didYouMean(reference.env, Object.keys(env)) : ''
}

async function readText(file: string): Promise<string | { problem: string }> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    return { problem: whyUnreadable(error) }
  }
}

/** On Windows modes say nothing. */
async function mayOthersRead(file: string): Promise<boolean> {
  return process.platform !== 'win32' && ((await stat(file).catch(() => null))?.mode ?? 0) % 8 >= 4
}

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
}

interface Entry {
  handle: KeyHandle
  version: number
  secret: Secret
  loadedAtMs: number
  rejections: number
  setAsideUntilMs: number
  lastUsedAtMs: number | null
  readonly usedPermissions: Set<string>
  rereading: Promise<void> | null
}

const rejectionsBeforeSetAside = 3
/** A key that was set aside is tried again after this time: the provider may have been at fault. */
const setAsideMs = 60_000

/** Creates an empty keyring. */
export function createKeyring(options: KeyringOptions) {
  const entries = new Map<string, Entry>()
  let isBlocked: (id: string) => boolean = () => false

  function replaceValue(entry: Entry, secret: Secret): void {
    entry.secret = secret
    entry.version += 1
    entry.loadedAtMs = options.now()
    entry.rejections = 0
    entry.setAsideUntilMs = -Infinity
    options.onChange('key-version', entry.handle, entry.version)
  }

  async function reread(entry: Entry): Promise<void> {
    const { version } = entry
    const found = await resolve(entry.handle, options.sources)
    // A new set was adopted meanwhile, so the reading and the report are about an old value.
    if (entries.get(entry.handle.id) !== entry || entry.version !== version) return
    if (typeof found !== 'string' && !found.equals(entry.secret)) {
      replaceValue(entry, found)
      return
    }
    entry.rejections += 1
    const isSetAside = entry.rejections >= rejectionsBeforeSetAside
    if (isSetAside) entry.setAsideUntilMs = options.monotonic() + setAsideMs
    options.onChange(isSetAside ? 'key-set-aside' : 'key-rejected', entry.handle, entry.version)
  }

  return {
    /** Puts a whole set in use. Unchanged values keep their version and state; gone handles are forgotten. */
    adopt(handles: readonly KeyHandle[], secrets: ResolvedSecrets): void {
      const ids = new Set(handles.map((handle) => handle.id))
      for (const id of entries.keys()) if (!ids.has(id)) entries.delete(id)
      for (const handle of handles) {
        const secret = secrets.get(handle.id)
        const entry = entries.get(handle.id)
        if (secret === undefined) entries.delete(handle.id)
        else if (entry === undefined) {
          entries.set(handle.id, {
            handle,
            version: 1,
            secret,
            loadedAtMs: options.now(),
            rejections: 0,
            setAsideUntilMs: -Infinity,
            lastUsedAtMs: null,
            usedPermissions: new Set(),
            rereading: null,
          })
        } else {
          entry.handle = handle
          if (!entry.secret.equals(secret)) replaceValue(entry, secret)
        }
      }
    },
    /** Whether the value in use for a handle is this one. */
    holds: (handle: KeyHandle, secret: Secret): boolean => entries.get(handle.id)?.secret.equals(secret) === true,
    /**
     * The current version of a handle. `set-aside`: it is not used for a minute after three rejections. `expired`: its end has passed.
     * `blocked`: an operator says so. `replaced`: the id now stands for another key than the handle of the asking request's snapshot.
     */
    open(handle: KeyHandle): KeyVersion | UnusableKey {
      const entry = entries.get(handle.id)
      if (entry === undefined || !sameKey(entry.handle, handle)) return 'replaced'
      if (isBlocked(handle.id)) return 'blocked'
      if (entry.handle.expiresAtMs !== null && isExpired(entry.handle, options.now())) return 'expired'
      if (entry.rejections >= rejectionsBeforeSetAside && options.monotonic() < entry.setAsideUntilMs)
        return 'set-aside'
      return { handle: entry.handle, version: entry.version, secret: entry.secret }
    },
    /** Who says from now on which keys are blocked. */
    blockBy: (asked: (id: string) => boolean): void => void (isBlocked = asked),
    /** What `open` would say of the key, without its value. */
    stateOf(handle: KeyHandle): 'ready' | UnusableKey {
      const found = this.open(handle)
      return typeof found === 'string' ? found : 'ready'
    },
    /** Notes that a call used the version, for the inventory of used and unused permissions. */
    used(handle: KeyHandle, permissions: readonly string[]): void {
      const entry = entries.get(handle.id)
      if (entry === undefined) return
      entry.lastUsedAtMs = options.now()
      for (const permission of permissions) entry.usedPermissions.add(permission)
    },
    /** The upstream accepted the key: the count of rejections starts anew. */
    accepted(version: KeyVersion): void {
      const entry = entries.get(version.handle.id)
      if (entry !== undefined && entry.version === version.version) entry.rejections = 0
    },
    /**
     * The upstream answered 401. Reads the secret again at once (concurrent reports share one reading); when the value
     * has changed the next call uses it, else the rejection counts, and the third in a row sets the key aside.
     */
    async rejected(version: KeyVersion): Promise<void> {
      const entry = entries.get(version.handle.id)
      // A report about an older version says nothing about the current one.
      if (entry === undefined || entry.version !== version.version) return
      entry.rereading ??= reread(entry).finally(() => {
        entry.rereading = null
      })
      await entry.rereading
    },
    status() {
      const now = options.now()
      return [...entries.values()].map((entry) => ({
        handle: entry.handle,
        version: entry.version,
        loadedAtMs: entry.loadedAtMs,
        state: isBlocked(entry.handle.id) ? 'blocked' : stateOf(entry, now, options.monotonic()),
        lastUsedAtMs: entry.lastUsedAtMs,
        /** Permissions that calls have needed from this key since start. */
        usedPermissions: entry.usedPermissions as ReadonlySet<string>,
      }))
    },
  }
}

function stateOf({ handle, rejections, setAsideUntilMs }: Entry, nowMs: number, monotonicMs: number): KeyState {
  if (isExpired(handle, nowMs)) return 'expired'
  if (rejections === 0) return 'ready'
  return rejections >= rejectionsBeforeSetAside && monotonicMs < setAsideUntilMs ? 'set-aside' : 'rejected'
}

/** A handle stays the same key through reloads as long as it is for the same place and its value comes from the same one. */
function sameKey(a: KeyHandle, b: KeyHandle): boolean {
  return (
    a === b ||
    (a.scope === b.scope && a.organization === b.organization && JSON.stringify(a.secret) === JSON.stringify(b.secret))
  )
}
