// Reads YAML files that people write: a checked value, or every mistake at its line and column.

import { isScalar, LineCounter, parseDocument, visit, type Document } from 'yaml'
import type { z } from 'zod'
import { sortDiagnostics, type Diagnostic } from '../diagnostics.ts'
import { describeIssues, messageFor } from './issues.ts'
import { syntaxProblems } from './syntax.ts'
import { readTree, type Found, type Place, type Tree } from './tree.ts'

export interface YamlInput<T> {
  /** As it shall be shown in diagnostics. */
  readonly file: string
  readonly text: string
  readonly schema: z.ZodType<T>
  /** What the file should hold, for the message about an empty one. */
  readonly holds: string
  /** When given, `${NAME}` and `${NAME:-default}` in string values are replaced; without it they stay as written. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Without `env`: `${NAME}` in a value is probably a mistake, and this says what to write instead. */
  readonly noVariables?: string
}

export type Path = readonly (string | number)[]
export type Position = Pick<Diagnostic, 'line' | 'column'>

/** Position of the value at a path (of its key, when the value begins on a later line), or of the nearest parent. */
export type PositionOf = (path: Path) => Position

/** A text of a file and its position. */
export interface Word extends Position {
  readonly text: string
}

export type YamlResult<T> =
  | {
      readonly ok: true
      readonly value: T
      readonly positionOf: PositionOf
      readonly diagnostics: readonly Diagnostic[]
    }
  | {
      readonly ok: false
      readonly diagnostics: readonly Diagnostic[]
      /** As it is written, unchecked; undefined where there is no reading it. */
      readonly written: unknown
      readonly positionOf: PositionOf
      /**
       * The texts at a pattern of places, `*` for each member, so that they can be checked even when the document has
       * mistakes.
       */
      readonly wordsAt: (pattern: readonly string[]) => readonly Word[]
    }

/**
 * Reads one YAML 1.2 document and checks it against the schema. Refuses what two parsers could read differently or
 * what hides the size of the document: duplicate keys, several documents, anchors and aliases, tags. No message holds
 * a key value. Every mistake is a diagnostic, in the order of the file; with one of them there is no value, but there
 * are words.
 */
export function readYaml<T>(input: YamlInput<T>): YamlResult<T> {
  const lines = new LineCounter()
  const document = parse(input.text, lines)
  const diagnosticOf =
    (severity: Diagnostic['severity']) =>
    ({ place, message }: Found): Diagnostic =>
      diagnosticAt(input.file, lineAndColumn(lines, place), severity, message)
  const warningsOf = (tree: Tree | null) => (tree?.warnings ?? []).map(diagnosticOf('warning'))
  const refuse = (found: readonly Found[], tree: Tree | null = null): YamlResult<T> => ({
    ok: false,
    diagnostics: sortDiagnostics([...found.map(diagnosticOf('error')), ...warningsOf(tree)]),
    written: tree?.value,
    positionOf: (path) => (tree === null ? { line: 0, column: 0 } : lineAndColumn(lines, tree.placeOf(path))),
    wordsAt: (pattern) =>
      [...(tree?.matching(pattern) ?? [])].flatMap(({ value, place }) =>
        typeof value === 'string' ? [{ text: value, ...lineAndColumn(lines, place) }] : [],
      ),
  })

  const broken = syntaxProblems(document, input.text, input.env !== undefined, repeatedKeys(document))
  if (broken.length > 0) return refuse(broken)
  if (document.contents === null && !input.text.includes('\n') && input.text.includes('\r'))
    return refuse([{ place: { offset: 0 }, message: 'its lines end with CR alone: save it with LF or CRLF' }])
  if (document.contents === null)
    return refuse([{ place: { offset: 0 }, message: `the file is empty: it should hold ${input.holds}` }])
  const { env, noVariables } = input
  const variables = env !== undefined ? { env } : noVariables === undefined ? null : { advice: noVariables }
  const tree = readTree(document.contents, lines, variables)
  if (!tree.complete) return refuse(tree.problems)
  const checked = input.schema.safeParse(tree.value, { error: messageFor })
  const problems = [...tree.problems, ...describeIssues(checked.success ? [] : checked.error.issues, tree)]
  if (!checked.success || problems.length > 0) return refuse(problems, tree)
  return {
    ok: true,
    value: checked.data,
    positionOf: (path) => lineAndColumn(lines, tree.placeOf(path)),
    diagnostics: warningsOf(tree),
  }
}

/** The keys at the top of a file that may be of any kind, malformed or not; none when it is no mapping. */
export function topLevelKeys(text: string): readonly string[] {
  const lines = new LineCounter()
  const { contents } = parse(text, lines)
  const tree = contents === null ? null : readTree(contents, lines, null)
  const value = tree?.value
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.keys(value) : []
}

function parse(text: string, lines: LineCounter): Document.Parsed {
  // The core schema of YAML 1.2 whatever a %YAML directive says, so that `no`, `on` and 1:30 are texts in every file.
  // The parser makes an error of each mistake, and its stack, which nobody reads, takes most of the time.
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    return parseDocument(text, {
      lineCounter: lines,
      prettyErrors: false,
      schema: 'core',
      merge: false,
      logLevel: 'error',
      // The parser compares each key with all before it, which takes minutes for a long mapping.
      uniqueKeys: false,
    })
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

/** Offsets of the keys that stand in a mapping once more. */
function repeatedKeys(document: Document.Parsed): readonly number[] {
  const found: number[] = []
  visit(document, {
    Map(_, { items }) {
      const known = new Set<unknown>()
      for (const { key } of items) {
        if (!isScalar(key)) continue
        if (known.has(key.value)) found.push(key.range?.[0] ?? 0)
        known.add(key.value)
      }
    },
  })
  return found
}

/** Both count from 1. */
export function lineAndColumn(lines: LineCounter, place: Pick<Place, 'offset'>): Position {
  const { line, col } = lines.linePos(place.offset)
  return { line: Math.max(line, 1), column: Math.max(col, 1) }
}

function diagnosticAt(file: string, position: Position, severity: Diagnostic['severity'], message: string): Diagnostic {
  // Messages quote what was found, which may be a key value in the wrong place.
  return {
    file,
    ...position,
    severity,
    message: message.replaceAll(/(cog_|apk_)[A-Za-z0-9._~+/=%-]+/gi, '$1…'),
  }
}
