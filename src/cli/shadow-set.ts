// The shadow set of a configuration, as `check` and `test` look at it. What is wrong with it is told apart from what is wrong
// with the policies in force.

import { loadCatalogue } from '../catalogue/load.ts'
import { policyFolderProblem } from '../config/checks.ts'
import { Refused, type Diagnostic } from '../config/diagnostics.ts'
import type { Config } from '../config/load.ts'
import { loadShadowPolicies, type LoadedPolicies } from '../policy/loading/load.ts'

const mark = '[shadow set] '

/** Loads the shadow set as the gateway does. Null where there is none, or it cannot be read, which is a warning about the configuration. */
export async function loadShadowSet(config: Config): Promise<LoadedPolicies | null> {
  const directory = config.shadowPoliciesDirectory
  if (directory === null || (await policyFolderProblem(directory)) !== null) return null
  const { catalogue } = await loadCatalogue(config.catalogue)
  try {
    const loaded = await loadShadowPolicies(directory, config, { catalogue })
    return { ...loaded, diagnostics: loaded.diagnostics.map(marked) }
  } catch (error) {
    throw error instanceof Refused ? new Refused(error.diagnostics.map(marked)) : error
  }
}

function marked(diagnostic: Diagnostic): Diagnostic {
  return { ...diagnostic, message: `${mark}${diagnostic.message}` }
}

/** The message of a diagnostic, whichever set it is about. */
export function withoutMark(message: string): string {
  return message.startsWith(mark) ? message.slice(mark.length) : message
}
