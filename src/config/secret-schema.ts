// Validators of references to secrets: where a value is kept, never the value.

import { z } from 'zod'
import { duration, oneKeyOf, orNull, text, textAs, type ReadonlyOutput } from './fields.ts'
import { kvPathForm, parseKvPath, parseServer, serverForm } from './values/secret-places.ts'

const variableName = () =>
  z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of an environment variable, without "$"')
    .meta({ pattern: '^(?!cog_|apk_)[A-Za-z_][A-Za-z0-9_]*$' })

const filePath = () =>
  text()
    .regex(/^(?!~)/, '"~" is not replaced: write the whole path')
    .meta({ pattern: '^(?!~|cog_|apk_)' })

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
  .transform(({ command, timeout: timeoutMs, env, refresh: refreshMs }) => ({ command, timeoutMs, env, refreshMs }))

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
  .transform(({ token, approle, kubernetes }) => {
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
    path: textAs(parseKvPath, { pattern: kvPathForm }).describe(
      'Path of the secret in the API of KV version 2: kv/data/devin/payments.',
    ),
    field: text().describe('Field of the secret that holds the value; one final line break is dropped.'),
    namespace: orNull(
      z
        .string()
        .regex(/^[^\s/]+(?:\/[^\s/]+)*$/, 'must be a namespace like "team" or "corp/team", without slashes around it'),
    ).describe('Namespace (Vault Enterprise, OpenBao).'),
    ca: orNull(filePath()).describe("CA certificates to trust, a PEM file. Default: the system's."),
    auth: vaultAuth.describe('How the gateway logs in.'),
    refresh: refresh('1m'),
  })
  .transform(({ refresh: refreshMs, ...written }) => ({ ...written, refreshMs }))

const endpoint = () =>
  orNull(textAs(parseServer, { pattern: serverForm })).describe(
    'Address of the API, in place of the usual one: a private endpoint.',
  )

const aws = z
  .strictObject({
    secret: text().describe('Name or ARN of the secret.'),
    field: orNull(text()).describe('Field of the JSON object that the secret holds. Default: the secret is the value.'),
    region: orNull(z.string().regex(/^[a-z]{2,5}(?:-[a-z]+)+-\d+$/, 'must be a region like eu-central-1')).describe(
      "Region. Default: the machine's.",
    ),
    endpoint: endpoint(),
    refresh: refresh('5m'),
  })
  .transform(({ refresh: refreshMs, ...written }) => ({ ...written, refreshMs }))

const google = z
  .strictObject({
    name: z
      .string()
      .regex(
        /^projects\/[^/\s]+(?:\/locations\/[^/\s]+)?\/secrets\/[A-Za-z0-9_-]+(?:\/versions\/[A-Za-z0-9_-]+)?$/,
        'must be the name of a secret like projects/my-project/secrets/devin-payments, or one version of it',
      )
      .describe('Name of the secret: projects/p/secrets/s. Its latest version is read, or the one that is named.'),
    endpoint: endpoint(),
    refresh: refresh('5m'),
  })
  .transform(({ refresh: refreshMs, ...written }) => ({ ...written, refreshMs }))

const azure = z
  .strictObject({
    vault: textAs(parseServer, { pattern: serverForm }).describe(
      'Address of the key vault, like https://corp.vault.azure.net.',
    ),
    name: z
      .string()
      .regex(/^[A-Za-z0-9-]{1,127}$/, 'must be letters, digits and "-", as Azure takes names')
      .describe('Name of the secret.'),
    refresh: refresh('5m'),
  })
  .transform(({ refresh: refreshMs, ...written }) => ({ ...written, refreshMs }))

const secretSources = {
  ...localSources,
  exec: exec.optional().describe('Program that prints the value on standard output; one final line break is dropped.'),
  vault: vault.optional().describe('Secret in HashiCorp Vault or OpenBao, KV version 2.'),
  aws: aws.optional().describe('Secret in AWS Secrets Manager. Needs the package @aws-sdk/client-secrets-manager.'),
  google: google
    .optional()
    .describe('Secret in Google Secret Manager. Needs the package @google-cloud/secret-manager.'),
  azure: azure
    .optional()
    .describe('Secret in Azure Key Vault. Needs the packages @azure/keyvault-secrets and @azure/identity.'),
}
const kinds = Object.keys(secretSources)

const forms = `${localForms}, or name one of ${kinds.slice(2).join(', ')}`

/** A program that prints the value. */
export type ExecReference = ReadonlyOutput<typeof exec>
/** A field of a secret in HashiCorp Vault or OpenBao. Its address has no slash at its end. */
export type VaultReference = ReadonlyOutput<typeof vault>
export type VaultAuth = ReadonlyOutput<typeof vaultAuth>
export type AwsReference = ReadonlyOutput<typeof aws>
export type GoogleReference = ReadonlyOutput<typeof google>
export type AzureReference = ReadonlyOutput<typeof azure>

/** A secret that this machine holds. */
export type LocalReference = { readonly env: string } | { readonly file: string }

/** Where a secret's value comes from. A file is an absolute path. Times in milliseconds. */
export type SecretReference =
  | LocalReference
  | { readonly exec: ExecReference }
  | { readonly vault: VaultReference }
  | { readonly aws: AwsReference }
  | { readonly google: GoogleReference }
  | { readonly azure: AzureReference }

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
