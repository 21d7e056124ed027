// The parts that the console looks at.

import type { BlocksInForce } from '../blocks.ts'
import type { Certificates } from '../certificate.ts'
import type { Core } from '../core.ts'
import type { GatewayApp } from '../../gateway/app.ts'
import type { GroupView } from '../../cache/shared/group-view.ts'
import type { Identities } from '../keys/identities.ts'
import type { KeyReport } from '../keys/key-report.ts'
import type { Overload } from '../../gateway/load/overload.ts'
import type { Readiness } from '../../admin/app.ts'
import type { SharedState } from '../shared-state.ts'
import type { Upstream } from '../../gateway/upstream/upstream.ts'

export interface ConsoleOptions {
  readonly core: Core
  readonly shares: SharedState
  readonly upstream: Upstream
  readonly app: Pick<GatewayApp, 'inFlight'>
  readonly certificates: Certificates
  readonly overload: Overload
  readonly blocks: BlocksInForce
  readonly identities: Identities
  readonly report: KeyReport
  readonly readiness: () => Readiness
  readonly lifecycle: { readonly draining: boolean }
  readonly group: () => GroupView | null
  /** Files that are read at the start only and have changed since, as sentences. */
  readonly changedFiles: () => readonly string[]
  /** What else is not as it should be, as sentences. */
  readonly extraNotes: () => readonly string[]
}
