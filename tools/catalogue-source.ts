// The shape of a catalogue of the upstream API as `import-catalogue.ts` reads it.

import { z } from 'zod'

const names = z.array(z.string())
const bodyMember = z.strictObject({ name: z.string(), type: z.string(), required: z.boolean() })
const permissionName = z.union([z.string(), names]).nullable()

/** Strict, so that a field the importer has never seen is looked at by a person before it is dropped. */
export const sourceSchema = z.strictObject({
  generated_from: z.string(),
  legend: z.unknown(),
  source_pages: z.unknown(),
  permissions: z.array(
    z.strictObject({
      name: z.string(),
      scope: z.enum(['enterprise', 'organization']),
      controls: z.string(),
      inherits_org_permission: z.string().nullable(),
      inherits_org_permission_inferred: z.string().optional(),
      confirmed: z.boolean(),
      notes: z.string().optional(),
    }),
  ),
  endpoints: z.array(
    z.strictObject({
      id: z.string().regex(/^[a-z0-9-]+(\.[a-z0-9-]+)+$/),
      method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']),
      path: z.string().regex(/^(\/([a-z0-9-]+|\{[a-z_]+\}))+$/),
      scope: z.enum(['organization', 'enterprise', 'any']),
      permission: permissionName,
      permission_status: z.string(),
      permission_inferred: permissionName.optional(),
      permission_conflict: names.optional(),
      summary: z.string(),
      query: names,
      body: z.array(bodyMember),
      paginated: z.boolean(),
      safe: z.boolean(),
      success: z.array(z.int()),
      response: z.string().nullable(),
      cache: z.enum(['never', 'micro', 'short', 'medium', 'long', 'closed-window-long']),
      sensitive: z.boolean(),
      stability: z.enum(['stable', 'beta', 'early-access', 'deprecated', 'superseded', 'removed?']),
      confirmed: z.boolean(),
      notes: z.string(),
      doc_url: z.string().nullable(),
      doc_url_confirmed: z.boolean(),
    }),
  ),
  legacy_endpoints: z.array(
    z.strictObject({
      method: z.string(),
      path: z.string(),
      replacement: z.string().nullable(),
      version: z.enum(['v1', 'v2']),
      confirmed: z.boolean(),
      notes: z.string(),
    }),
  ),
})

/** A source catalogue that has the shape the importer knows. */
export type Source = z.infer<typeof sourceSchema>
export type SourcePermission = Source['permissions'][number]
export type SourceOperation = Source['endpoints'][number]
