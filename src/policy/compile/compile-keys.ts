// The inventory of keys as it is written → handles that are chosen from. In steps; else pure.

import type { Catalogue } from '../../catalogue/catalogue.ts'
import type { Diagnostic } from '../../config/diagnostics.ts'
import { fewHints } from '../../config/nearest.ts'
import type { KeyHandle } from '../../keys/key.ts'
import type { KeyDocument } from '../documents/document.ts'
import { eachInSteps, type Steps } from '../model/steps.ts'
import { unknownPermission } from './allow.ts'
import { errorAt } from './compile-teams.ts'

/** Compiles every key; of two with one id the later one counts, which is an error anyway. */
export function* compileKeys(
  documents: readonly KeyDocument[],
  catalogue: Catalogue,
  diagnostics: Diagnostic[],
): Steps<KeyHandle[]> {
  const keys = new Map<string, KeyHandle>()
  const { permissions } = catalogue
  const hint = fewHints()
  yield* eachInSteps(documents, (document) => {
    const other = keys.get(document.id)
    if (other !== undefined)
      diagnostics.push(
        errorAt(
          document,
          ['id'],
          `key "${document.id}" is defined twice; the other one is at ${other.source.file}:${other.source.line}`,
        ),
      )
    for (const [index, name] of document.permissions.entries()) {
      if (!permissions.names.has(name))
        diagnostics.push(errorAt(document, ['permissions', index], unknownPermission(catalogue, name, hint)))
    }
    keys.set(document.id, {
      id: document.id,
      scope: document.scope,
      organization: document.organization,
      permissions: new Set(document.permissions),
      serves:
        typeof document.servesOrganizations === 'string'
          ? document.servesOrganizations
          : new Set(document.servesOrganizations),
      secret: document.secret,
      serviceUser: document.serviceUser,
      watch: document.watch,
      expiresAtMs: document.expires === null ? null : endOf(document.expires),
      rotate: document.rotate,
      source: { file: document.file, line: document.line },
    })
  })
  return [...keys.values()]
}

/** A date alone is the last day of the key. */
function endOf(expires: string): number {
  return Date.parse(expires) + (expires.includes('T') ? 0 : 86_400_000)
}
