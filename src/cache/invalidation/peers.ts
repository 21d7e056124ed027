// The interface between the caches of the instances, which shared/ implements over a store. Types only.

export interface Drop {
  /** Tags, and paths that begin with `/`. */
  readonly names: readonly string[]
  /** The outcome of the write is unknown: for some time nothing under these names may be kept. */
  readonly unsettled: boolean
}

export interface BroadcastResult {
  /** Entries that were dropped, by all instances that answered. */
  readonly dropped: number
  /** Instances that answered, this one included. */
  readonly instances: number
  /** Instances that did not answer in time. They cannot serve any of it any more either. */
  readonly silent: number
  /** False: the others have noticed by now that they are cut off, and have dropped everything. */
  readonly reached: boolean
}

export interface PeerHandlers {
  /** Drops what another instance says; returns how many entries there were. */
  drop(drop: Drop): number
  /** Nothing that was stored or asked before may be used any more. */
  dropAll(): void
}

export interface Peers {
  /** Called once, before anything else. */
  attach(handlers: PeerHandlers): void
  /** Called before each read: drops everything if this instance may have missed writes of the others. */
  check(): void
  /** Longest use of an answer that a write could make stale; null: its own lifetime. */
  readonly atMostMs: number | null
  /** Tells all instances to drop something. Resolves when none of them can serve it any more. Never rejects. */
  broadcast(drop: Drop): Promise<BroadcastResult>
}
