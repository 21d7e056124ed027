// Messages between the parent and its workers. Everything else is asked at a worker's own operators' listener.

import type { CheckpointOutcome, CheckpointsStatus } from '../records/checkpoints/checkpoints.ts'
import type { ChainHead } from '../records/audit/chain.ts'

/** How the one audit log stands, after so many entries of this worker were taken. */
export interface AuditState {
  readonly kind: 'audit-state'
  readonly taken: number
  readonly healthy: boolean
  readonly error: string | null
  readonly head: ChainHead
  /** Null where none are configured. */
  readonly checkpoints: CheckpointsStatus | null
}

export type ToWorker =
  | AuditState
  | { readonly kind: 'drain' }
  | { readonly kind: 'cut' }
  /** What a checkpoint came to that this worker has asked for. */
  | { readonly kind: 'checkpoint'; readonly id: number; readonly outcome: CheckpointOutcome | null }
  /** To be answered at once, by a worker that does not hang. */
  | { readonly kind: 'ping' }
  /** Another worker has ended: its name among the instances that share the store. */
  | { readonly kind: 'ended'; readonly instance: string }

export interface BoundAddress {
  readonly host: string
  readonly port: number
}

export type ToParent =
  /** The worker listens for messages now. The answer is the state of the audit log. */
  | { readonly kind: 'here' }
  | {
      readonly kind: 'audit'
      readonly event: string
      readonly actor: string
      readonly details: Readonly<Record<string, unknown>>
    }
  | {
      readonly kind: 'listening'
      readonly gateway: BoundAddress
      readonly admin: BoundAddress
      /** What the parent has to send with each request to that listener. */
      readonly secret: string
      readonly instance: string
    }
  | { readonly kind: 'pong' }
  | { readonly kind: 'checkpoint'; readonly id: number }
