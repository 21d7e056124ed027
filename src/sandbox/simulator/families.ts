// All handlers of the simulator in one table. A catalogue operation without a handler stops the start, and so does a handler
// for an operation that the catalogue does not know.

import { devinApi } from '../../catalogue/data.ts'
import type { World } from '../world.ts'
import { attachmentHandlers } from './attachments.ts'
import { auditHandlers } from './audit.ts'
import type { Call, Handlers } from './call.ts'
import { figureHandlers } from './figures.ts'
import { libraryHandlers } from './library.ts'
import { limitHandlers } from './limits.ts'
import { memberHandlers } from './members.ts'
import type { ObjectStore } from './objects.ts'
import { organizationHandlers } from './organizations.ts'
import { outpostHandlers } from './outposts.ts'
import { repositoryHandlers } from './repositories.ts'
import { scanHandlers } from './scans.ts'
import { scheduleHandlers } from './schedules.ts'
import { serviceUserHandlers } from './service-users.ts'
import { sessionHandlers } from './sessions.ts'
import { snapshotHandlers } from './snapshots.ts'
import type { State } from './state.ts'

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
