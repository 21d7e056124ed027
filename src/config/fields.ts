// Building blocks of schemas: texts with a unit, "one or several", lists without duplicates.

import { z } from 'zod'
import { parseDuration, parseRate, parseSize, quoted, type Parsed } from './units.ts'

/** A text that a parser turns into a value. The parser's message is also used for values that are not texts. */
export function textAs<T>(parse: (text: string) => Parsed<T>) {
  return z
    .string({ error: ({ input }) => refusal(parse, input) })
    .transform((text, context): T => take(parse(text), text, context))
}

/** Like `textAs`, where a bare number is also a spelling: a port, a number of bytes. */
export function textOrNumberAs<T>(parse: (text: string) => Parsed<T>) {
  return z
    .union([z.string(), z.number()])
    .transform((written, context): T => take(parse(String(written)), written, context))
}

/** A bare number is not a string in YAML, and quotes would not help: the unit is missing. */
function refusal(parse: (text: string) => Parsed<unknown>, input: unknown): string | undefined {
  if (typeof input !== 'number') return undefined
  const parsed = parse(String(input))
  return 'error' in parsed ? parsed.error : undefined
}

function take<T>(parsed: Parsed<T>, input: unknown, context: z.core.$RefinementCtx): T {
  if ('value' in parsed) return parsed.value
  context.issues.push({ code: 'custom', message: parsed.error, input })
  return z.NEVER
}

/** Milliseconds, between two bounds that the message shows as they are given here. */
export function duration(least: string, most: string) {
  const [leastMs, mostMs] = [parseDuration(least), parseDuration(most)].map((bound) =>
    'value' in bound ? bound.value : Number.NaN,
  )
  return textAs((text) => {
    const parsed = parseDuration(text)
    if ('error' in parsed || (parsed.value >= Number(leastMs) && parsed.value <= Number(mostMs))) return parsed
    return { error: `${quoted(text)} is out of bounds: at least ${least}, at most ${most}` }
  }).meta({ title: 'duration', examples: ['250ms', '5s', '5m', '24h', '1d'] })
}

/** Bytes. */
export const size = () => textOrNumberAs(parseSize).meta({ title: 'size', examples: ['64MiB', '512KiB', '10MB'] })

/** A count in a span of time. */
export const rate = () =>
  textAs((text) => parseRate(text)).meta({ title: 'rate', examples: ['10/s', '600/min', '50/day', '500/month'] })

/** A non-empty text. */
export const text = () => z.string().min(1, 'must not be empty')

/** A list, or a single text for a list of one; never empty, nor any of its members. `isNeeded`: the key cannot be left out. */
export function oneOrSeveral(what: string, isNeeded = false) {
  const list = z.array(text()).min(1, `name at least one ${what}${isNeeded ? '' : ', or remove the key'}`)
  return z.union([text().transform((one): string[] => [one]), list])
}

/** Name of a claim, or names with dots between them. */
export const claimPath = () =>
  z
    .string()
    .regex(
      /^(?:[^\\]|\\[.\\])+$/,
      'must be the name of a claim, or names with dots between them; a backslash stands only before a dot or a backslash that belongs to a name, as in kubernetes\\.io.namespace',
    )

/** Values of a claim as texts: a list, or a single value. What YAML reads as a whole number, true or false is its text. */
export function claimValues() {
  const value = z.union([text(), z.int().transform(String), z.boolean().transform(String)])
  const list = z.array(value).min(1, 'name at least one value, or remove the key')
  return z.union([value.transform((one): string[] => [one]), list], {
    error: ({ input }) =>
      typeof input === 'object' && input !== null && !Array.isArray(input)
        ? 'expected a value or a list of values, found a mapping: a claim inside another one is named with dots, like `kubernetes.io.namespace: payments`'
        : undefined,
  })
}

/** Refuses a second member with the same key, even when other members are wrong in other ways. */
export function withoutTwins<T extends z.ZodType>(
  list: T,
  what: string,
  keyOf: (member: unknown) => string | null,
  at: string | null = null,
): T {
  const check = (members: unknown, context: z.core.$RefinementCtx) => {
    const seen = new Set<string>()
    for (const [index, member] of (Array.isArray(members) ? members : []).entries()) {
      const key = keyOf(member)
      if (key !== null && seen.has(key)) {
        context.addIssue({
          code: 'custom',
          message: `${what} ${quoted(key)} appears twice`,
          path: at === null ? [index] : [index, at],
        })
      }
      if (key !== null) seen.add(key)
    }
  }
  return list.superRefine(check, { when: () => true })
}

/** The text under a key of an unchecked member, or null. */
export function textAt(member: unknown, key: string): string | null {
  if (typeof member !== 'object' || member === null || !Object.hasOwn(member, key)) return null
  const value: unknown = Reflect.get(member, key)
  return typeof value === 'string' ? value : null
}

/** Names of grants, keys, guardrails and teams: they appear in records, answers and metrics. */
export const id = () =>
  z
    .string()
    .regex(
      /^[a-z0-9][a-z0-9._-]*$/,
      'must be lower-case letters, digits, ".", "_" and "-", beginning with a letter or digit',
    )
