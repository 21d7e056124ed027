// Words of policy files that have other mistakes. They are checked against the catalogue as well, so that one run
// shows every mistake. The readers of documents collect them, load.ts has them checked. Pure.

import type { Catalogue } from '../../catalogue/catalogue.ts'
import type { Diagnostic } from '../../config/diagnostics.ts'
import { fewHints } from '../../config/nearest.ts'
import type { Word } from '../../config/yaml/document.ts'
import { compileAllow, unknownPermission } from '../compile/allow.ts'

export interface PolicyWord extends Word {
  readonly file: string
  /** `allow`: an operation id, a pattern or a permission, as in grants. `permission`: a permission alone. */
  readonly kind: 'allow' | 'permission'
}

/** One error for each word that the catalogue does not know, with the nearest spelling. */
export function unknownWords(words: readonly PolicyWord[], catalogue: Catalogue): Diagnostic[] {
  const allow = compileAllow(catalogue)
  const hint = fewHints()
  return words.flatMap(({ file, line, column, kind, text }) => {
    const messages =
      kind === 'allow'
        ? allow(text).problems.flatMap(({ severity, message }) => (severity === 'error' ? [message] : []))
        : catalogue.permissions.names.has(text)
          ? []
          : [unknownPermission(catalogue, text, hint)]
    return messages.map((message): Diagnostic => ({ file, line, column, severity: 'error', message }))
  })
}
