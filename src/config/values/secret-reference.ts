// Makes the paths in references to secrets absolute.

import path from 'node:path'
import type { LocalReference, SecretReference, VaultAuth } from '../secret-schema.ts'

/** The reference with its relative paths read from a folder. */
export function withPathsFrom(folder: string, reference: SecretReference): SecretReference {
  if ('file' in reference || 'env' in reference) return localFrom(folder, reference)
  if ('exec' in reference) {
    const [program = '', ...rest] = reference.exec.command
    const found = program.includes('/') ? path.resolve(folder, program) : program
    return { exec: { ...reference.exec, command: [found, ...rest] } }
  }
  if ('vault' in reference) {
    const { vault: written } = reference
    const ca = written.ca === null ? null : path.resolve(folder, written.ca)
    return { vault: { ...written, ca, auth: authFrom(folder, written.auth) } }
  }
  return reference
}

function authFrom(folder: string, auth: VaultAuth): VaultAuth {
  if ('token' in auth) return { token: localFrom(folder, auth.token) }
  if ('kubernetes' in auth)
    return { kubernetes: { ...auth.kubernetes, path: path.resolve(folder, auth.kubernetes.path) } }
  const { roleId, secretId, mount: at } = auth.approle
  return {
    approle: {
      roleId: typeof roleId === 'string' ? roleId : localFrom(folder, roleId),
      secretId: localFrom(folder, secretId),
      mount: at,
    },
  }
}

function localFrom(folder: string, reference: LocalReference): LocalReference {
  return 'file' in reference ? { file: path.resolve(folder, reference.file) } : reference
}
