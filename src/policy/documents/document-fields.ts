// What the schemas of the policy files have in common.

import { z } from 'zod'
import type { Diagnostic } from '../../config/diagnostics.ts'
import { readYaml, type PositionOf, type YamlInput } from '../../config/yaml/document.ts'
import type { RightEnding } from '../model/ending.ts'
import type { Remarks } from '../model/remarks.ts'
import type { PolicyWord } from './policy-words.ts'

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

/** A day that the calendar has, but for 29 February, which editors may take in every year. */
export const dayForm =
  '\\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)|02-(0[1-9]|[12]\\d))'
const timeForm = '(([01]\\d|2[0-3]):[0-5]\\d(:[0-5]\\d(\\.\\d{1,3})?)?|24:00(:00(\\.0{1,3})?)?)'
const editedInstant = `^${dayForm}T${timeForm}(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)$`
const instant = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d)$/
const instantForm = 'must be a date and time with a zone, like 2026-12-24T18:00:00Z or 2026-12-24T18:00:00+01:00'

/** An instant, in milliseconds since the epoch. */
export const instantField = () =>
  z
    .string({ error: ({ input }) => (typeof input === 'number' ? instantForm : undefined) })
    .refine((written) => instant.test(written), { error: instantForm })
    .refine((written) => !instant.test(written) || isOnCalendar(written), {
      error: `${instantForm}; there is no such date`,
    })
    .meta({ pattern: editedInstant })
    .transform((written) => Date.parse(written))

/** Date.parse reads 30 February as 2 March; the way back shows it. */
function isOnCalendar(written: string): boolean {
  const date = written.slice(0, 10)
  const ms = Date.parse(`${date}T00:00:00Z`)
  return !Number.isNaN(Date.parse(written)) && new Date(ms).toISOString().startsWith(date)
}

/** For grants, member entries and exceptions of guardrails. */
export const endingFields = (what: string) => ({
  until: instantField()
    .optional()
    .describe(`When the ${what} ends by itself, on every instance and without a reload: 2026-12-24T18:00:00Z.`),
  reason: remark(200).optional().describe(`Why there is this ${what}: a ticket, an incident.`),
})

/** The same with null for what is not written. */
export function endingOf({
  until,
  reason,
}: {
  readonly until?: number | undefined
  readonly reason?: string | undefined
}): RightEnding {
  return { endsAtMs: until ?? null, reason: reason ?? null }
}

/** The same names with other values. */
export function mapValues<A, B>(record: Readonly<Record<string, A>>, change: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]))
}

/** What a file says. With an error among the diagnostics there is no document. */
export interface DocumentResult<Document> {
  readonly document: Document | null
  readonly diagnostics: readonly Diagnostic[]
  /** Of a file without a document. */
  readonly words?: readonly PolicyWord[]
}

/** The places of a field that takes one word or a list of words. */
export function oneOrListed(...path: readonly string[]): readonly (readonly string[])[] {
  return [path, [...path, '*']]
}

interface DocumentInput<Written> extends YamlInput<Written> {
  /** Where the words stand that name operations or permissions: they are checked in a file with mistakes, too. */
  readonly words?: readonly (Pick<PolicyWord, 'kind'> & { readonly at: readonly string[] })[]
}

/** Reads one file, and makes a document of what is written there. */
export function readDocument<Written, Document>(
  input: DocumentInput<Written>,
  documentOf: (written: Written, positionOf: PositionOf) => Document,
): DocumentResult<Document> {
  const result = readYaml(input)
  if (result.ok) return { document: documentOf(result.value, result.positionOf), diagnostics: result.diagnostics }
  const { file, words = [] } = input
  const found = words.flatMap(({ at, kind }) => result.wordsAt(at).map((word) => ({ ...word, file, kind })))
  return { document: null, diagnostics: result.diagnostics, words: found }
}
