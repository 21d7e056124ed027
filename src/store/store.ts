// The interface of the shared store (Valkey or Redis), and the rules for using it.
//
// With `store: memory` there is none: `runtime.ts` hands out `null`, and every part that can share works by itself then.
// With a store, a part gets a `Store` and keeps to these rules:
//
// - Every call can fail, after the configured deadline (50 ms) at the latest, with `StoreAway`. Nothing is tried again.
//   While the store is away, calls fail at once: `away` says so beforehand. Have an answer for that.
// - A call that failed may have been done: its answer may only have been late. Where that matters, pass `late` to `run`,
//   or make the call such that doing it twice does no harm.
// - What must happen together is one script: `run(script, keys, arguments)`. Make scripts with `script(…)`, once, at the
//   top of a module. Take the time from the server (`redis.call('TIME')`), never from the caller.
// - Names of keys and channels are made by `key('{tag}', …)`, which puts the configured prefix first. All keys of one script must share a tag in braces: on a cluster they must be on one node.
// - Every key gets an expiry. Nothing is kept in the store that cannot be lost: it may be emptied at any time.
// - `onChange` tells when the store goes away and comes back, once each. Nobody else logs or counts it.
// - Messages can be missed: `lost` and `restored` of a subscription say from when and until when.

import { createHash } from 'node:crypto'
import type { Membership } from './membership/types.ts'

/** A script for the server, and its digest. */
export interface Script {
  /** For messages: `limits.decide`. */
  readonly name: string
  readonly text: string
  readonly digest: string
  /** How texts in the answer come: as strings, or as bytes. */
  readonly replies: 'text' | 'binary'
}

/** A script in Lua; KEYS, ARGV and `redis.call` as Valkey and Redis have them. */
export function script(name: string, text: string, replies: Script['replies'] = 'text'): Script {
  return { name, text, digest: createHash('sha1').update(text).digest('hex'), replies }
}

export type Argument = string | number | Buffer

/** The store did not do, or not in time, what was asked. `message` is a sentence for logs; it names no value. */
export class StoreAway extends Error {
  override readonly name = 'StoreAway'
  /** False when the call surely did not leave this process; true when it may be done, now or when the store goes on. */
  readonly sent: boolean

  constructor(message: string, { sent = true, ...options }: ErrorOptions & { readonly sent?: boolean } = {}) {
    super(message, options)
    this.sent = sent
  }
}

/** Callbacks of a subscriber. */
export interface Listener {
  message(text: Buffer): void
  /** From now on messages may be missed. Also called when subscribing did not succeed at once. */
  lost(): void
  /** Messages arrive again. What was published since `lost` will not. */
  restored(): void
}

export interface StoreStatus {
  readonly away: boolean
  /** When it last went away or came back, milliseconds since the epoch. */
  readonly sinceMs: number
  /** Why it is away, as a sentence; null while it is not. */
  readonly reason: string | null
  /** How many gateways were last seen sharing the store, this one included; at least 1. */
  readonly instances: number
  /** Calls that were answered, that failed, and that were not tried because the store was away. */
  readonly calls: { readonly answered: number; readonly failed: number; readonly spared: number }
}

export interface Store {
  /** This instance's name among those that share the store: unique, new at every start. */
  readonly instance: string
  readonly away: boolean
  readonly state: StoreStatus
  /** Who else shares the store, and messages between all of them. */
  readonly membership: Membership
  /**
   * Runs a script; its answer as the server gives it (numbers, texts, lists of them, null). Rejects with `StoreAway`.
   * `late` gets the answer of a call that had already been given up.
   */
  run(
    script: Script,
    keys: readonly string[],
    values: readonly Argument[],
    late?: (answer: unknown) => void,
  ): Promise<unknown>
  /** Tells all subscribers of a channel, on all instances, this one included. */
  publish(channel: string, message: string | Buffer): Promise<void>
  /** Listens to a channel until the store is closed. */
  subscribe(channel: string, listener: Listener): void
  /** Tells when the store goes away and when it comes back. At the start it is away. */
  onChange(listener: (away: boolean) => void): void
  /** `prefix:` and the parts, joined by colons. The first part of keys that belong together is a tag: `{limits}`. */
  key(...parts: readonly string[]): string
  /** Removes this instance from the membership and closes every connection. */
  close(): Promise<void>
}
