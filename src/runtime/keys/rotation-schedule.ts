// Rotates keys by themselves when they are due, one after the other, and tells of rotations that have stopped.

import type { KeyHandle, KeyRotation } from '../../keys/key.ts'
import { canUndo, isOver, orUndo, type Rotation } from '../../keys/rotation/rotation.ts'
import { dueAtMs, failedBefore, madeAtMs, retryAtMs } from '../../keys/rotation/schedule.ts'
import { RotationRefused } from '../../keys/rotation/asked.ts'
import type { Rotations } from '../../keys/rotation/service.ts'
import type { Instruments } from '../../metrics/instruments.ts'
import type { Log } from '../../records/log.ts'

export interface ScheduleOptions {
  readonly rotations: Pick<Rotations, 'begin' | 'latest' | 'list' | 'plan' | 'resume' | 'whenEnded'>
  readonly keys: () => readonly KeyHandle[]
  readonly now: () => number
  readonly log: Log
  readonly instruments: Pick<Instruments, 'keyRotationStates'>
}

/** What is known of one key that has a schedule, or a rotation. */
interface KeyState {
  /** When the key in use was made; null while nobody knows. */
  madeAtMs: number | null
  /** Why a rotation did not begin, when, and how often in a row. */
  refused: Pick<Rotation, 'fault' | 'failures'>
}

const lookEveryMs = 60_000
const by = 'schedule'

/** Nothing begins before `start`. */
export function watchSchedule({ rotations, keys, now, log, instruments }: ScheduleOptions) {
  const states = new Map<string, KeyState>()
  let notes: readonly string[] = []
  let timer: NodeJS.Timeout | undefined
  let looking: Promise<void> | null = null
  let isStopped = false

  function stateOf(key: string): KeyState {
    const state = states.get(key) ?? { madeAtMs: null, refused: { fault: null, failures: 0 } }
    states.set(key, state)
    return state
  }

  async function look(): Promise<void> {
    for (const handle of keys()) {
      if (isStopped || handle.rotate === null) continue
      await lookAt(handle, handle.rotate).catch((error: unknown) => {
        log.error(
          { event: 'defect', error },
          "looking after the rotation of a key failed for a reason of the gateway's own",
        )
      })
    }
    await review()
  }

  async function lookAt({ id: key }: KeyHandle, { everyMs }: KeyRotation): Promise<void> {
    const state = stateOf(key)
    if (now() < retryAtMs(state.refused)) return
    await trying(state, key, async () => {
      const latest = await rotations.latest(key)
      if (latest !== null && !isOver(latest)) {
        if (now() < retryAtMs(latest)) return
        await rotations.resume({ key, by })
      } else {
        state.madeAtMs ??= madeAtMs(latest)
        if (state.madeAtMs !== null && now() < dueAtMs(key, everyMs, state.madeAtMs)) return
        if (latest !== null && now() < retryAtMs(failedBefore(latest))) return
        // Another instance may have rotated it since.
        const plan = await rotations.plan({ key, by })
        if (plan.refusals.length > 0) throw new RotationRefused(plan.refusals)
        state.madeAtMs = plan.old?.createdAtMs ?? null
        if (state.madeAtMs === null || now() < dueAtMs(key, everyMs, state.madeAtMs)) return
        await rotations.begin({ key, by })
      }
      await rotations.whenEnded(key)
      state.madeAtMs = madeAtMs(await rotations.latest(key))
    })
  }

  async function trying(state: KeyState, key: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
      state.refused = { fault: null, failures: 0 }
    } catch (error) {
      if (!(error instanceof RotationRefused)) throw error
      const text = error.reasons.join('; ')
      state.refused = { fault: { text, atMs: now() }, failures: state.refused.failures + 1 }
      log.error(
        { event: 'key-rotation-refused', key, reasons: error.reasons },
        'a key cannot be rotated; it is tried again later',
      )
    }
  }

  /** Brings what is told up to date. */
  async function review(): Promise<void> {
    const list = await rotations.list()
    const known = new Set(keys().map(({ id }) => id))
    notes = [
      ...list
        .filter(({ rotation, live }) => known.has(rotation.key) && !live && !isOver(rotation))
        .map(({ rotation }) => {
          const { key, id, fault } = rotation
          const why = fault === null ? 'it was cut off' : fault.text
          return `the rotation ${id} of key "${key}" has stopped: ${why}. Take it up with "devin-gateway rotate ${key} --resume"${orUndo(rotation.phase, canUndo(rotation))}`
        }),
      ...keys().flatMap(({ id, rotate }) => {
        const { madeAtMs: made, refused } = stateOf(id)
        if (rotate === null) return []
        const why = refused.fault === null ? '' : `: ${refused.fault.text}`
        if (made !== null && now() > made + rotate.everyMs)
          return [`key "${id}" is older than rotate.every allows${why}`]
        return refused.fault === null ? [] : [`key "${id}" cannot be rotated${why}`]
      }),
    ]
    measure()
  }

  function measure(): void {
    instruments.keyRotationStates(
      keys().flatMap(({ id: key, rotate }) => {
        const { madeAtMs: made, refused } = stateOf(key)
        const isFailing = refused.fault !== null || notes.some((note) => note.includes(`key "${key}"`))
        if (rotate === null && !isFailing) return []
        const dueMs = rotate === null || made === null ? null : dueAtMs(key, rotate.everyMs, made)
        return [{ key, dueAtMs: dueMs, madeAtMs: made, isFailing }]
      }),
    )
  }

  function lookNow(): Promise<void> {
    return (looking ??= look().finally(() => (looking = null)))
  }

  return {
    get notes(): readonly string[] {
      return notes
    },
    /** To be called when a rotation has stopped or is over. */
    review,
    lookNow,
    async start(): Promise<void> {
      await review()
      // Instances that began together look at different times.
      timer = setTimeout(
        () => {
          void lookNow()
          timer = setInterval(() => void lookNow(), lookEveryMs).unref()
        },
        5_000 + Math.random() * 5_000,
      ).unref()
    },
    stop(): void {
      isStopped = true
      clearTimeout(timer)
    },
  }
}
