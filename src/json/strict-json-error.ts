// Why a document is no strict JSON, and where.

/** `syntax`: another reader could see something else. `depth`, `values`: it is strict JSON beyond a bound. */
export type JsonFault = 'syntax' | 'depth' | 'values'

/** Why a document was refused and where: byte offset from 0, line and column (in characters) from 1. */
export class StrictJsonError extends Error {
  override readonly name = 'StrictJsonError'
  readonly fault: JsonFault
  readonly offset: number
  readonly line: number
  readonly column: number

  /** `at`: index in `text` of the place. */
  constructor(what: string, text: string, at: number, fault: JsonFault = 'syntax') {
    const offset = Buffer.byteLength(text.slice(0, at))
    const { line, column } = positionOf(text, at)
    super(`${what} at byte ${offset} (${line}:${column})`)
    this.fault = fault
    this.offset = offset
    this.line = line
    this.column = column
  }
}

/** By loops: lists of lines and characters would cost many times the document. */
function positionOf(text: string, at: number): { readonly line: number; readonly column: number } {
  let line = 1
  let start = 0
  for (let index = 0; index < at; index += 1) {
    const code = text.charCodeAt(index)
    // A line break of two characters counts at its second one.
    if (code !== lineFeed && (code !== carriageReturn || (index + 1 < at && text.charCodeAt(index + 1) === lineFeed)))
      continue
    line += 1
    start = index + 1
  }
  let column = 1
  for (let index = start; index < at; index += 1) if (!isLowSurrogate(text.charCodeAt(index))) column += 1
  return { line, column }
}

/** Whether a UTF-16 code is the second one of a pair. */
export function isLowSurrogate(code: number): boolean {
  return code >= 0xdc00 && code <= 0xdfff
}

const [lineFeed, carriageReturn] = [0x0a, 0x0d]
