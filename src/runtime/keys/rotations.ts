// Builds the rotations of a running gateway: what they use of it, what operators see of them, and when they begin by themselves.

import { createHash } from 'node:crypto'
import path from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { RotationsApi } from '../../admin/rotations-api.ts'
import { planView, rotationView } from '../../admin/rotation-views.ts'
import { lockJournal } from '../../budgets/file/journal-lock.ts'
import type { GatewayApp } from '../../gateway/app.ts'
import type { OwnCalls } from '../../gateway/own-calls/own-calls.ts'
import type { Upstream } from '../../gateway/upstream/upstream.ts'
import type { KeyHandle } from '../../keys/key.ts'
import type { Keyring, UnusableKey } from '../../keys/keyring.ts'
import { sourceOf } from '../../keys/reading.ts'
import { refreshMsOf } from '../../keys/reading-times.ts'
import { createLocalFleet, valueFingerprint } from '../../keys/rotation/fleet.ts'
import type { RotationClock } from '../../keys/rotation/parts.ts'
import { RotationRefused } from '../../keys/rotation/asked.ts'
import { createRotations, type Rotations, type RotationsOptions } from '../../keys/rotation/service.ts'
import { takeLease } from '../../keys/rotation/shared/lease.ts'
import { createSharedPeers } from '../../keys/rotation/shared/peers.ts'
import { Secret } from '../../keys/secret.ts'
import type { Store } from '../../store/store.ts'
import type { Core } from '../core.ts'
import { devinKeysFor } from './devin-access.ts'
import { watchSchedule } from './rotation-schedule.ts'

/** Where the journals of rotations are: beside the blocked callers. */
export function rotationFolder(blocksFile: string): string {
  const name = path.basename(blocksFile, '.json')
  return path.join(path.dirname(blocksFile), name === 'blocks' ? 'rotations' : name.replace(/blocks$/, 'rotations'))
}

/** Takes the lock of a key's journal. */
export async function lockRotation(folder: string, key: string): Promise<() => Promise<void>> {
  // Short, because addresses of sockets are.
  const name = createHash('sha256').update(key).digest('hex').slice(0, 8)
  return await lockJournal(path.join(folder, name), `another process rotates key "${key}": wait until it has finished`)
}

/** How long an instance that nobody knows of may take to read a source again. */
export function usualSettleMs({ secret }: KeyHandle): number {
  const refreshMs = refreshMsOf(secret)
  // A file is watched.
  return refreshMs === null ? 3_000 : 2 * refreshMs
}

/** What rotations ask a keyring for. */
export function keyValues(keyring: Keyring): Pick<RotationsOptions, 'valueInUse' | 'unusable'> {
  return {
    valueInUse: (key) => keyring.versions().find(({ handle }) => handle.id === key)?.secret ?? null,
    unusable(handle) {
      const state = keyring.stateOf(handle)
      return state === 'ready' ? null : whyUnusable[state]
    },
  }
}

const whyUnusable: Readonly<Record<UnusableKey, string>> = {
  'set-aside': 'it is set aside, because Devin has rejected it several times',
  expired: 'it has expired',
  blocked: 'it is blocked',
  quarantined: 'it is quarantined, because by Devin it is another key than declared',
  unresolved: 'its source has given no value yet',
  replaced: 'no value of it is known here',
}

const rotationClock: RotationClock = {
  now: Date.now,
  sleep: async (ms, signal) => await wait(ms, undefined, { signal, ref: false }),
}

export function openRotations(
  core: Core,
  ownCalls: OwnCalls,
  upstream: Pick<Upstream, 'asking'>,
  app: Pick<GatewayApp, 'count'>,
  store: Store | null,
) {
  const {
    catalogue,
    config,
    guard,
    instruments,
    isAlone,
    keyring,
    log,
    monotonic,
    now,
    policies,
    secretSources,
    sinks,
  } = core
  const { origin } = config.upstream
  const folder = rotationFolder(config.blocksFile)
  const clock = { ...rotationClock, now }

  /** Requests, and reads of the gateway's own, that are under way with another version than this one. */
  function underWay(key: string, version: number): number {
    const isOther = (found: { handle: KeyHandle; version: number } | null): boolean =>
      found !== null && found.handle.id === key && found.version !== version && found.version !== 0
    return app.count((context) => isOther(context.keyVersion)) + [...upstream.asking].filter(isOther).length
  }

  const values = keyValues(keyring)
  const peers =
    store === null
      ? null
      : createSharedPeers({
          store,
          async follow(key, fingerprint) {
            const version = keyring.versionOf(key)
            // A key that this instance does not have is used by nobody here.
            if (version === 0) return true
            const value = values.valueInUse(key)
            if (value !== null && valueFingerprint(key, value) === fingerprint) return underWay(key, version) === 0
            await keyring.refresh(key)
            return false
          },
        })

  const rotations: Rotations = createRotations({
    folder,
    keys: () => policies.current.keys,
    operation: (id) => catalogue.operation(id),
    permissions: catalogue.permissions,
    sourceOf: (handle) => sourceOf(handle, secretSources),
    devin: (handle, rotating) => devinKeysFor(ownCalls, keyring, handle, rotating),
    fleet: (handle, settleMs) =>
      createLocalFleet({
        key: handle.id,
        keyring,
        underWay,
        peers,
        settleMs: isAlone ? 0 : (settleMs ?? handle.rotate?.settleMs ?? usualSettleMs(handle)),
        clock,
      }),
    ...values,
    secretOf(text) {
      guard.protect(text)
      return new Secret(text, origin)
    },
    origin,
    lock: (key) => lockRotation(folder, key),
    lease: store === null ? null : (key) => takeLease(store, key, monotonic),
    clock,
    audit: (event, by, details) => sinks.audit(event, by, details),
    onEvent({ id, key, phase }, text, isFault) {
      const about = { event: 'key-rotation', key, rotation: id, phase }
      if (isFault) log.error(about, text)
      else log.info(about, text)
    },
    onEnd({ key, phase, reason, fault }) {
      const result = phase === 'done' ? 'done' : reason === null && fault === null ? 'undone' : 'failed'
      instruments.keyRotation(key, result)
      void schedule.review()
    },
  })

  const schedule = watchSchedule({ rotations, keys: () => policies.current.keys, now, log, instruments })

  const api: RotationsApi = {
    list: async () => (await rotations.list()).map(rotationView),
    async ask({ action, ...wanted }) {
      try {
        if (action === 'plan') return { status: 200, body: planView(await rotations.plan(wanted), fleetText()) }
        const begun = await { begin: rotations.begin, resume: rotations.resume, undo: rotations.undo }[action](wanted)
        return { status: 202, body: rotationView({ rotation: begun, live: true, waiting: null }) }
      } catch (error) {
        if (!(error instanceof RotationRefused)) throw error
        return { status: 409, body: { error: error.reasons.join('; '), reasons: error.reasons } }
      }
    },
  }

  function fleetText(): string {
    if (peers !== null)
      return 'wait until every instance that shares the store uses the new key, and nothing with the old one is under way'
    return isAlone
      ? 'wait until nothing with the old key is under way'
      : 'wait until nothing with the old key is under way here, and for a while for instances that nobody knows of'
  }

  return {
    api,
    /** Rotations that have stopped, and keys that are overdue. */
    get notes(): readonly string[] {
      return schedule.notes
    },
    async start(): Promise<void> {
      peers?.start()
      await schedule.start()
    },
    async close(): Promise<void> {
      schedule.stop()
      await rotations.close()
      peers?.close()
    },
  }
}

export type RotationsInForce = ReturnType<typeof openRotations>
