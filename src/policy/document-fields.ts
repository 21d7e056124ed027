// What the schemas of the policy files have in common.

import { z } from 'zod'

/** Parts of policy files that are read and typed, and that this version would not obey. They are refused, not ignored. */
const unsupported = {
  responses: 'answers are not filtered by this version: remove "response"',
} as const

/** The schema as it is, or refusing its key for as long as the part stands in the table above. */
export function refusedFor<T extends z.ZodType>(part: string, schema: T): T {
  const message: string | undefined = Object.hasOwn(unsupported, part)
    ? unsupported[part as keyof typeof unsupported]
    : undefined
  if (message === undefined) return schema
  return schema.refine(() => false, { error: message, when: () => true })
}

/** An organization's id as it stands raw in a path segment, where a slash, an escape or a space could not be compared. */
export const organizationId = () =>
  z.string().regex(/^[^%/\s]+$/, 'an organization id must not be empty nor hold "%", "/" or spaces')
