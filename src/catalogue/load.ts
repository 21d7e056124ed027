// The built-in catalogue plus the extension files of the configuration, or a refusal with every diagnostic.

import { fileProblem, hasErrors, Refused, type Diagnostic } from '../config/diagnostics.ts'
import { readText } from '../config/values/files.ts'
import { compileCatalogue, type Catalogue } from './catalogue.ts'
import { devinApi } from './data.ts'
import { readExtension, type Extension } from './extension.ts'
import type { Stability } from './operation.ts'

export interface CatalogueSettings {
  readonly stability: readonly Stability[]
  /** Absolute paths of extension files. */
  readonly files: readonly string[]
}

export interface LoadedCatalogue {
  readonly catalogue: Catalogue
  readonly extensions: readonly Extension[]
  /** Warnings only: with an error the load is refused. */
  readonly diagnostics: readonly Diagnostic[]
}

/** Loads and compiles the catalogue once, at start. Throws `Refused`. */
export async function loadCatalogue(settings: CatalogueSettings): Promise<LoadedCatalogue> {
  const diagnostics: Diagnostic[] = []
  const extensions: Extension[] = []
  for (const file of settings.files) {
    const text = await readText(file)
    if ('error' in text) {
      diagnostics.push(fileProblem(file, `the extension file cannot be read: ${text.error}`))
      continue
    }
    const read = readExtension({ file, text: text.value })
    for (const diagnostic of read.diagnostics) diagnostics.push(diagnostic)
    if (read.extension !== null) extensions.push(read.extension)
  }
  if (hasErrors(diagnostics)) throw new Refused(diagnostics)
  const compiled = compileCatalogue({ data: devinApi, stability: settings.stability, extensions })
  if (hasErrors(compiled.diagnostics)) throw new Refused(compiled.diagnostics)
  return { catalogue: compiled.catalogue, extensions, diagnostics: [...diagnostics, ...compiled.diagnostics] }
}
