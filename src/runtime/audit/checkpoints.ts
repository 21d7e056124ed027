// Checkpoints of the audit log as they are configured: the signing key from its source, the places, what the log says.

import { hostname } from 'node:os'
import type { Config } from '../../config/load.ts'
import { SourceFault } from '../../keys/sources/source.ts'
import type { ChainHead } from '../../records/audit/chain.ts'
import { CheckpointKeyFault } from '../../records/checkpoints/checkpoint.ts'
import { Checkpoints, type CheckpointsStatus } from '../../records/checkpoints/checkpoints.ts'
import type { Log } from '../../records/log.ts'
import { openKeyFile, openKeySource } from './checkpoint-key.ts'

interface Opening {
  readonly config: Config
  readonly env: Readonly<Record<string, string | undefined>>
  readonly log: Log
  readonly now: () => number
  /** The last audit line that is on the disk. */
  readonly head: () => ChainHead
}

/** Null where none are configured. Rejects with a sentence when the key cannot be used; a source that is away is asked again. */
export async function openCheckpoints({ config, env, log, now, head }: Opening): Promise<Checkpoints | null> {
  if (config.checkpoints === null) return null
  const { origin, key, everyMs, targets } = config.checkpoints
  const source = openKeySource(key, env)
  const warning = await openKeyFile(key)
  if (warning !== null) log.warn({ event: 'audit-checkpoints' }, warning)
  return await Checkpoints.open({
    settings: {
      // A note names its key by its origin, which holds neither white space nor "+".
      origin: origin ?? `devin-gateway/${hostname().replaceAll(/[\s+]/g, '-')}`,
      everyMs,
      targets,
      readKey: async () => {
        try {
          return await source.read()
        } catch (error) {
          if (error instanceof SourceFault && error.kind !== 'unavailable') throw new CheckpointKeyFault(error.message)
          throw error
        }
      },
      keyPlace: source.place,
      closeKey: source.close,
    },
    head,
    nowMs: now,
    onTrouble: (text) => log.error({ event: 'audit-checkpoints' }, text),
  })
}

/** Notes of `/readyz`: what is not as it should be. */
export function checkpointNotes(status: CheckpointsStatus | null): readonly string[] {
  if (status === null) return []
  const away = status.places.flatMap(({ place, error, waiting }) =>
    error === null ? [] : [`audit checkpoints do not reach ${place}: ${error}; ${waiting} wait`],
  )
  return [...(status.keyError === null ? [] : [status.keyError]), ...away]
}
