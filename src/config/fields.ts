// Building blocks of schemas: texts with a unit, "one or several", lists without duplicates.

import { z } from 'zod'
import {
  durationForm,
  fewestPlainBytes,
  parseDuration,
  parseRate,
  parseSize,
  quoted,
  rateForm,
  sizeForm,
  type Parsed,
} from './units.ts'

/** What a text looks like, for the JSON schema: editors check and complete by it. The parser decides. */
interface TextForm {
  readonly pattern?: string
  readonly enum?: readonly string[]
}

/** A text that a parser turns into a value. The parser's message is also used for values that are not texts. */
export function textAs<T>(parse: (text: string) => Parsed<T>, form: TextForm = {}) {
  return z
    .string({ error: ({ input }) => refusal(parse, input) })
    .meta({ ...form })
    .transform((text, context): T => take(parse(text), text, context))
}

/** Like `textAs`, where a bare number is also a spelling: a port, a number of bytes. */
export function textOrNumberAs<T>(parse: (text: string) => Parsed<T>, form: TextForm & { readonly number?: object }) {
  const { number, ...ofText } = form
  return z
    .union([z.string().meta(ofText), z.number().meta({ minimum: 0, multipleOf: 1, ...number })])
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
  const parse = (text: string): Parsed<number> => {
    const parsed = parseDuration(text)
    if ('error' in parsed || (parsed.value >= Number(leastMs) && parsed.value <= Number(mostMs))) return parsed
    return { error: `${quoted(text)} is out of bounds: at least ${least}, at most ${most}` }
  }
  return textAs(parse, { pattern: durationForm(Number(leastMs), Number(mostMs)) }).meta({
    title: 'duration',
    examples: ['250ms', '5s', '5m', '24h', '1d'],
  })
}

/** Bytes. */
export const size = () =>
  textOrNumberAs(parseSize, { pattern: sizeForm, number: { not: { minimum: 1, maximum: fewestPlainBytes - 1 } } }).meta(
    { title: 'size', examples: ['64MiB', '512KiB', '10MB'] },
  )

/** A count in a span of time. */
export const rate = () =>
  textAs((text) => parseRate(text), { pattern: rateForm }).meta({
    title: 'rate',
    examples: ['10/s', '600/min', '50/day', '500/month'],
  })

/** A non-empty text. */
export const text = () => z.string().min(1, 'must not be empty')

/** What a schema gives, to be read only. */
export type ReadonlyOutput<Schema extends z.ZodType> = DeepReadonly<z.output<Schema>>
type DeepReadonly<T> = T extends readonly (infer Member)[]
  ? readonly DeepReadonly<Member>[]
  : T extends object
    ? { readonly [Name in keyof T]: DeepReadonly<T[Name]> }
    : T

/** Null where nothing is written. */
export function orNull<Schema extends z.ZodType>(schema: Schema) {
  return schema.optional().transform((written) => written ?? null)
}

/** Words that are looked up when a set is loaded. The JSON schema lists them (tools/json-schema.ts). */
export type Words = 'allowed' | 'operations' | 'permissions' | 'reasons' | 'time-zones'
export const word = (words: Words) => text().meta({ words })

/** A list, or a single text for a list of one; never empty, nor any of its members. `isNeeded`: the key cannot be left out. */
export function oneOrSeveral(what: string, { isNeeded = false, words }: { isNeeded?: boolean; words?: Words } = {}) {
  const one = words === undefined ? text() : word(words)
  const list = upTo(most.words, 'values', z.array(one)).min(
    1,
    `name at least one ${what}${isNeeded ? '' : ', or remove the key'}`,
  )
  return z.union([one.transform((single): string[] => [single]), list])
}

/** What a file may hold: some ten times what the largest company writes. Each is an error at its place. */
export const most = {
  /** Words of a list, and values of an attribute. */
  words: 5000,
  /** Entries that people look at one by one. */
  entries: 5000,
  grants: 2000,
  guardrails: 1000,
  /** Apps or groups of operations that have limits. */
  limited: 1000,
  organizations: 10_000,
  keys: 10_000,
  users: 50_000,
} as const

/** A list that may be long, but not without end. */
export function upTo<Item extends z.ZodType>(count: number, what: string, list: z.ZodArray<Item>): z.ZodArray<Item> {
  return list.max(count, tooMany(count, what))
}

/** The same of a mapping. */
export function namesUpTo<T extends z.ZodType>(count: number, what: string, mapping: T): T {
  return mapping
    .refine((written) => typeof written !== 'object' || written === null || Object.keys(written).length <= count, {
      error: tooMany(count, what),
    })
    .meta({ maxProperties: count })
}

function tooMany(count: number, what: string): string {
  return `at most ${count} ${what} may stand here`
}

/** For the JSON schema: exactly one of these keys. */
export const oneKeyOf = (...keys: readonly string[]) => ({ oneOf: keys.map((key) => ({ required: [key] })) })

/** For the JSON schema: where a key has one of these values, others must look so. By `else`, because an object with `then` is a promise. */
export const where = (key: string, values: string | readonly string[], others: object) => ({
  if: { not: { properties: { [key]: { enum: [values].flat() } }, required: [key] } },
  else: others,
})

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
  const list = upTo(most.words, 'values', z.array(value)).min(1, 'name at least one value, or remove the key')
  return z.union([value.transform((one): string[] => [one]), list], {
    error: ({ input }) =>
      typeof input === 'object' && input !== null && !Array.isArray(input)
        ? 'expected a value or a list of values, found a mapping: a claim inside another one is named with dots, like `kubernetes.io.namespace: payments`'
        : undefined,
  })
}

/** Refuses a second member with the same key, which is the text at `at` or what `keyOf` says, even when other members are wrong in other ways. */
export function withoutTwins<T extends z.ZodType>(
  list: T,
  what: string,
  at = 'id',
  keyOf: (member: unknown) => string | null = (member) => textAt(member, at),
): T {
  const check = (members: unknown, context: z.core.$RefinementCtx) => {
    const seen = new Set<string>()
    for (const [index, member] of (Array.isArray(members) ? members : []).entries()) {
      const key = keyOf(member)
      if (key !== null && seen.has(key)) {
        context.addIssue({
          code: 'custom',
          message: `${what} ${quoted(key)} appears twice`,
          path: [index, at],
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
