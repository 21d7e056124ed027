// The shape of a sandbox company: what a world says about people, keys, sessions and objects.

import type { Item } from '../simulator/state/item.ts'
import type { Kind } from '../simulator/state/kinds.ts'

/** A named set of permissions. */
export interface WorldRole {
  readonly id: string
  readonly name: string
  readonly type: 'enterprise' | 'org'
  readonly permissions: readonly string[]
}

/** A role in one organization, or (null) at enterprise level. */
export interface WorldAssignment {
  readonly role: string
  readonly organization: string | null
}

/** A person. */
export interface WorldUser {
  readonly id: string
  readonly email: string
  readonly name: string | null
  readonly assignments: readonly WorldAssignment[]
  /** IdP groups the user belongs to. */
  readonly groups: readonly string[]
}

/** A service user; its permissions become a role of its own. */
export interface WorldServiceUser {
  readonly id: string
  readonly name: string
  readonly scope: 'enterprise' | 'organization'
  readonly organization: string | null
  readonly permissions: readonly string[]
  /** Key values that work from the start. */
  readonly keys: readonly string[]
}

/** A session that was there before. */
export interface WorldSession {
  readonly id: string
  readonly organization: string
  readonly title: string
  /** `new` and `running` go on living by the clock; the others stand still. */
  readonly state: 'new' | 'running' | 'suspended' | 'exit' | 'error'
  readonly minutesAgo: number
  readonly acus: number
  readonly tags: readonly string[]
  readonly repos: readonly string[]
  readonly pullRequests: readonly { readonly url: string; readonly state: string }[]
  readonly user: string | null
  readonly serviceUser: string | null
  readonly archived: boolean
}

/** An object as the API shows it, without its id and times. */
export interface WorldItem {
  readonly kind: Kind
  /** Null: it belongs to the enterprise. */
  readonly organization: string | null
  readonly id: string
  readonly daysAgo: number
  readonly fields: Item
}

/** What one principal consumed on one day. */
export interface WorldConsumption {
  readonly daysAgo: number
  readonly organization: string
  readonly user: string | null
  readonly serviceUser: string | null
  readonly acus: number
}

/** What policies say of a company. */
export interface DeclaredCompany {
  readonly organizations: readonly string[]
  readonly serviceUsers: readonly WorldServiceUser[]
  readonly users: readonly WorldUser[]
}

/** A company before the first request. */
export interface World {
  readonly organizations: readonly { readonly id: string; readonly name: string }[]
  readonly roles: readonly WorldRole[]
  readonly users: readonly WorldUser[]
  readonly idpGroups: readonly { readonly name: string; readonly assignments: readonly WorldAssignment[] }[]
  readonly serviceUsers: readonly WorldServiceUser[]
  readonly sessions: readonly WorldSession[]
  readonly items: readonly WorldItem[]
  readonly consumption: readonly WorldConsumption[]
  readonly auditLogs: readonly (Item & { readonly daysAgo: number })[]
}
