// The parts of an instance that operators see and change.

import type { GatewayApp } from '../../gateway/app.ts'
import type { Overload } from '../../gateway/load/overload.ts'
import type { Upstream } from '../../gateway/upstream/upstream.ts'
import type { OpenAccess } from '../access/open-access.ts'
import type { BlocksInForce } from '../blocks.ts'
import type { Certificates } from '../certificate.ts'
import type { Core } from '../core.ts'
import type { Copies } from '../keys/copies.ts'
import type { Identities } from '../keys/identities.ts'
import type { RotationsInForce } from '../keys/rotations.ts'
import type { SharedState } from '../shared-state.ts'

export interface OperatorsParts {
  readonly core: Core
  readonly shares: SharedState
  readonly upstream: Upstream
  readonly app: GatewayApp
  readonly certificates: Certificates
  readonly access: OpenAccess
  readonly overload: Overload
  readonly blocks: BlocksInForce
  readonly identities: Identities
  readonly copies: Copies
  readonly rotations: RotationsInForce
  /** Changes while the instance lives. */
  readonly lifecycle: { readonly draining: boolean }
}
