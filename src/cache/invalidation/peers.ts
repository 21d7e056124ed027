// What the cache tells the other instances of the gateway and is told by them. Types only; shared/ does it
// over a store. Without a store there are no peers.

/** What a write or a purge makes stale. */
export interface Drop {
  /** Tags, and paths that begin with `/`. */
  readonly names: readonly string[]
  /** Nobody knows how the write ended: for some time nothing under these names may be kept. */
  readonly unsettled: boolean
}

/** What became of a drop. */
export interface BroadcastResult {
  /** Entries that were dropped, by all instances that answered. */
  readonly dropped: number
  /** Instances that answered, this one included. */
  readonly instances: number
  /** Instances that did not answer in time. They cannot serve any of it any more either. */
  readonly silent: number
  /** The others were told. Otherwise they have noticed by now that they are cut off, and have dropped everything. */
  readonly reached: boolean
}

/** What the cache does when it is told. */
export interface PeerHandlers {
  /** Drops what another instance says; returns how many entries there were. */
  drop(drop: Drop): number
  /** Nothing that was stored or asked before may be used any more. */
  dropAll(): void
}

export interface Peers {
  /** Called once, before anything else. */
  attach(handlers: PeerHandlers): void
  /** Called before each read: drops everything if this instance cannot know any more what the others have written. */
  check(): void
  /** No answer that a write could make stale is used for longer than this; null for as long as it is good. */
  readonly atMostMs: number | null
  /**
   * Tells all instances to drop something. Resolves when none of them can serve it any more, whether it answered or not.
   * Never rejects.
   */
  tell(drop: Drop): Promise<BroadcastResult>
}
