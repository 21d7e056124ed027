// Signs the head of the audit chain at intervals and on demand, and sends it to places outside.

import type { ChainHead } from '../audit/chain.ts'
import {
  checkpointKeyId,
  CheckpointKeyFault,
  readSigningKey,
  signCheckpoint,
  type Checkpoint,
  type CheckpointKey,
} from './checkpoint.ts'
import { Outbox, type OutboxOptions, type PlaceStatus } from './outbox.ts'
import type { CheckpointTarget } from '../../config/records/checkpoint-schema.ts'
import { openPlace } from './places.ts'

/** What is configured. */
export interface CheckpointSettings {
  readonly origin: string
  readonly everyMs: number
  readonly targets: readonly CheckpointTarget[]
  /** The private key in PEM form, as its source has it now. Rejects with a reason in words. */
  readonly readKey: () => Promise<string>
  /** Where that is, in words. */
  readonly keyPlace?: string
  /** Ends the session with the server that keeps the key, where there is one. */
  readonly closeKey?: () => Promise<void>
  /** Of the outboxes; the defaults suit production. */
  readonly pace?: Pick<OutboxOptions, 'maxWaiting' | 'retryMs' | 'sendMs'>
}

/** What others see of it, in this process or in a worker. */
export interface CheckpointsHandle {
  /** Null where none are configured. */
  status(): CheckpointsStatus | null
  now(): Promise<CheckpointOutcome | null>
  renewKey?(): void
}

export interface CheckpointsStatus {
  readonly origin: string
  /** Of the key in use; null while there is none. */
  readonly keyId: string | null
  /** Why the key's source gives no usable key now; null while it does. */
  readonly keyError: string | null
  readonly places: readonly PlaceStatus[]
}

/** What one on demand came to. `error`: why there is none. */
export type CheckpointOutcome =
  | {
      readonly checkpoint: Checkpoint
      readonly places: readonly { readonly place: string; readonly delivered: boolean; readonly error: string | null }[]
    }
  | { readonly error: string }

interface CheckpointsOptions {
  readonly settings: CheckpointSettings
  /** The last line that is on the disk. */
  readonly head: () => ChainHead
  readonly nowMs: () => number
  readonly onTrouble: (text: string) => void
}

/** So often the source of the key is read again. */
const keyMs = 600_000
/** So long an end waits for the places. */
const closeMs = 5_000

export class Checkpoints {
  readonly #options: CheckpointsOptions
  readonly #outboxes: readonly Outbox[]
  readonly #timers: readonly NodeJS.Timeout[]
  #key: CheckpointKey | null = null
  #keyError: string | null = null

  /** Reads the key first. Rejects with `CheckpointKeyFault` for one that cannot be used; a source that cannot be reached is tried again. */
  static async open(options: CheckpointsOptions): Promise<Checkpoints> {
    const checkpoints = new Checkpoints(options)
    await checkpoints.#readKey().catch(async (error: unknown) => {
      await checkpoints.close(false)
      throw error
    })
    return checkpoints
  }

  private constructor(options: CheckpointsOptions) {
    const { settings, nowMs, onTrouble } = options
    this.#options = options
    this.#outboxes = settings.targets.map(
      (target) => new Outbox({ place: openPlace(target), nowMs, onTrouble, ...settings.pace }),
    )
    this.#timers = [
      setInterval(() => void this.now(), settings.everyMs).unref(),
      setInterval(() => this.renewKey(), keyMs).unref(),
    ]
  }

  /** Reads the key again. One that cannot be used leaves the one before in use. */
  renewKey(): void {
    this.#readKey().catch(() => {
      // The status says it.
    })
  }

  /** Signs the head as it is and offers it to every place. Never rejects, and waits for one attempt at most. */
  async now(): Promise<CheckpointOutcome> {
    const { settings, head, nowMs } = this.#options
    if (this.#key === null) await this.#readKey().catch(() => {})
    if (this.#key === null) return { error: `no checkpoint can be signed: ${this.#keyError ?? 'there is no key'}` }
    const current = head()
    if (current.seq === 0) return { error: 'the audit log holds no entry yet' }
    const checkpoint = signCheckpoint(settings.origin, current, new Date(nowMs()).toISOString(), this.#key)
    const line = JSON.stringify(checkpoint)
    const places = await Promise.all(
      this.#outboxes.map(async (outbox) => {
        const delivered = await outbox.add(line, checkpoint.sequence)
        const { place, error } = outbox.status()
        return { place, delivered, error: delivered ? null : error }
      }),
    )
    return { checkpoint, places }
  }

  status(): CheckpointsStatus {
    const { origin } = this.#options.settings
    return {
      origin,
      keyId: this.#key === null ? null : checkpointKeyId(origin, this.#key),
      keyError: this.#keyError,
      places: this.#outboxes.map((outbox) => outbox.status()),
    }
  }

  /** Signs once more, gives the places a few seconds, and ends. What has not arrived then is covered by the first one of the next start. */
  async close(withLast = true): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer)
    let deadline: NodeJS.Timeout | undefined
    if (withLast) await Promise.race([this.now(), new Promise((resolve) => (deadline = setTimeout(resolve, closeMs)))])
    clearTimeout(deadline)
    for (const outbox of this.#outboxes) outbox.close()
    await this.#options.settings.closeKey?.()
  }

  async #readKey(): Promise<void> {
    const { settings, onTrouble } = this.#options
    let where = ''
    try {
      const text = await settings.readKey()
      if (settings.keyPlace !== undefined) where = `; it was read from ${settings.keyPlace}`
      this.#key = readSigningKey(text)
      this.#keyError = null
      return
    } catch (error) {
      const fault = error instanceof Error ? error.message : 'unknown error'
      const text = `the signing key of audit checkpoints cannot be used: ${fault}${where}`
      if (this.#keyError !== text) onTrouble(text)
      this.#keyError = text
      if (error instanceof CheckpointKeyFault) throw new CheckpointKeyFault(text)
    }
  }
}
