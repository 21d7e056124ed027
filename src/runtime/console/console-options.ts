// The parts that the console looks at.

import type { Readiness } from '../../admin/app.ts'
import type { GroupView } from '../../cache/shared/group-view.ts'
import type { KeyReport } from '../keys/key-report.ts'
import type { OperatorsParts } from '../operators/parts.ts'

export interface ConsoleOptions extends OperatorsParts {
  readonly report: KeyReport
  readonly readiness: () => Readiness
  readonly group: () => GroupView | null
  /** Files that are read at the start only and have changed since, as sentences. */
  readonly changedFiles: () => readonly string[]
  /** What else is not as it should be, as sentences. */
  readonly extraNotes: () => readonly string[]
}
