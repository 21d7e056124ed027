// The journal of a rotation that runs: each change is on the disk before it counts.

import { messageOf } from '../../../config/values/file-errors.ts'
import type { RotationParts } from '../parts.ts'
import type { RotationPlace } from './place.ts'
import { isOver, type Rotation, type RotationStep } from '../rotation.ts'

export class RotationRecord {
  readonly #parts: RotationParts
  readonly #place: RotationPlace
  #current: Rotation

  constructor(begun: Rotation, parts: RotationParts, place: RotationPlace) {
    this.#current = begun
    this.#parts = parts
    this.#place = place
  }

  get current(): Rotation {
    return this.#current
  }

  /** Writes the next step down. Nothing has changed when this rejects with a RotationFault. */
  async advance(changes: Partial<Rotation>, text: string): Promise<void> {
    const { clock, journal, onStep } = this.#parts
    const before = this.#current
    const { created, phase } = { ...before, ...changes }
    const isOldLost = before.phase === 'revoking' || phase === 'revoking' || isOver({ phase })
    const next: Rotation = {
      ...before,
      ...changes,
      created: isOldLost ? created.map((each) => ({ ...each, sealedOld: null })) : created,
      fault: null,
      failures: before.failures + (isOver({ phase }) && before.reason !== null ? 1 : 0),
      notes: [...before.notes.slice(-50), { atMs: clock.now(), text }],
    }
    await journal.write(next).catch((error: unknown) => {
      throw this.#place.fault(before, this.#running, `the journal cannot be written: ${messageOf(error)}`, true)
    })
    this.#current = next
    onStep(next)
  }

  /** Throws a RotationFault unless the entry is on the disk. */
  async audit(step: RotationStep, event: string, details: Readonly<Record<string, unknown>>): Promise<void> {
    const { id, key, serviceUser } = this.#current
    if (await this.#parts.audit(event, { key, rotation: id, service_user: serviceUser, ...details })) return
    throw this.#place.fault(
      this.#current,
      step,
      'the audit log cannot be written, and what is not recorded is not done',
      true,
    )
  }

  /** Notes why it stops, and rejects with it. */
  async stop(step: RotationStep, error: unknown): Promise<never> {
    const fault = this.#place.fault(this.#current, step, error)
    const stopped: Rotation = {
      ...this.#current,
      fault: { text: fault.message, atMs: this.#parts.clock.now() },
      failures: this.#current.failures + 1,
    }
    // A full disk may be what stopped it.
    await this.#parts.journal.write(stopped).catch(() => {})
    this.#parts.onStep(stopped)
    throw fault
  }

  /** The step that is under way. */
  get #running(): RotationStep {
    const { phase } = this.#current
    return phase === 'done' || phase === 'undone' ? 'preparing' : phase
  }
}
