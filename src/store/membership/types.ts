// What is told of the instances that share a store. Types only.

/**
 * `joined`: every message is heard in time. `degraded`: so it is, but members went missing that may be cut off and going on.
 * `isolated`: messages may be missed.
 */
export type MembershipStatus = 'joined' | 'degraded' | 'isolated'

export interface MembershipState {
  readonly status: MembershipStatus
  /** Members that the store knows, and those that went missing within ten minutes, as last heard. */
  readonly members: number
  readonly missing: number
  /** Times that this instance fell out, and could have missed messages. */
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
  /** This instance's name as a member: new after each lapse, and nobody can know it before. */
  readonly member: string
  /** How many instances were last seen, this one included; at least 1. */
  readonly instances: number
  /** Name of the life of the store: another one when it has lost what it held. Null before its first answer. */
  readonly epoch: string | null
  /** Whether this instance is the one to do what one has to do for all. */
  readonly isLeader: boolean
  /** Names of the keys of the epoch and of the instances that are there, for scripts that look at them. */
  readonly keys: { readonly epoch: string; readonly instances: string }
  /** To be called once, before anything else is heard. */
  attach(handlers: MemberHandlers): void
  /** Sees whether the lease is over. To be called before what depends on messages is used. */
  check(): void
  /** Sends a message to all members. Rejects with `StoreAway`; it may have been sent all the same. */
  send(body: Readonly<Record<string, unknown>>): Promise<Sent>
  /** When, by the monotonic clock, all others will have noticed if this instance is cut off. */
  readonly noticedAtMs: number
  onChange(listener: (state: MembershipState) => void): void
  /** The store has lost what it held. */
  onEpoch(listener: () => void): void
  /** Resolves when this instance has joined; after that time in any case. */
  joined(withinMs: number): Promise<void>
  /** Another instance has ended for certain: nobody waits for it any more. */
  remove(instance: string): Promise<void>
  /** Says at once that this instance is there. */
  heartbeat(): void
  close(): Promise<void>
}

/** A message is on its way. */
export interface Sent {
  /** Who hears it. */
  readonly members: readonly string[]
  /** A member that does not answer within so many milliseconds has no lease any more, and is without any message. */
  readonly answerWithinMs: number
  /** Until then members that the store has forgotten may go by an old lease; by the monotonic clock. */
  readonly untilMs: number
}
