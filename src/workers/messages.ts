// What the parent and its workers say to each other. Used by pool.ts and seat.ts; everything else of a worker is asked at
// its own operators' listener.

import type { ChainHead } from '../records/audit/chain.ts'

/** How the one audit log stands, after so many entries of this worker were taken. */
export interface AuditState {
  readonly kind: 'audit-state'
  readonly taken: number
  readonly healthy: boolean
  readonly error: string | null
  readonly head: ChainHead
}

export type ToWorker = AuditState | { readonly kind: 'drain' } | { readonly kind: 'cut' }

export interface Address {
  readonly host: string
  readonly port: number
}

export type ToParent =
  /** The worker hears now. It is answered with the state of the audit log. */
  | { readonly kind: 'here' }
  | {
      readonly kind: 'audit'
      readonly event: string
      readonly actor: string
      readonly details: Readonly<Record<string, unknown>>
    }
  | { readonly kind: 'listening'; readonly gateway: Address; readonly admin: Address }
