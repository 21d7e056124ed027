// The rotations of one process: one at a time for each key, each under a lock, and told while it runs.

import { didYouMean } from '../../config/nearest.ts'
import { messageOf } from '../../config/values/file-errors.ts'
import type { KeyHandle } from '../key.ts'
import { inTime } from '../reading.ts'
import type { SecretSource } from '../sources/source.ts'
import { overText, RotationRefused, type ShownRotation, type WantedRotation } from './asked.ts'
import { DevinFault, type DevinKeys } from './devin-keys.ts'
import { readJournal, readJournals, writeJournal } from './journal.ts'
import type { KeyFleet, RotationClock, RotationParts } from './parts.ts'
import { RotationPlace } from './steps/place.ts'
import { chooseRotating, newRotation, prepareRotation, type PrepareParts, type RotationPlan } from './prepare.ts'
import { canGoBack, isOver, type Rotation } from './rotation.ts'
import { runRotation } from './steps/run.ts'

/** Keeps others from rotating the same key. */
export interface RotationLease {
  /** Aborted when others may have it. */
  readonly signal: AbortSignal
  release(): Promise<void>
}

export interface RotationsOptions extends Pick<
  PrepareParts,
  'operation' | 'permissions' | 'valueInUse' | 'unusable' | 'secretOf'
> {
  /** Where the journals are. */
  readonly folder: string
  readonly keys: () => readonly KeyHandle[]
  /** Null where nobody may ask it. */
  readonly sourceOf: (handle: KeyHandle) => SecretSource | null
  /** Devin, for the rotation of a key with another one. */
  readonly devin: (handle: KeyHandle, rotating: KeyHandle) => DevinKeys
  readonly fleet: (handle: KeyHandle, settleMs: number | null) => KeyFleet
  readonly origin: string
  /** Rejects with a sentence where another process has it. */
  readonly lock: (key: string) => Promise<() => Promise<void>>
  /** Rejects with a sentence where another instance has it, or nobody knows. Null: nothing is shared. */
  readonly lease: ((key: string) => Promise<RotationLease>) | null
  readonly clock: RotationClock
  readonly audit: (event: string, by: string, details: Readonly<Record<string, unknown>>) => Promise<boolean>
  readonly onEvent: (rotation: Rotation, text: string, isFault: boolean) => void
  /** It has stopped, or is over. */
  readonly onEnd: (rotation: Rotation) => void
}

interface Running {
  rotation: Rotation
  waiting: string | null
  readonly ended: Promise<void>
  readonly stop: AbortController
}

const deadlineMs = 15_000

export function createRotations(options: RotationsOptions) {
  const { folder, keys, clock } = options
  const running = new Map<string, Running>()
  /** Keys that a request is looking at before their rotation runs. */
  const claimed = new Set<string>()
  let isClosed = false

  function handleOf(key: string): KeyHandle {
    const handle = keys().find(({ id }) => id === key)
    if (handle !== undefined) return handle
    const ids = keys().map(({ id }) => id)
    throw new RotationRefused([`there is no key "${key}" in the inventory${didYouMean(key, ids)}`])
  }

  function sourceOf(handle: KeyHandle): SecretSource | null {
    const source = options.sourceOf(handle)
    return source === null ? null : inTime(source, deadlineMs)
  }

  /** Everything that is known beforehand. Changes nothing. */
  async function plan(
    wanted: WantedRotation,
  ): Promise<RotationPlan & { readonly handle: KeyHandle; readonly latest: Rotation | null }> {
    const handle = handleOf(wanted.key)
    const latest = await readJournal(folder, wanted.key).catch(refusedBy)
    const prepared = await prepareRotation({
      handle,
      keys: keys(),
      operation: options.operation,
      permissions: options.permissions,
      source: sourceOf(handle),
      devin: (rotating) => options.devin(handle, rotating),
      valueInUse: options.valueInUse,
      unusable: options.unusable,
      secretOf: options.secretOf,
      latest,
      oldApiKey: wanted.oldApiKey ?? null,
      signal: AbortSignal.timeout(60_000),
    })
    return { ...prepared, handle, latest }
  }

  /** Holds lock and lease while `work` runs; `work` gives both to what it starts. */
  async function alone<T>(key: string, work: (lease: RotationLease) => Promise<T>): Promise<T> {
    if (isClosed) throw new RotationRefused(['the instance is shutting down'])
    const here = running.get(key)
    if (here !== undefined) throw new RotationRefused([`key "${key}" is being rotated already: ${here.rotation.id}`])
    if (claimed.has(key)) throw new RotationRefused([`key "${key}" is being rotated already`])
    claimed.add(key)
    return await locked(key, work).finally(() => claimed.delete(key))
  }

  async function locked<T>(key: string, work: (lease: RotationLease) => Promise<T>): Promise<T> {
    const unlock = await options.lock(key).catch(refusedBy)
    try {
      const lease = options.lease === null ? null : await options.lease(key).catch(refusedBy)
      const release = async (): Promise<void> => {
        await lease?.release()
        await unlock()
      }
      return await work({ signal: lease?.signal ?? new AbortController().signal, release }).catch(
        async (error: unknown) => {
          await lease?.release()
          throw error
        },
      )
    } catch (error) {
      await unlock()
      throw error
    }
  }

  async function begin(wanted: WantedRotation): Promise<Rotation> {
    handleOf(wanted.key)
    return await alone(wanted.key, async (lease) => {
      const prepared = await plan(wanted)
      const { handle, latest, rotating, refusals } = prepared
      const begun = newRotation(prepared, handle, latest, wanted.by, clock.now())
      if (begun === null) throw new RotationRefused(refusals)
      if (latest !== null) await sweep(handle, latest, lease.signal)
      const { id: rotation, key, old, serviceUser } = begun
      const ids = { service_user: serviceUser, old_api_key_id: old.apiKeyId, rotating_key: rotating?.id }
      const details = { key, rotation, ...ids }
      if (!(await options.audit('key-rotation-began', wanted.by, details)))
        throw new RotationRefused([
          'the audit log cannot be written, and a rotation that is not recorded does not begin',
        ])
      await writeJournal(folder, begun).catch((error: unknown) => {
        throw new RotationRefused([`the journal cannot be written: ${messageOf(error)}`])
      })
      start(begun, wanted.settleMs ?? null, lease)
      return begun
    })
  }

  /** What the rotation before has left at Devin, because an answer of Devin came after its end. */
  async function sweep(handle: KeyHandle, latest: Rotation, signal: AbortSignal): Promise<void> {
    const place = new RotationPlace(partsFor(handle, latest, null, new AbortController(), signal))
    await place
      .revokeCreated(latest, 'preparing', latest.phase === 'done' ? [latest.fresh ?? ''] : [])
      .catch((error: unknown) => {
        throw new RotationRefused([messageOf(error)])
      })
  }

  /** Goes on with a rotation that was cut off, or goes back. */
  async function takeUp({ key, by, settleMs = null }: WantedRotation, isBack: boolean): Promise<Rotation> {
    handleOf(key)
    return await alone(key, async (lease) => {
      const latest = await readJournal(folder, key).catch(refusedBy)
      if (latest === null)
        throw new RotationRefused([
          `key "${key}" was never rotated here: there is nothing to ${isBack ? 'undo' : 'take up'}`,
        ])
      if (isOver(latest)) throw new RotationRefused([overText(latest, isBack)])
      if (isBack && latest.phase !== 'undoing' && !canGoBack(latest))
        throw new RotationRefused([
          `the old key ${latest.old.apiKeyId} is being revoked, which cannot be undone: finish with --resume`,
        ])
      const next: Rotation =
        isBack && latest.phase !== 'undoing'
          ? {
              ...latest,
              phase: 'undoing',
              notes: [...latest.notes, { atMs: clock.now(), text: `${by} asked to go back to the old key` }],
            }
          : latest
      const details = { key, rotation: latest.id, phase: latest.phase }
      if (!(await options.audit(isBack ? 'key-rotation-undoing' : 'key-rotation-resumed', by, details)))
        throw new RotationRefused(['the audit log cannot be written, and what is not recorded is not done'])
      await writeJournal(folder, next).catch((error: unknown) => {
        throw new RotationRefused([`the journal cannot be written: ${messageOf(error)}`])
      })
      start(next, settleMs, lease)
      return next
    })
  }

  function start(rotation: Rotation, settleMs: number | null, lease: RotationLease): void {
    const handle = handleOf(rotation.key)
    const stop = new AbortController()
    const parts = partsFor(handle, rotation, settleMs, stop, lease.signal)
    const work = runRotation({ ...rotation, fault: null }, parts)
      .catch(() => null)
      .then(async () => {
        const last = running.get(rotation.key)?.rotation ?? rotation
        running.delete(rotation.key)
        await lease.release()
        options.onEnd(last)
      })
    running.set(rotation.key, { rotation, waiting: null, ended: work, stop })
  }

  function partsFor(
    handle: KeyHandle,
    { by }: Rotation,
    settleMs: number | null,
    stop: AbortController,
    held: AbortSignal,
  ): RotationParts {
    const source = sourceOf(handle)
    const { write } = source ?? { write: null }
    if (source === null || write === null)
      throw new RotationRefused([`key "${handle.id}": its source cannot be written any more`])
    const { key } = { key: handle.id }
    return {
      source: { ...source, write },
      devin: lateChoice(handle),
      fleet: options.fleet(handle, settleMs),
      journal: { write: (rotation) => writeJournal(folder, rotation) },
      clock,
      secretOf: options.secretOf,
      origin: options.origin,
      audit: (event, details) => options.audit(event, by, details),
      tell(text) {
        const here = running.get(key)
        if (here === undefined) return
        here.waiting = text
        options.onEvent(here.rotation, text, false)
      },
      onStep(rotation) {
        const here = running.get(key)
        if (here !== undefined) Object.assign(here, { rotation, waiting: null })
        const text = rotation.fault?.text ?? rotation.notes.at(-1)?.text ?? ''
        options.onEvent(rotation, text, rotation.fault !== null)
      },
      signal: AbortSignal.any([stop.signal, held]),
    }
  }

  /** The rotating key is chosen at each call: the inventory may have changed. */
  function lateChoice(handle: KeyHandle): DevinKeys {
    const chosen = (): DevinKeys => options.devin(handle, rotatingFor(handle))
    return {
      self: (value, signal) => options.devin(handle, handle).self(value, signal),
      active: async (user, signal) => await chosen().active(user, signal),
      create: async (user, name, expiresAtMs, signal) => await chosen().create(user, name, expiresAtMs, signal),
      revoke: async (user, id, signal) => await chosen().revoke(user, id, signal),
    }
  }

  function rotatingFor(handle: KeyHandle): KeyHandle {
    const found = chooseRotating({ ...options, handle, keys: keys() })
    if (typeof found !== 'string') return found
    throw new DevinFault('denied', found)
  }

  return {
    plan,
    begin,
    resume: (wanted: WantedRotation): Promise<Rotation> => takeUp(wanted, false),
    undo: (wanted: WantedRotation): Promise<Rotation> => takeUp(wanted, true),
    latest: (key: string): Promise<Rotation | null> => readJournal(folder, key),
    /** The latest rotation of every key. */
    async list(): Promise<readonly ShownRotation[]> {
      const kept = await readJournals(folder)
      return kept.map((rotation) => {
        const here = running.get(rotation.key)
        return here === undefined
          ? { rotation, live: false, waiting: null }
          : { rotation: here.rotation, live: true, waiting: here.waiting }
      })
    },
    /** Resolves when the rotation of a key that runs here has stopped or is over. */
    whenEnded: async (key: string): Promise<void> => await running.get(key)?.ended,
    /** Stops between two effects; what is not over is taken up later. */
    async close(): Promise<void> {
      isClosed = true
      for (const { stop } of running.values())
        stop.abort(new Error('the process ends; nothing is lost, and the rotation can be taken up again'))
      await Promise.all([...running.values()].map(({ ended }) => ended))
    },
  }
}

export type Rotations = ReturnType<typeof createRotations>

function refusedBy(error: unknown): never {
  throw error instanceof RotationRefused ? error : new RotationRefused([messageOf(error)])
}
