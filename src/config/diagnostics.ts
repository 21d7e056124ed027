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
      compareTexts(a.file, b.file) || a.line - b.line || a.column - b.column || compareTexts(a.message, b.message),
  )
}

/** Comparing by language takes much longer than seeing that two texts are the same. */
function compareTexts(a: string, b: string): number {
  return a === b ? 0 : a.localeCompare(b)
}

/** Most diagnostics that are told of one file, and of all files together. */
const mostOfFile = 100
const mostOfAll = 1000

/** Sorted, and no more than anybody reads: of a file with very many the errors before the warnings, and how many more there are. */
export function readableDiagnostics(diagnostics: readonly Diagnostic[]): readonly Diagnostic[] {
  const byFile = Map.groupBy(diagnostics, ({ file }) => file)
  const told = sortDiagnostics([...byFile.values()].flatMap((ofFile) => withRest(ofFile, mostOfFile, 'in this file')))
  return withRest(told, mostOfAll, 'in these files')
}

function withRest(all: readonly Diagnostic[], most: number, where: string): readonly Diagnostic[] {
  // What was shortened before has one more, which says so.
  if (all.length <= most + 1) return all
  const sorted = sortDiagnostics(all)
  const bySeverity = [
    ...sorted.filter(({ severity }) => severity === 'error'),
    ...sorted.filter(({ severity }) => severity === 'warning'),
  ]
  const told = sortDiagnostics(bySeverity.slice(0, most))
  const [next, ...others] = bySeverity.slice(most)
  if (next === undefined) return told
  const rest = others.length === 0 ? 'one more' : `${others.length + 1} more`
  const message = `and ${rest} ${where}, the first one here: they are told once the ones before are mended`
  return [...told, { ...next, message }]
}

export function hasErrors(diagnostics: readonly Diagnostic[]): boolean {
  return diagnostics.some((diagnostic) => diagnostic.severity === 'error')
}

/** Thrown where a whole file set is refused; carries every diagnostic, or the first of very many. */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly diagnostics: readonly Diagnostic[]

  constructor(diagnostics: readonly Diagnostic[]) {
    const told = readableDiagnostics(diagnostics)
    super(told.map(formatDiagnostic).join('\n'))
    this.diagnostics = told
  }
}
