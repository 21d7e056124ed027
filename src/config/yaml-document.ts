// Text of a YAML file → a checked value, or every mistake at its line and column. All files that people write come
// through here: the configuration, policies, policy tests and extension files.

import { LineCounter, parseDocument, type Document } from 'yaml'
import type { z } from 'zod'
import type { Diagnostic } from './diagnostics.ts'
import { describeIssues, knownKeysOf } from './issues.ts'
import { readTree, type Place, type Tree } from './yaml-tree.ts'

export interface YamlInput<T> {
  /** As it shall be shown in diagnostics. */
  readonly file: string
  readonly text: string
  readonly schema: z.ZodType<T>
  /** What the file should hold, for the message about an empty one. */
  readonly holds: string
  /** When given, `${NAME}` and `${NAME:-default}` in string values are replaced; without it they stay as written. */
  readonly env?: Readonly<Record<string, string | undefined>>
}

export type Path = readonly (string | number)[]
export type Position = Pick<Diagnostic, 'line' | 'column'>

export type YamlResult<T> =
  | {
      readonly ok: true
      readonly value: T
      /** Where the value at a path stands (its key, when the value begins on a later line), or what is nearest to it. */
      positionOf(path: Path): Position
      readonly diagnostics: readonly Diagnostic[]
    }
  | { readonly ok: false; readonly diagnostics: readonly Diagnostic[] }

/**
 * Reads one YAML 1.2 document and checks it against the schema. Refuses what two readers could understand differently
 * or what hides its extent: duplicate keys, several documents, anchors and aliases, tags. No message holds a key value.
 */
export function readYaml<T>(input: YamlInput<T>): YamlResult<T> {
  const lines = new LineCounter()
  const document = parse(input.text, lines)
  const report = (place: Place, message: string): Diagnostic => ({
    file: input.file,
    ...lineAndColumn(lines, place),
    severity: 'error',
    message: withoutKeyValues(message),
  })

  const broken = [...document.errors, ...document.warnings].map(({ pos, code, message }) =>
    report({ offset: pos[0] }, plainMessage(code, message)),
  )
  if (broken.length > 0) return { ok: false, diagnostics: broken }
  if (document.contents === null)
    return { ok: false, diagnostics: [report({ offset: 0 }, `the file is empty: it should hold ${input.holds}`)] }

  const tree = readTree(document.contents, lines, input.env ?? null)
  if (!tree.complete)
    return { ok: false, diagnostics: tree.problems.map(({ place, message }) => report(place, message)) }
  const checked = input.schema.safeParse(tree.value, { error: knownKeysOf })
  const issues = describeIssues(checked.success ? [] : checked.error.issues, tree)
  const diagnostics = [...tree.problems, ...issues].map(({ place, message }) => report(place, message))
  if (!checked.success || diagnostics.length > 0) return { ok: false, diagnostics }
  return {
    ok: true,
    value: checked.data,
    positionOf: (path) => lineAndColumn(lines, tree.placeOf(path)),
    diagnostics: [],
  }
}

/** The keys at the top of a file that may be of any kind, malformed or not; none when it is no mapping. */
export function topLevelKeys(text: string): readonly string[] {
  const { contents } = parse(text, new LineCounter())
  const tree: Tree | null = contents === null ? null : readTree(contents, new LineCounter(), null)
  const value = tree?.value
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.keys(value) : []
}

function parse(text: string, lines: LineCounter): Document.Parsed {
  // The core schema of YAML 1.2 whatever a %YAML directive says, so that `no`, `on` and 1:30 are texts in every file.
  return parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    version: '1.2',
    schema: 'core',
    merge: false,
    logLevel: 'silent',
  })
}

function lineAndColumn(lines: LineCounter, place: Place): Position {
  const { line, col } = lines.linePos(place.offset)
  return { line: Math.max(line, 1), column: Math.max(col, 1) }
}

const plainMessages: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: 'this key appears twice in the same mapping: remove one of the two',
  MULTIPLE_DOCS:
    'the file holds several documents: remove the "---" line and what follows, or make it a file of its own',
  TAB_AS_INDENT: 'YAML does not allow tabs as indentation: use spaces',
  RESOURCE_EXHAUSTION: 'the file is nested too deeply',
}

function plainMessage(code: string, message: string): string {
  return plainMessages[code] ?? `not valid YAML: ${message.charAt(0).toLowerCase()}${message.slice(1)}`
}

/** Messages quote what was found, and somebody may have written a key value where a name belongs. */
function withoutKeyValues(message: string): string {
  return message.replaceAll(/(cog_|apk_)[A-Za-z0-9._~+/=%-]+/g, '$1…')
}
