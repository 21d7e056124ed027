// The key that signs checkpoints: read from its source, and looked at by `check`.

import type { Diagnostic } from '../../config/diagnostics.ts'
import { openToOthers } from '../../config/values/file-errors.ts'
import type { SecretReference } from '../../config/secret-schema.ts'
import { withDeadline } from '../../keys/reading.ts'
import { isLocal, localSource } from '../../keys/sources/local-source.ts'
import { createRemoteSources } from '../../keys/sources/open.ts'
import { SourceFault } from '../../keys/sources/source.ts'
import { CheckpointKeyFault, readSigningKey } from '../../records/checkpoints/checkpoint.ts'

type Environment = Readonly<Record<string, string | undefined>>

const readMs = 10_000

/** What `check` says of the key. `isMissing`: it may be there where the gateway runs. */
export interface CheckpointKeyRemark {
  readonly severity: Diagnostic['severity']
  readonly message: string
  readonly isMissing: boolean
}

/** Opens the place of the key. A server that has to be asked gets a session, which `close` ends. */
export function openKeySource(reference: SecretReference, env: Environment) {
  const remote = createRemoteSources({ env, monotonic: () => performance.now() })
  const source = isLocal(reference) ? localSource(reference, env) : remote.of(reference)
  return {
    place: source.place,
    /** The text that is kept there. Throws SourceFault. */
    async read(): Promise<string> {
      const kept = await withDeadline(source, readMs, (signal) => source.read(signal))
      if (kept instanceof SourceFault) throw kept
      return kept.text
    },
    close: remote.close,
  }
}

/** What to say of a file with the key that other users may read; null where they may not. */
export async function openKeyFile(reference: SecretReference): Promise<string | null> {
  return 'file' in reference ? await openToOthers(reference.file) : null
}

/** Looks at the key. Programs and servers are asked only with `isOnline`, which also makes a missing key an error. */
export async function checkCheckpointKey(
  reference: SecretReference,
  env: Environment,
  isOnline: boolean,
): Promise<readonly CheckpointKeyRemark[]> {
  if (!isLocal(reference) && !isOnline) return []
  const source = openKeySource(reference, env)
  try {
    readSigningKey(await source.read())
    const open = await openKeyFile(reference)
    return open === null ? [] : [{ severity: 'warning', message: open, isMissing: false }]
  } catch (error) {
    if (!(error instanceof SourceFault) && !(error instanceof CheckpointKeyFault)) throw error
    const isMissing = error instanceof SourceFault && (error.kind === 'absent' || error.kind === 'denied')
    const severity = isMissing && !isOnline ? 'warning' : 'error'
    const where = error instanceof SourceFault ? '' : `; it was read from ${source.place}`
    const message = `the signing key of audit checkpoints cannot be used: ${error.message}${where}`
    return [{ severity, message, isMissing }]
  } finally {
    await source.close()
  }
}
