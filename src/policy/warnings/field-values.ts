// Bounds of guardrails that do not fit what the API documents of a field: another kind of value, or a value that is none of its
// own. Pure.

import { devinApi } from '../../catalogue/data.ts'
import { didYouMean } from '../../config/nearest.ts'
import { quoted } from '../../config/units.ts'
import type { FieldRule } from '../documents/document.ts'

type Kind = 'text' | 'number' | 'list' | 'true or false' | 'object'

/** The bounds that look at one kind of value. */
const kindsOfBounds = {
  at_most: 'number',
  at_least: 'number',
  max_length: 'text',
  matches: 'text',
  max_items: 'list',
  each_matches: 'list',
  add: 'list',
} as const satisfies { readonly [bound in keyof FieldRule]?: Kind }

const articles: Readonly<Record<Kind, string>> = {
  text: 'a text',
  number: 'a number',
  list: 'a list',
  'true or false': 'true or false',
  object: 'an object',
}

const typesOf = new Map(
  devinApi.operations.map(
    ({ id, body }) => [id, new Map(body.map(({ name, type }) => [name, type] as const))] as const,
  ),
)

/** What is doubtful about the rule of a field of the body, each with its place below the rule. */
export function valueDoubts(
  operations: readonly string[],
  field: string,
  rule: FieldRule,
): readonly { readonly path: readonly (string | number)[]; readonly message: string }[] {
  const types = operations.flatMap((id) => typesOf.get(id)?.get(field) ?? [])
  const [kind, ...others] = new Set(types.map(kindOf))
  if (kind === undefined || kind === null || others.length > 0) return []
  const documented = `the API documents ${field} as ${articles[kind]}`
  const bounds = Object.entries(kindsOfBounds).flatMap(([bound, wanted]) =>
    rule[bound as keyof typeof kindsOfBounds] === undefined || wanted === kind
      ? []
      : [{ path: [bound], message: `${bound} bounds ${articles[wanted]}, and ${documented}` }],
  )
  const values = [
    ...(rule.one_of ?? []).map((value, index) => ({ path: ['one_of', index], value: value as unknown })),
    ...(['equals', 'default'] as const).map((name) => ({ path: [name], value: rule[name] })),
  ]
  const known = types.every((type) => isClosed.test(type)) ? types.flatMap(valuesOf) : null
  return [
    ...bounds,
    ...values.flatMap(({ path, value }) => {
      if (value === undefined || value === null) return []
      const message = valueDoubt(value, kind, known, { field, documented })
      return message === null ? [] : [{ path, message }]
    }),
  ]
}

function valueDoubt(
  value: unknown,
  kind: Kind,
  known: readonly string[] | null,
  { field, documented }: { readonly field: string; readonly documented: string },
): string | null {
  // An attribute of the caller is a text that is not known yet.
  if (typeof value === 'string' && /^principal\.|\$\{/.test(value)) return null
  const found = kindOfValue(value)
  const shown =
    typeof value === 'object' ? 'the value' : typeof value === 'string' ? quoted(value) : JSON.stringify(value)
  if (found !== kind) return `${documented}, and ${shown} is ${found === 'true or false' ? 'none' : articles[found]}`
  if (known === null || typeof value !== 'string' || known.includes(value)) return null
  const near = didYouMean(value, known)
  return `the API documents no value ${quoted(value)} of ${field}${near === '' ? `: its values are ${known.join(', ')}` : near}`
}

function kindOfValue(value: unknown): Kind {
  if (typeof value === 'string') return 'text'
  if (typeof value === 'number') return 'number'
  if (typeof value === 'boolean') return 'true or false'
  return Array.isArray(value) ? 'list' : 'object'
}

const isClosed = /^enum\((?!.*\.\.\.)[^)]*\)(?:\|null)?(?:=|$)/

function valuesOf(type: string): readonly string[] {
  return /^enum\(([^)]*)\)/.exec(type)?.[1]?.split('|') ?? []
}

/** The kind of value that a documented type says; null for one that says several, or anything. */
function kindOf(type: string): Kind | null {
  const plain = type.replace(/\s.*$/, '').replace(/\|null$/, '')
  if (plain.endsWith('[]')) return 'list'
  if (/^(?:string|enum)\b/.test(plain)) return plain.includes('|') && !plain.startsWith('enum') ? null : 'text'
  if (/^(?:integer|number)(?:$|=|\()/.test(plain)) return 'number'
  if (/^boolean(?:$|=)/.test(plain)) return 'true or false'
  return plain === 'object' || plain.startsWith('{') ? 'object' : null
}
