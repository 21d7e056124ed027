// docs/configuration.md from the JSON schemas of the files that people write. Pure.

/** The keywords that our schemas use. */
export interface JsonSchema {
  readonly $schema?: string | undefined
  readonly title?: string
  readonly description?: string
  readonly type?: string | readonly string[]
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly JsonSchema[]
  readonly items?: JsonSchema
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: JsonSchema | false
  readonly default?: unknown
}

export interface DescribedFile {
  readonly name: string
  readonly title: string
  readonly place: string
  readonly json: JsonSchema
}

/** The whole page: a section with one table for each kind of file. */
export function configurationReference(files: readonly DescribedFile[]): string {
  const intro = [
    '# Configuration reference',
    '',
    '<!-- Generated from the validators by `npm run generate`; change the descriptions there. -->',
    '',
    'Every file is YAML 1.2 and is checked strictly. An unknown key is an error that names the nearest valid spelling.',
    '`devin-gateway check` shows all mistakes of all files at once, as `file:line:column: message`. Relative paths are relative',
    'to the file they stand in. In `config/gateway.yaml`, `${NAME}` and `${NAME:-default}` in string values take environment',
    'variables, and `$${` is a literal `${`. Anchors, aliases, tags and several documents in one file are refused.',
    '',
    'For completion and checks in editors, begin a file with `# yaml-language-server: $schema=` and the path of its schema. The',
    'schemas list permissions, operations, reasons, algorithms and time zones. Of operations they know those of the built-in',
    'catalogue, and accept every id that begins with `ext.`, like `ext.reports.list`, for extension files. `devin-gateway check`',
    'knows the extension files themselves.',
    '',
    'Units:',
    '',
    '- A *duration* is a whole number with `ms`, `s`, `m`, `h` or `d`.',
    '- A *size* is a number of bytes, or a whole number with `kB`, `MB`, `GB`, `KiB`, `MiB` or `GiB`.',
    '- A *rate* is a whole number, a slash and `s`, `min`, `h`, `day`, `week` or `month`.',
  ]
  return `${[...intro, ...files.flatMap(section)].join('\n')}\n`
}

function section({ name, title, place, json }: DescribedFile): string[] {
  const where = place.includes(' ') ? place : `\`${place}\``
  const rows = json.items === undefined ? fields(json, '') : fields(json.items, '[].')
  return [
    '',
    `## ${title}`,
    '',
    `${json.description ?? ''} File: ${where}; schema: \`config/schemas/${name}.schema.json\`.`,
    '',
    '| key | type | default | meaning |',
    '|---|---|---|---|',
    ...rows.map((cells) => `| ${cells.join(' | ')} |`),
  ]
}

function fields(object: JsonSchema, prefix: string): string[][] {
  return Object.entries(object.properties ?? {}).flatMap(([name, field]) => {
    const required = object.required?.includes(name) === true
    const row = [
      `\`${prefix}${name}\``,
      typeOf(field),
      required ? 'required' : defaultOf(field),
      cell(field.description ?? ''),
    ]
    return [row, ...inside(field, `${prefix}${name}`)]
  })
}

/** The fields of an object (or of the form of a value that is one), of the members of a list, or of the values of a mapping with free keys (`NAME`). */
function inside(field: JsonSchema, path: string): string[][] {
  if (field.properties !== undefined) return fields(field, `${path}.`)
  if (field.items?.properties !== undefined) return fields(field.items, `${path}[].`)
  const form = field.anyOf?.find(({ properties }) => properties !== undefined)
  // The forms of limits repeat at every level; their descriptions show them.
  if (form !== undefined && !path.includes('.')) return fields(form, `${path}.`)
  const values = field.additionalProperties
  return values === undefined || values === false || values.properties === undefined
    ? []
    : fields(values, `${path}.NAME.`)
}

function typeOf(field: JsonSchema): string {
  if (field.title !== undefined) return field.title
  if (field.const !== undefined) return code(field.const)
  if (field.enum !== undefined) return field.enum.map(code).join(', ')
  if (field.anyOf !== undefined) return [...new Set(field.anyOf.map(typeOf))].join(' or ')
  if (field.type === 'array') return field.items === undefined ? 'list' : `list of ${typeOf(field.items)}`
  if (field.type !== 'object') return [field.type ?? 'anything'].flat().join(' or ')
  return field.additionalProperties === undefined || field.additionalProperties === false
    ? 'mapping'
    : `mapping of NAME to ${typeOf(field.additionalProperties)}`
}

/** Defaults of whole mappings say nothing beyond those of their fields. */
function defaultOf({ default: value }: JsonSchema): string {
  if (value === undefined) return ''
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? '' : code(value)
}

function code(value: unknown): string {
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``
}

/** A pipe would end the cell. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}
