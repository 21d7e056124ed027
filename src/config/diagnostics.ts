// Diagnostics: mistakes in files that people write, with their place. All are collected before anything is refused.

export interface Diagnostic {
  readonly file: string
  /** 1-based; 0 when the message is about the file as a whole. */
  readonly line: number
  readonly column: number
  readonly severity: 'error' | 'warning'
  readonly message: string
}

/** A mistake of a file as a whole. */
export function fileProblem(file: string, message: string): Diagnostic {
  return { file, line: 0, column: 0, severity: 'error', message }
}

/** `file:line:column: message`, the form editors and CI annotations understand. */
export function formatDiagnostic(diagnostic: Diagnostic): string {
  const place = diagnostic.line > 0 ? `${diagnostic.file}:${diagnostic.line}:${diagnostic.column}` : diagnostic.file
  return `${place}: ${diagnostic.severity === 'warning' ? 'warning: ' : ''}${diagnostic.message}`
}

/** Sorts by file, line, column, then message, so that the same mistakes always read the same. */
export function sortDiagnostics(diagnostics: readonly Diagnostic[]): Diagnostic[] {
  return diagnostics.toSorted(
    (a, b) =>
      a.file.localeCompare(b.file) || a.line - b.line || a.column - b.column || a.message.localeCompare(b.message),
  )
}

export function hasErrors(diagnostics: readonly Diagnostic[]): boolean {
  return diagnostics.some((diagnostic) => diagnostic.severity === 'error')
}

/** Thrown where a whole file set is refused; carries every diagnostic. */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly diagnostics: readonly Diagnostic[]

  constructor(diagnostics: readonly Diagnostic[]) {
    const sorted = sortDiagnostics(diagnostics)
    super(sorted.map(formatDiagnostic).join('\n'))
    this.diagnostics = sorted
  }
}
