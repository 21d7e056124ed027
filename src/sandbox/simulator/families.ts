// All handlers of the simulator in one table. A catalogue operation without a handler stops the start, and so does a handler
// for an operation that the catalogue does not know.

import { devinApi } from '../../catalogue/data.ts'
import type { World } from '../world/types.ts'
import { attachmentHandlers } from './sessions/attachments.ts'
import { auditHandlers } from './company/audit.ts'
import type { Call, Handlers } from './state/call.ts'
import { figureHandlers } from './company/figures.ts'
import { libraryHandlers } from './content/library.ts'
import { limitHandlers } from './company/limits.ts'
import { memberHandlers } from './company/members.ts'
import { placementHandlers } from './company/placement.ts'
import type { ObjectStore } from './state/objects.ts'
import { organizationHandlers } from './company/organizations.ts'
import { outpostHandlers } from './sessions/outposts.ts'
import { repositoryHandlers } from './sessions/repositories.ts'
import { scanHandlers } from './content/scans.ts'
import { scheduleHandlers } from './content/schedules.ts'
import { serviceUserHandlers } from './company/service-users.ts'
import { sessionHandlers } from './sessions/sessions.ts'
import { snapshotHandlers } from './sessions/snapshots.ts'
import type { State } from './state/state.ts'

/** What the families are given. */
export interface Surroundings {
  readonly state: State
  readonly objects: ObjectStore
  readonly world: World
  readonly nowMs: number
  /** Where the simulator listens; known only once it does. */
  readonly origin: () => string
}

/** Puts the families together. Throws when they do not cover the catalogue exactly. */
export function createHandlers({ state, objects, world, nowMs, origin }: Surroundings): Handlers {
  const handlers: Handlers = {
    'self.get': self,
    'self.enterprise.get': self,
    ...sessionHandlers(state, world.sessions, nowMs),
    ...attachmentHandlers(objects, origin),
    ...auditHandlers(state),
    ...libraryHandlers(state),
    ...scheduleHandlers(state),
    ...memberHandlers(state),
    ...serviceUserHandlers(state),
    ...organizationHandlers(state),
    ...placementHandlers(state),
    ...limitHandlers(state),
    ...figureHandlers(state),
    ...repositoryHandlers(state),
    ...snapshotHandlers(state, objects, origin),
    ...scanHandlers(state),
    ...outpostHandlers(state),
  }
  const known = new Set(devinApi.operations.map((operation) => operation.id))
  const strangers = Object.keys(handlers).filter((id) => !known.has(id))
  const missing = [...known].filter((id) => handlers[id] === undefined)
  if (strangers.length + missing.length > 0) {
    throw new Error(
      `simulator: no operation for ${strangers.join(', ') || 'none'}; no handler for ${missing.join(', ') || 'none'}`,
    )
  }
  return handlers
}

/** Who the key belongs to; a null `org_id` means enterprise scope. */
function self({ caller }: Call): unknown {
  return {
    principal_type: 'service_user',
    service_user_id: caller.id,
    service_user_name: caller.name,
    org_id: caller.organization,
  }
}
