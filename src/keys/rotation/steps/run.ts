// Rotates one key: step by step, each written down before it begins, so that it can be taken up again wherever it was cut off.

import type { Secret } from '../../secret.ts'
import { valueFault } from '../../value-fault.ts'
import type { RotationParts } from '../parts.ts'
import { openOld, RotationPlace, sealOld, type KeptValue } from './place.ts'
import { RotationRecord } from './record.ts'
import {
  canGoBack,
  fingerprintOf,
  namesOf,
  type Rotation,
  type RotationFault,
  type RotationPhase,
  type RotationStep,
} from '../rotation.ts'

/** Waits before a step that failed for what may pass is tried again. */
const pausesMs = [1_000, 2_000, 5_000, 10_000, 15_000]
const mostCreated = 5
const changed = 'the source gives another value than when the rotation began: somebody else has changed it'
/** How long a request to a source may be on its way. */
const lateWriteMs = 10_000

/** Goes on until it is over. Rejects with the RotationFault that stopped it, which its journal says too. */
export async function runRotation(begun: Rotation, parts: RotationParts): Promise<Rotation> {
  const run = new RotationRun(begun, parts)
  try {
    return await run.go()
  } finally {
    parts.fleet.release()
  }
}

class RotationRun {
  readonly #parts: RotationParts
  readonly #place: RotationPlace
  readonly #record: RotationRecord
  /** The value of the latest created key, until the source gives it. */
  #unkept: Secret | null = null
  #hasWaited = false

  constructor(begun: Rotation, parts: RotationParts) {
    this.#parts = parts
    this.#place = new RotationPlace(parts)
    this.#record = new RotationRecord(begun, parts, this.#place)
  }

  async go(): Promise<Rotation> {
    let [tries, lastPhase]: [number, RotationPhase | null] = [0, null]
    for (;;) {
      const { phase } = this.#record.current
      if (phase === 'done' || phase === 'undone') return this.#record.current
      if (phase !== lastPhase) tries = 0
      lastPhase = phase
      try {
        this.#parts.signal.throwIfAborted()
        await this.#steps[phase]()
      } catch (error) {
        const fault = this.#place.fault(this.#record.current, phase, error)
        const pauseMs = pausesMs[tries]
        tries += 1
        if (this.#parts.signal.aborted) throw fault
        if (fault.mayPass && pauseMs !== undefined) await this.#pause(fault, pauseMs)
        // Nobody uses the new key yet, so nothing is lost by going back.
        else if (!fault.mayPass && (phase === 'creating' || phase === 'writing') && canGoBack(this.#record.current))
          await this.#goBack(fault.message).catch((other: unknown) => this.#record.stop(phase, other))
        else await this.#record.stop(phase, fault)
      }
    }
  }

  async #pause(fault: RotationFault, pauseMs: number): Promise<void> {
    const { clock, signal, tell } = this.#parts
    tell(`${fault.message}; it is tried again`)
    await clock.sleep(Math.max(pauseMs, fault.waitMs), signal).catch(() => {})
  }

  readonly #steps = {
    creating: () => this.#create(),
    writing: () => this.#write(),
    trying: () => this.#try(),
    settling: () => this.#settle(),
    revoking: () => this.#revoke(),
    undoing: () => this.#undo(),
  } as const

  async #create(): Promise<void> {
    const rotation = this.#record.current
    const { devin, origin, signal, secretOf } = this.#parts
    const kept = await this.#notYet('creating')
    if (kept === null) return
    if (rotation.created.length >= mostCreated)
      throw this.#fault('creating', `${mostCreated} new keys were created, and the source gives none that works`)
    const known = rotation.created.map(({ apiKeyId }) => apiKeyId)
    await this.#place.revokeCreated(rotation, 'creating', known)
    signal.throwIfAborted()
    const name = `${namesOf(rotation)}of ${rotation.key} (${known.length + 1})`.slice(0, 256)
    const expiresAtMs = rotation.lifetimeMs === null ? null : this.#parts.clock.now() + rotation.lifetimeMs
    const { id, value } = await devin.create(rotation.serviceUser, name, expiresAtMs, signal)
    try {
      const fault = valueFault(value)
      if (fault !== null)
        throw this.#fault('creating', `the value of the new key ${id} is no service-user key: ${fault}`)
      const fresh = secretOf(value)
      if (!(await this.#place.becomesKnown(rotation, 'creating', fresh)))
        throw this.#fault('creating', `Devin does not accept the new key ${id}`)
      if (!(await this.#place.livesLongEnough(rotation, 'creating', id)))
        throw this.#fault(
          'creating',
          `the new key ${id} would end earlier than rotate.lifetime says: set the clock of this machine, which differs from Devin's`,
        )
      const created = {
        apiKeyId: id,
        fingerprint: fingerprintOf(fresh, rotation),
        sealedOld: canGoBack(rotation) ? sealOld(kept.value, fresh, rotation, origin) : null,
      }
      await this.#record.audit('creating', 'key-rotation-created', { api_key_id: id })
      await this.#record.advance(
        { phase: 'writing', created: [...rotation.created, created] },
        `${id} was created at Devin, and works`,
      )
      this.#unkept = fresh
    } catch (error) {
      // Its value is known here only. What stays is found by its name.
      await this.#place.revoke(rotation, 'creating', id).catch(() => {})
      throw error
    }
  }

  async #write(): Promise<void> {
    const { source, fleet } = this.#parts
    if ((await this.#notYet('writing')) === null) return
    const { created } = this.#record.current
    if (this.#unkept === null && !this.#hasWaited) {
      // A write of the process before may still be on its way.
      this.#hasWaited = true
      return await this.#parts.clock.sleep(lateWriteMs, this.#parts.signal)
    }
    if (this.#unkept === null)
      return await this.#record.advance(
        { phase: 'creating' },
        `the value of ${created.at(-1)?.apiKeyId ?? 'the new key'} was lost before it was written to ${source.place}; another key is created`,
      )
    fleet.hold(this.#unkept)
    await this.#place.keep(this.#record.current, 'writing', this.#unkept)
    await this.#take(created.at(-1)?.apiKeyId ?? '')
  }

  /**
   * What the source gives while it does not give the value of a new key that can be tried. Null when it does, or when somebody
   * else's value is there, and the next step is written down.
   */
  async #notYet(step: RotationStep): Promise<KeptValue | null> {
    const rotation = this.#record.current
    const kept = await this.#place.kept(rotation, step)
    if (kept.kind === 'old') return kept
    if (kept.kind !== 'created') await this.#goBack(changed, true)
    // Where there is a way back, the trial finds that a key does not work.
    else if (!canGoBack(rotation) && !(await this.#place.works(rotation, step, kept.value))) return kept
    else await this.#take(kept.created.apiKeyId)
    return null
  }

  /** The source gives the value of this key. */
  async #take(apiKeyId: string): Promise<void> {
    await this.#record.advance(
      { phase: 'trying', fresh: apiKeyId },
      `${this.#parts.source.place} gives the value of ${apiKeyId}`,
    )
  }

  async #try(): Promise<void> {
    const { fleet, signal } = this.#parts
    const value = await this.#fresh('trying')
    if (value === null) return
    fleet.hold(value)
    const tried = await fleet.tryOut(value, signal)
    if (tried?.isRejected === true) {
      const reason = 'Devin rejected the new key in a request'
      if (!canGoBack(this.#record.current)) throw this.#fault('trying', reason)
      return await this.#goBack(reason)
    }
    await this.#record.advance(
      { phase: 'settling' },
      tried === null
        ? 'no gateway runs here, so no share of the requests has tried the new key'
        : tried.answered === 0
          ? 'no request has tried the new key meanwhile'
          : `a share of the requests has tried the new key: ${tried.answered} answered, none rejected`,
    )
  }

  async #settle(): Promise<void> {
    const { fleet, signal, tell } = this.#parts
    const value = await this.#fresh('settling')
    if (value === null) return
    await fleet.use(value, tell, signal)
    if ((await this.#fresh('settling')) === null) return
    await this.#record.advance({ phase: 'revoking' }, fleet.settled)
  }

  async #revoke(): Promise<void> {
    const rotation = this.#record.current
    const value = await this.#fresh('revoking')
    if (value === null) return
    const { old, fresh } = rotation
    await this.#record.audit('revoking', 'key-rotation-revoking', { api_key_id: fresh, old_api_key_id: old.apiKeyId })
    await this.#place.revoke(rotation, 'revoking', old.apiKeyId)
    await this.#place.revokeCreated(rotation, 'revoking', [fresh ?? ''])
    await this.#end('done', `${old.apiKeyId} was revoked`)
  }

  /**
   * The new value, which the source gives and Devin accepts. Null when another step is next instead: because the source gives
   * another one, or Devin rejects this one.
   */
  async #fresh(step: RotationStep): Promise<Secret | null> {
    const rotation = this.#record.current
    const kept = await this.#place.kept(rotation, step)
    const isFresh = kept.kind === 'created' && kept.created.apiKeyId === rotation.fresh
    if (kept.kind === 'created' && !isFresh) {
      await this.#take(kept.created.apiKeyId)
      return null
    }
    const works = await this.#place.works(rotation, step, kept.value)
    if (works && isFresh) return kept.value
    if (!works && !isFresh && (kept.kind === 'foreign' || canGoBack(rotation)))
      throw this.#fault(
        step,
        'the source does not give the new value, and Devin rejects the one that it gives: write a value that works into the source',
      )
    const gives = `${this.#parts.source.place} gives ${kept.kind === 'old' ? 'the old' : 'another'} value instead of the new one`
    await this.#goBack(isFresh ? `Devin rejects the new key ${rotation.fresh ?? ''}` : gives, kept.kind === 'foreign')
    return null
  }

  async #undo(): Promise<void> {
    const rotation = this.#record.current
    const { fleet, secretOf, signal, source, tell } = this.#parts
    const kept = await this.#place.kept(rotation, 'undoing')
    let { value } = kept
    // What somebody else had put into the source is gone again.
    if (kept.kind !== 'foreign' && !canGoBack(rotation))
      return await this.#goBack(`${source.place} gives no other value any more`)
    if (kept.kind === 'created') {
      const text = openOld(kept.created, kept.value, rotation)
      const old = text === null ? null : secretOf(text)
      if (old === null || !(await this.#place.works(rotation, 'undoing', old))) {
        if (!(await this.#place.works(rotation, 'undoing', kept.value)))
          throw this.#fault(
            'undoing',
            'Devin rejects the old key and the new one: create a key of the service user at Devin, and write its value into the source',
          )
        await this.#record.advance(
          { phase: 'trying', fresh: kept.created.apiKeyId, reason: null },
          'the old key does not work any more',
        )
        throw this.#fault(
          'undoing',
          'the old key does not work any more, so this cannot be undone; the new key works and is in use: finish with --resume',
        )
      }
      await this.#place.keep(rotation, 'undoing', old)
      value = old
    }
    // Before a created key is noted, its value is not written anywhere, and used nowhere.
    if (rotation.created.length > 0 || kept.kind !== 'old') await fleet.use(value, tell, signal)
    await this.#place.revokeCreated(rotation, 'undoing', [])
    const back = kept.kind === 'foreign' ? `the value that ${source.place} gives` : 'the old key'
    await this.#end('undone', `${back} is in use, and the new keys are revoked`)
  }

  async #end(phase: 'done' | 'undone', text: string): Promise<void> {
    await this.#record.audit(
      phase === 'done' ? 'revoking' : 'undoing',
      phase === 'done' ? 'key-rotated' : 'key-rotation-undone',
      {
        api_key_id: this.#record.current.fresh,
        old_api_key_id: this.#record.current.old.apiKeyId,
        ...(this.#record.current.reason === null ? {} : { reason: this.#record.current.reason }),
      },
    )
    await this.#record.advance({ phase, endedAtMs: this.#parts.clock.now() }, text)
  }

  /** Back to the old key, or to what somebody else has put into the source. Without a way back: on to another new key. */
  async #goBack(reason: string, isForeign = false): Promise<void> {
    const [phase, text]: [RotationPhase, string] = isForeign
      ? ['undoing', 'that one stays']
      : canGoBack(this.#record.current)
        ? ['undoing', 'it goes back to the old key']
        : ['creating', 'the old key is being revoked, so another new one is created']
    await this.#record.advance({ phase, reason: phase === 'undoing' ? reason : null }, `${reason}; ${text}`)
  }

  #fault(step: RotationStep, why: string): RotationFault {
    return this.#place.fault(this.#record.current, step, why)
  }
}
