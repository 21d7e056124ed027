// References to secrets: where a value is kept, never the value. Shape, validator, and the paths in them made absolute.

import path from 'node:path'
import { z } from 'zod'
import { duration, oneKeyOf, text, textAs } from './fields.ts'
import { parseKvPath, parseServer, serverForm } from './values/secret-places.ts'

/** Where a secret's value comes from. A file is an absolute path. */
export type SecretReference = LocalReference | { readonly exec: ExecReference } | { readonly vault: VaultReference }

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

const variableName = () =>
  z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of an environment variable, without "$"')

const filePath = () => text().regex(/^(?!~)/, '"~" is not replaced: write the whole path')

/** How often a source is asked whether the value is another one. */
const refresh = (usual: string) =>
  duration('1s', '24h')
    .prefault(usual)
    .describe('How often the value is read again, besides at a reload and after a rejection.')

const countOf = (written: object): number => Object.values(written).filter((each) => each !== undefined).length

/** How a secret of this machine is written, in messages. */
export const localForms = 'write { env: NAME } or { file: PATH }'

const localSources = {
  env: variableName().optional().describe('Environment variable that holds the value.'),
  file: filePath()
    .optional()
    .describe('File that holds the value, relative to this file; one final line break is dropped.'),
}

const exec = z
  .strictObject({
    command: z
      .array(z.string().regex(/^[^\0]*$/, 'must not hold a NUL character'))
      .min(1, 'name the program')
      .refine(([program]) => program !== '', { error: 'name the program', path: [0] })
      .describe(
        'Program and arguments; no shell reads them. A program without "/" is looked for on PATH; a relative path is relative to this file.',
      ),
    timeout: duration('10ms', '30s')
      .prefault('5s')
      .describe('How long the program may take; then it is killed with its children.'),
    env: z
      .array(variableName())
      .default([])
      .describe('Environment variables that the program gets beside PATH, HOME, USER, LANG, LC_ALL, TZ and TMPDIR.'),
    refresh: refresh('1m'),
  })
  .transform(({ command, timeout, env, refresh: refreshMs }): ExecReference => ({
    command,
    timeoutMs: timeout,
    env,
    refreshMs,
  }))

const localReference = (what: string) =>
  z
    .strictObject(localSources, {
      // The value that stands here instead of a reference is never repeated.
      error: ({ input }) =>
        typeof input === 'string' ? `${what} is never written in a policy: ${localForms}` : undefined,
    })
    .refine((written) => countOf(written) === 1, {
      error: `${what} has exactly one source: ${localForms}`,
    })
    .meta(oneKeyOf('env', 'file'))
    .transform((written) => written as LocalReference)

const mount = (usual: string) =>
  z
    .string()
    .regex(/^[^\s/?#%]+(?:\/[^\s/?#%]+)*$/, 'must be a mount path like "approle", without slashes around it')
    .prefault(usual)
    .describe('Where the auth method is mounted.')

const vaultAuth = z
  .strictObject({
    token: localReference('a token')
      .optional()
      .describe(
        'A token of your own: it is renewed before its end. A file is read again each time, so an agent may replace it.',
      ),
    approle: z
      .strictObject({
        role_id: z.union([text(), localReference('a role ID')]).describe('Role ID, or the place where it is kept.'),
        secret_id: localReference('a secret ID').describe('Where the secret ID is kept.'),
        mount: mount('approle'),
      })
      .optional()
      .describe('Login with the AppRole method.'),
    kubernetes: z
      .strictObject({
        role: text().describe('Role of the auth method.'),
        path: filePath()
          .prefault('/var/run/secrets/kubernetes.io/serviceaccount/token')
          .describe("File with the service account's token."),
        mount: mount('kubernetes'),
      })
      .optional()
      .describe('Login with the token of a Kubernetes service account.'),
  })
  .refine((written) => countOf(written) === 1, {
    error: 'a login has exactly one method: write token, approle or kubernetes',
  })
  .meta(oneKeyOf('token', 'approle', 'kubernetes'))
  .transform(({ token, approle, kubernetes }): VaultAuth => {
    if (token !== undefined) return { token }
    if (approle !== undefined)
      return { approle: { roleId: approle.role_id, secretId: approle.secret_id, mount: approle.mount } }
    // Exactly one is there.
    return { kubernetes: kubernetes as NonNullable<typeof kubernetes> }
  })

const vault = z
  .strictObject({
    address: textAs(parseServer, { pattern: serverForm }).describe(
      'Address of the server, like https://vault.corp.example:8200. Certificates are always verified.',
    ),
    path: textAs(parseKvPath).describe('Path of the secret in the API of KV version 2: kv/data/devin/payments.'),
    field: text().describe('Field of the secret that holds the value; one final line break is dropped.'),
    namespace: z
      .string()
      .regex(/^[^\s/]+(?:\/[^\s/]+)*$/, 'must be a namespace like "team" or "corp/team", without slashes around it')
      .optional()
      .describe('Namespace (Vault Enterprise, OpenBao).'),
    ca: filePath().optional().describe("CA certificates to trust, a PEM file. Default: the system's."),
    auth: vaultAuth.describe('How the gateway logs in.'),
    refresh: refresh('1m'),
  })
  .transform(({ refresh: refreshMs, namespace = null, ca = null, ...written }): VaultReference => ({
    ...written,
    namespace,
    ca,
    refreshMs,
  }))

const secretSources = {
  ...localSources,
  exec: exec.optional().describe('Program that prints the value on standard output; one final line break is dropped.'),
  vault: vault.optional().describe('Secret in HashiCorp Vault or OpenBao, KV version 2.'),
}
const kinds = Object.keys(secretSources)

const forms = `${localForms}, or name one of ${kinds.slice(2).join(', ')}`

/** A reference with exactly one source. `inline`: what is said of a value that stands in its place. */
export function secretReference(inline: string) {
  return (
    z
      .strictObject(
        secretSources,
        // The value that stands here instead of a reference is never repeated.
        { error: (issue) => (typeof issue.input === 'string' ? inline : undefined) },
      )
      .refine((written) => countOf(written) === 1, {
        error: `a secret has exactly one source: ${forms}`,
      })
      .meta(oneKeyOf(...kinds))
      // Exactly one is there.
      .transform((written) => written as unknown as SecretReference)
  )
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
