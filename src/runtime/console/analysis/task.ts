// What the thread for policies is asked. Types only; plain data.

import type { Config } from '../../../config/load.ts'
import type { PolicyText } from '../../../policy/loading/read-directory.ts'
import type { RecordedDecision } from '../../../policy/replay/recorded-decision.ts'

export interface AnalysisTask {
  readonly directory: string
  readonly files: readonly PolicyText[]
  readonly catalogue: Config['catalogue']
  readonly issuers: readonly string[]
  readonly nowMs: number
  readonly wanted:
    | { readonly kind: 'matrix' }
    | { readonly kind: 'changes'; readonly before: readonly PolicyText[] }
    | { readonly kind: 'what-would-allow'; readonly record: RecordedDecision }
}
