// The JSON schemas as editors get them: the words that only a loaded set is checked against are listed, from the catalogue and the
// reasons, and where variables are replaced a text may be one.

import { decisionReasons } from '../src/policy/decision/decide.ts'
import { devinApi } from '../src/catalogue/data.ts'
import { problemKinds } from '../src/problem-kinds.ts'
import type { Words } from '../src/config/fields.ts'

type Node = Record<string, unknown>

/** Completes a schema; `variables`: `${NAME}` may stand in every text of the file. */
export function completeSchema(schema: object, { variables }: { readonly variables: boolean }): object {
  const used = new Set<string>()
  const completed = complete(schema, used, variables)
  const definitions = Object.fromEntries([...used].sort().map((name) => [name, definitionOf(name)]))
  return used.size === 0 ? completed : { ...completed, $defs: definitions }
}

/** Their values are data, not schemas. */
const data: ReadonlySet<string> = new Set(['default', 'examples', 'enum', 'const', 'required'])

function complete(schema: object, used: Set<string>, variables: boolean): Node {
  const { words, ...rest } = Object.fromEntries(
    Object.entries(schema).map(([key, part]: [string, unknown]) => [
      key,
      data.has(key) ? part : completePart(part, used, variables),
    ]),
  )
  if (typeof rest['pattern'] === 'string') rest['pattern'] = portable(rest['pattern'])
  if (typeof words === 'string') {
    used.add(words)
    return { ...rest, $ref: `#/$defs/${words}` }
  }
  return variables ? orVariable(rest) : rest
}

function completePart(part: unknown, used: Set<string>, variables: boolean): unknown {
  if (Array.isArray(part)) return part.map((each: unknown) => completePart(each, used, variables))
  return typeof part === 'object' && part !== null ? complete(part, used, variables) : part
}

/** Properties of regular expressions that only JavaScript knows, in ranges. */
function portable(pattern: string): string {
  return pattern.replaceAll('\\p{Cc}', '\\x00-\\x1f\\x7f-\\x9f')
}

const variable = '\\$\\{'

function orVariable(node: Node): Node {
  const { enum: values, const: value, pattern, ...rest } = node
  if (typeof pattern === 'string' && values === undefined) return { ...node, pattern: `${variable}|${pattern}` }
  const isText = Array.isArray(values) ? values.every((each) => typeof each === 'string') : typeof value === 'string'
  if (!isText) return node
  const { type: _, ...about } = rest
  const words = Array.isArray(values) ? { enum: values } : { const: value }
  return { ...about, anyOf: [words, { type: 'string', pattern: variable }] }
}

function definitionOf(words: string): Node {
  // Only our schemas name them.
  return definitions[words as Words]()
}

const ids = devinApi.operations.map(({ id }) => id).sort()
const permissions = devinApi.permissions.map(({ name }) => name).sort()

/** Each pattern that ends in `*` and covers something; of others only the form can be said. */
const patterns = [
  ...new Set(ids.flatMap((id) => id.split('.').map((_, index, parts) => [...parts.slice(0, index), '*'].join('.')))),
].sort()
const segment = '([a-z0-9_-]+|\\*)'
const inner = `^(${segment}\\.)*\\*(\\.${segment})+$`

const operationForms: readonly Node[] = [
  { enum: ids, description: 'An operation of the catalogue, by its id.' },
  { enum: patterns, description: 'All operations whose ids begin so.' },
  { type: 'string', pattern: inner, description: '`*` inside is one segment.' },
  { type: 'string', pattern: `^ext(\\.${segment})+$`, description: 'Operations of extension files, by convention.' },
]
const permissionForm: Node = { enum: permissions, description: 'A permission of Devin.' }

const definitions: Readonly<Record<Words, () => Node>> = {
  operations: () => ({ anyOf: operationForms }),
  permissions: () => permissionForm,
  allowed: () => ({ anyOf: [permissionForm, ...operationForms] }),
  reasons: () => ({ enum: reasons, description: 'Why a request is refused.' }),
  'time-zones': () => ({
    anyOf: [
      { enum: timeZones, description: 'A time zone of the IANA database.' },
      { type: 'string', pattern: '^(Etc/[A-Za-z0-9+-]+|[+-][0-9]{2}:?[0-9]{2})$', description: 'A fixed offset.' },
    ],
  }),
}

const reasons = [...new Set([...Object.keys(problemKinds), ...decisionReasons])].sort()

/** Names of today where Node.js lists older ones, and names that it takes without listing them. */
const otherNames = [
  'America/Argentina/Buenos_Aires',
  'America/Argentina/Cordoba',
  'America/Indiana/Indianapolis',
  'America/Kentucky/Louisville',
  'America/Nuuk',
  'Africa/Asmara',
  'Asia/Ho_Chi_Minh',
  'Asia/Kathmandu',
  'Asia/Kolkata',
  'Asia/Yangon',
  'Atlantic/Faroe',
  'Europe/Kyiv',
  'GMT',
  'Pacific/Chuuk',
  'Pacific/Pohnpei',
  'US/Central',
  'US/Eastern',
  'US/Mountain',
  'US/Pacific',
  'UTC',
]
const timeZones = [...new Set([...Intl.supportedValuesOf('timeZone'), ...otherNames])].sort()
