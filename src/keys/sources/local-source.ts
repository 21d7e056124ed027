// Secrets that this machine keeps itself: nobody has to be asked.

import type { LocalReference, SecretReference } from '../../config/secret-schema.ts'
import { envSource } from './env-source.ts'
import { fileSource } from './file-source.ts'
import type { SecretSource } from './source.ts'

/** Whether a secret is in a file or a variable of this machine. */
export function isLocal(reference: SecretReference): reference is LocalReference {
  return 'env' in reference || 'file' in reference
}

/** The source of such a secret. */
export function localSource(
  reference: LocalReference,
  env: Readonly<Record<string, string | undefined>>,
): SecretSource {
  return 'env' in reference ? envSource(reference.env, env) : fileSource(reference.file)
}
