// Shape of keys.yaml, the inventory of service-user keys: validator, type and reader. Values are never written there.

import path from 'node:path'
import { z } from 'zod'
import type { Diagnostic } from '../../config/diagnostics.ts'
import { duration, id, most, text, upTo, where, withoutTwins, word } from '../../config/fields.ts'
import { localForms, secretReference, type SecretReference } from '../../config/secret-schema.ts'
import { isReadOnTheWay } from '../../config/values/secret-places.ts'
import { withPathsFrom } from '../../config/values/secret-reference.ts'
import type { Position, PositionOf } from '../../config/yaml/document.ts'
import type { KeyRotation } from '../../keys/key.ts'
import { dayForm, organizationId, readDocument, type DocumentResult } from './document-fields.ts'

export interface KeyDocument {
  readonly file: string
  /** Of its id. */
  readonly line: number
  /** Where it says where its value comes from. */
  readonly secretPlace: Position
  readonly id: string
  readonly scope: 'organization' | 'enterprise'
  /** Set exactly when the scope is `organization`. */
  readonly organization: string | null
  readonly permissions: readonly string[]
  /** Its paths are absolute. */
  readonly secret: SecretReference
  readonly servesOrganizations: 'none' | 'all' | readonly string[]
  /** The service user that the key must belong to. */
  readonly serviceUser: string | null
  /** A date (its first moment, UTC) or a date and time, as ISO 8601 writes them. */
  readonly expires: string | null
  /** Whether uses elsewhere are looked for. */
  readonly watch: boolean
  /** Null: it is rotated by hand. */
  readonly rotate: KeyRotation | null
  /** Paths begin at this key: `['permissions', 0]`. */
  readonly positionOf: PositionOf
}

export interface KeysDocument {
  readonly kind: 'keys'
  readonly file: string
  readonly keys: readonly KeyDocument[]
}

const isoDate =
  /^(\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01]))(?:T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,3})?Z)?$/
const secret = secretReference(
  `a secret is never written in a policy: ${localForms}, and replace the key that was written here`,
)

const rotate = z
  .strictObject({
    every: duration('1h', '1000d').describe(
      'How old a key may become. It is rotated up to a tenth of this time earlier, so that not all keys are rotated at once.',
    ),
    lifetime: duration('2h', '2000d')
      .optional()
      .describe('How long after its creation a new key ends at Devin: twice `every` at least. Default: never.'),
    settle: duration('0s', '1h')
      .optional()
      .describe(
        'Without a shared store: how long other instances may take to read the new value, before the old key is revoked. Default: as long as the kind of the source needs.',
      ),
  })
  .refine(({ every, lifetime }) => lifetime === undefined || lifetime >= 2 * every, {
    error: 'lifetime must be at least twice every: a rotation that fails for a while must not leave an ended key',
    path: ['lifetime'],
  })
  .transform(({ every, lifetime, settle }): KeyRotation => ({
    everyMs: every,
    lifetimeMs: lifetime ?? null,
    settleMs: settle ?? null,
  }))

const key = z
  .strictObject({
    id: id().describe('Name of the key: the handle that stands in records and in the inventory.'),
    scope: z.enum(['organization', 'enterprise']).describe('Where the service user lives.'),
    organization: organizationId().optional().describe('The one organization of an organization key.'),
    permissions: upTo(most.words, 'permissions', z.array(word('permissions'))).describe(
      'Permissions of the service user, by their Devin names.',
    ),
    secret: secret.describe('Where the value comes from; never the value.'),
    service_user: text()
      .optional()
      .describe(
        'Id of the service user at Devin that the key belongs to, or its name. A key of another one is quarantined.',
      ),
    serves_organizations: z
      .union([
        z.enum(['none', 'all']),
        upTo(most.organizations, 'organizations', z.array(organizationId())).min(
          1,
          'name at least one organization, or "none" or "all"',
        ),
      ])
      .default('none')
      .describe('Organizations that an enterprise key may serve where no organization key suffices.'),
    expires: z
      .string()
      .refine(isIsoDate, { error: 'must be a date like 2027-01-31, or a date and time like 2027-01-31T12:00:00Z' })
      .meta({
        pattern: `^${dayForm}(T([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,3})?Z)?$`,
        title: 'date',
        examples: ['2027-01-31', '2027-01-31T12:00:00Z'],
      })
      .optional()
      .describe(
        'End of life of the key in UTC: a date (its last day), or a date and time. From then on it is not used.',
      ),
    watch: z
      .boolean()
      .default(false)
      .describe(
        'Whether the audit log of Devin is searched for uses of the key that did not pass through the gateway.',
      ),
    rotate: rotate.optional().describe('Rotates the key at Devin by itself.'),
  })
  .superRefine(checkKey, { when: ({ value }) => typeof value === 'object' && value !== null })
  .meta({
    allOf: [
      where('scope', 'organization', {
        required: ['organization'],
        properties: { serves_organizations: { const: 'none' } },
      }),
      where('scope', 'enterprise', { properties: { organization: false } }),
    ],
  })

/** Schema of `keys.yaml`. */
export const keysSchema = z
  .strictObject({
    keys: withoutTwins(upTo(most.keys, 'keys', z.array(key)), 'key').describe(
      'The service-user keys the gateway may use.',
    ),
  })
  .describe('The inventory of service-user keys. Values are never written here.')

/** Reads the inventory. Secret files are resolved against the directory of `file`. */
export function readKeys(file: string, text: string): DocumentResult<KeysDocument> {
  const { document, ...result } = readDocument(
    {
      file,
      text,
      schema: keysSchema,
      holds: 'a list of keys',
      noVariables: 'write the value itself; a secret is named like { env: NAME }',
      words: [{ at: ['keys', '*', 'permissions', '*'], kind: 'permission' }],
    },
    ({ keys: list }, positionOf): KeysDocument => {
      const keys = list.map((written, index): KeyDocument => ({
        file,
        line: positionOf(['keys', index, 'id']).line,
        secretPlace: positionOf(['keys', index, 'secret']),
        id: written.id,
        scope: written.scope,
        organization: written.organization ?? null,
        permissions: written.permissions,
        secret: withPathsFrom(path.dirname(file), written.secret),
        servesOrganizations: written.serves_organizations,
        serviceUser: written.service_user ?? null,
        expires: written.expires ?? null,
        watch: written.watch,
        rotate: written.rotate ?? null,
        positionOf: (inside) => positionOf(['keys', index, ...inside]),
      }))
      return { kind: 'keys', file, keys }
    },
  )
  const readable = (document?.keys ?? []).flatMap(({ secret, positionOf }): Diagnostic[] => {
    const [kind, address] = serverOf(secret)
    if (address === null || !isReadOnTheWay(address)) return []
    return [
      {
        file,
        ...positionOf(['secret', ...kind]),
        severity: 'warning',
        message: `${address} is asked without TLS: whoever is on the way reads the login and the key; write https`,
      },
    ]
  })
  return { ...result, document, diagnostics: [...result.diagnostics, ...readable] }
}

interface CheckedFields {
  readonly expires?: unknown
  readonly rotate?: unknown
  readonly secret?: unknown
  readonly scope?: unknown
  readonly organization?: unknown
  readonly serves_organizations?: unknown
}

function checkKey(written: CheckedFields, context: z.core.$RefinementCtx): void {
  const refuse = (at: string, message: string) =>
    context.issues.push({ code: 'custom', message, path: [at], input: written })
  if (written.scope === 'organization') {
    if (written.organization === undefined)
      refuse('scope', 'an organization key needs the id of its organization: add the key "organization"')
    if (written.serves_organizations !== undefined && written.serves_organizations !== 'none') {
      refuse('serves_organizations', 'only an enterprise key can serve other organizations: remove the key')
    }
  }
  if (written.rotate !== undefined && written.expires !== undefined)
    refuse(
      'expires',
      'a key that is rotated by itself has a new end each time: remove the key, and say rotate.lifetime',
    )
  const source = unwritable.find(
    (kind) => typeof written.secret === 'object' && written.secret !== null && kind in written.secret,
  )
  if (written.rotate !== undefined && source !== undefined)
    refuse(
      'rotate',
      `the new value has to be kept somewhere, and { ${source}: … } cannot be written: keep the secret in a file or a vault`,
    )
  if (written.scope === 'enterprise' && written.organization !== undefined) {
    refuse('organization', 'an enterprise key belongs to no organization: remove the key, or use serves_organizations')
  }
}

const unwritable = ['env', 'exec']

function isIsoDate(written: string): boolean {
  const [, date] = isoDate.exec(written) ?? []
  const ms = Date.parse(written)
  // Date.parse reads 30 February as 2 March; the way back shows it.
  return date !== undefined && !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(date)
}

/** Where the address of a secret's server is written, and the address; null where there is none. */
function serverOf(reference: SecretReference): readonly [place: readonly string[], address: string | null] {
  if ('vault' in reference) return [['vault', 'address'], reference.vault.address]
  if ('aws' in reference) return [['aws', 'endpoint'], reference.aws.endpoint]
  if ('google' in reference) return [['google', 'endpoint'], reference.google.endpoint]
  return 'azure' in reference ? [['azure', 'vault'], reference.azure.vault] : [[], null]
}
