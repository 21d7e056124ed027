// Reads YAML and JSON that programs of others wrote: anchors and aliases are followed, within bounds.

import { LineCounter, parseDocument, isNode, type Document } from 'yaml'
import { Refused, type Diagnostic } from '../diagnostics.ts'
import { lineAndColumn, type Path } from './document.ts'
import { syntaxProblems } from './syntax.ts'

export interface ForeignDocument {
  readonly file: string
  readonly value: unknown
  /** A diagnostic at the value of a path, or at the nearest value that holds it. */
  at(path: Path, message: string): Diagnostic
}

/** No alias may stand for more than this many values: a few lines could otherwise stand for billions. */
const maxAliasCount = 10_000

/** Reads one document of JSON or YAML 1.2. Throws `Refused` with the place of each mistake. */
export function readForeign(file: string, text: string): ForeignDocument {
  const source = text.startsWith('\uFEFF') ? text.slice(1) : text
  const value = jsonOf(source)
  if (value !== undefined) {
    // Places are needed only for messages, and reading YAML takes much longer than reading JSON.
    return { file, value, at: (path, message) => placed(file, parse(source), path, message) }
  }
  const parsed = parse(source)
  const [error] = parsed.document.errors
  if (error !== undefined) throw new Refused([syntaxMistake(file, parsed, source, error.code)])
  return {
    file,
    value: plainValue(file, parsed),
    at: (path, message) => placed(file, parsed, path, message),
  }
}

interface Parsed {
  readonly document: Document.Parsed
  readonly lines: LineCounter
}

function jsonOf(text: string): unknown {
  if (!/^\s*[[{]/.test(text)) return undefined
  try {
    return JSON.parse(text) as unknown
  } catch {
    // Not JSON; perhaps YAML. That parser also says where a mistake is.
    return undefined
  }
}

function parse(text: string): Parsed {
  const lines = new LineCounter()
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    schema: 'core',
    merge: true,
    logLevel: 'error',
  })
  return { document, lines }
}

function plainValue(file: string, parsed: Parsed): unknown {
  try {
    return parsed.document.toJS({ maxAliasCount })
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    throw new Refused([mistake(file, parsed, 0, `the document cannot be read: ${message}`)])
  }
}

function syntaxMistake(file: string, parsed: Parsed, source: string, code: string): Diagnostic {
  const { place, message } = syntaxProblems(parsed.document, source, false)[0] ?? { place: { offset: 0 }, message: '' }
  if (code === 'RESOURCE_EXHAUSTION') return mistake(file, parsed, place.offset, 'the document is nested too deeply')
  if (code === 'MULTIPLE_DOCS')
    return mistake(file, parsed, place.offset, 'the file holds several documents: give one at a time')
  return mistake(file, parsed, place.offset, `not valid YAML or JSON: ${message.replace(/^not valid YAML: /, '')}`)
}

function placed(file: string, parsed: Parsed, path: Path, message: string): Diagnostic {
  for (let length = path.length; length >= 0; length -= 1) {
    const node: unknown = parsed.document.getIn(path.slice(0, length), true)
    if (isNode(node) && node.range) return mistake(file, parsed, node.range[0], message)
  }
  return mistake(file, parsed, 0, message)
}

function mistake(file: string, { lines }: Parsed, offset: number, message: string): Diagnostic {
  return { file, ...lineAndColumn(lines, { offset }), severity: 'error', message }
}
