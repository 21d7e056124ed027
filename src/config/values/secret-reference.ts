// References to secrets: where a value is kept, never the value; and the paths in them made absolute.

import path from 'node:path'

/** Where a secret's value comes from. A file is an absolute path. */
export type SecretReference =
  | LocalReference
  | { readonly exec: ExecReference }
  | { readonly vault: VaultReference }
  | { readonly aws: AwsReference }
  | { readonly google: GoogleReference }
  | { readonly azure: AzureReference }

/** A secret that this machine holds. */
export type LocalReference = { readonly env: string } | { readonly file: string }

/** A program that prints the value. */
export interface ExecReference {
  /** The program and its arguments; no shell reads them. */
  readonly command: readonly string[]
  readonly timeoutMs: number
  /** Names of environment variables that the program gets beside the usual ones. */
  readonly env: readonly string[]
  readonly refreshMs: number
}

/** A field of a secret in HashiCorp Vault or OpenBao, KV version 2. */
export interface VaultReference {
  /** Without a slash at its end. */
  readonly address: string
  /** Of the API, below `/v1/`: `kv/data/devin/payments`. */
  readonly path: string
  readonly field: string
  readonly namespace: string | null
  /** File with the only certificate authorities to trust; null for the system's. */
  readonly ca: string | null
  readonly auth: VaultAuth
  readonly refreshMs: number
}

export type VaultAuth =
  | { readonly token: LocalReference }
  | {
      readonly approle: {
        readonly roleId: LocalReference | string
        readonly secretId: LocalReference
        readonly mount: string
      }
    }
  /** `path`: the file of the service account's token. */
  | { readonly kubernetes: { readonly role: string; readonly path: string; readonly mount: string } }

/** A secret in AWS Secrets Manager. */
export interface AwsReference {
  /** Name or ARN. */
  readonly secret: string
  /** Of the JSON object that the secret holds; null where the secret is the value. */
  readonly field: string | null
  /** Null for the one of the machine. */
  readonly region: string | null
  /** In place of Amazon's own address. */
  readonly endpoint: string | null
  readonly refreshMs: number
}

/** A secret in Google Secret Manager. */
export interface GoogleReference {
  /** `projects/p/secrets/s`, or one version of it. */
  readonly name: string
  /** In place of Google's own address. */
  readonly endpoint: string | null
  readonly refreshMs: number
}

/** A secret in Azure Key Vault. */
export interface AzureReference {
  /** Address of the vault. */
  readonly vault: string
  readonly name: string
  readonly refreshMs: number
}

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
