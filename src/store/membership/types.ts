// Types of the membership of instances that share a store.

/**
 * `joined`: every message arrives in time. `degraded`: the same, but members went missing that may be cut off and
 * still writing. `isolated`: messages may be missed.
 */
export type MembershipStatus = 'joined' | 'degraded' | 'isolated'

export interface MembershipState {
  readonly status: MembershipStatus
  /** Members that the store knows, and those that went missing within ten minutes, as last heard. */
  readonly members: number
  readonly missing: number
  /** How often this instance lost its membership and could have missed messages. */
  readonly lapses: number
  /** Why it is isolated; null while it is not. */
  readonly reason: string | null
}

export interface MemberHandlers {
  /** A member has sent this; this one included. */
  message(body: Readonly<Record<string, unknown>>): void
  /** Nothing that depends on messages may be used any more. */
  reset(): void
  /** These members will answer nothing any more. */
  out(members: readonly string[]): void
}

export interface Membership {
  readonly status: MembershipStatus
  readonly state: MembershipState
  /** This instance's name as a member: new and unpredictable after each loss of membership. */
  readonly member: string
  /** How many instances were last seen, this one included; at least 1. */
  readonly instances: number
  /** The store's epoch: changes when the store has lost its data. Null before its first answer. */
  readonly epoch: string | null
  /** Whether this instance is the leader. */
  readonly isLeader: boolean
  /** Names of the keys of the epoch and of the instances that are there, for scripts that look at them. */
  readonly keys: { readonly epoch: string; readonly instances: string }
  /** To be called once, before anything else is heard. */
  attach(handlers: MemberHandlers): void
  /** Checks whether the lease has expired. To be called before using anything that depends on messages. */
  check(): void
  /** Sends a message to all members. Rejects with `StoreAway`; the message may still have been sent. */
  send(body: Readonly<Record<string, unknown>>): Promise<Sent>
  /** When, by the monotonic clock, all others will have noticed if this instance is cut off. */
  readonly noticedAtMs: number
  onChange(listener: (state: MembershipState) => void): void
  /** The store has lost what it held. */
  onEpoch(listener: () => void): void
  /** Resolves when this instance has joined; after that time in any case. */
  joined(withinMs: number): Promise<void>
  /** Another instance has certainly ended: nobody waits for it any more. */
  remove(instance: string): Promise<void>
  /** Sends a heartbeat at once. */
  heartbeat(): void
  close(): Promise<void>
}

/** A message is on its way. */
export interface Sent {
  /** The members that receive it. */
  readonly members: readonly string[]
  /** A member that does not answer within so many milliseconds has lost its lease and serves nothing stored. */
  readonly answerWithinMs: number
  /** Until then members that the store has forgotten may go by an old lease; by the monotonic clock. */
  readonly untilMs: number
}
