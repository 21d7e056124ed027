// What the schemas of the policy files have in common.

import { z } from 'zod'
import type { Remarks } from '../model/remarks.ts'

/** An organization's id as it stands raw in a path segment, where a slash, an escape or a space could not be compared. */
export const organizationId = () =>
  z
    .string()
    .regex(/^[^%/*\s]+$/, 'an organization id must not be empty nor hold "%", "/", "*" or spaces')
    .regex(/^(?!all$)/i, '"all" stands alone, without brackets')

/** No breaks, other controls, and characters that cannot be seen or turn the direction of a text. */
const oneLine = /^[^\p{Cc}\u200B-\u200F\u2028-\u202E\u2060-\u2069\uFEFF]*$/u

/** A text that refusals, records and pages show as it stands. */
const remark = (longest: number) =>
  z
    .string()
    .min(1, 'must not be empty')
    .max(longest, `must be at most ${longest} characters long`)
    .regex(oneLine, 'must be one line of visible text (in YAML ">-" joins lines)')
    .refine((written) => written.trim() === written, 'must not begin or end with a space')

/** For teams, grants and guardrails. */
export const remarkFields = (what: string) => ({
  owner: remark(200)
    .optional()
    .describe(`Who may change the ${what}: a name, an address, a team. Refusals name it, so callers know whom to ask.`),
  contact: remark(200).optional().describe('Where to reach the owner: a channel, an address, a link.'),
  description: remark(500).optional().describe(`What the ${what} is for, in one line.`),
})

/** The same with null for what is not written. */
export function remarksOf(written: { readonly [name in keyof Remarks]?: string | undefined }): Remarks {
  const { owner, contact, description } = written
  return { owner: owner ?? null, contact: contact ?? null, description: description ?? null }
}
