// The client of the shared store: calls with a deadline and a circuit breaker, messages, and membership.

import { randomUUID } from 'node:crypto'
import { Breaker } from './breaker.ts'
import { openForCalls, type StoreSettings } from './connection.ts'
import { createMembership } from './membership/membership.ts'
import { StoreAway, type Argument, type Script, type Store } from './store.ts'
import { createSubscriptions } from './subscription.ts'

export interface StoreOptions {
  readonly settings: StoreSettings
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Monotonic clock, milliseconds. */
  readonly monotonic: () => number
}

/** Begins to connect, and goes on trying for ever. The store is away until the first answer. */
export function createStore({ settings, now, monotonic }: StoreOptions): Store {
  const instance = randomUUID()
  const connection = openForCalls(settings)
  const subscriptions = createSubscriptions(settings)
  const watchers: ((away: boolean) => void)[] = []
  const calls = { answered: 0, failed: 0, spared: 0 }
  const key: Store['key'] = (...parts) => `${settings.prefix}:${parts.join(':')}`
  let sinceMs = now()
  /** The last error of the connection: a call without a connection does not know the cause. */
  let trouble: string | null = null

  const breaker = new Breaker('the store has not answered yet', monotonic, (reason) => {
    sinceMs = now()
    for (const watcher of watchers) watcher(reason !== null)
  })

  connection.on('error', (error: Error) => {
    trouble = sentence(error)
  })
  connection.on('node error', (error: Error) => {
    trouble = sentence(error)
  })
  connection.on('ready', () => {
    trouble = null
    if (breaker.reason !== null) membership.heartbeat()
  })

  /** The deadline is ours: a call in a cluster can be several, and the library's own covers each of them. */
  function attempt<T>(send: () => Promise<T>, isProbe: boolean, late?: (answer: T) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let settled = false
      const fail = (reason: string, cause?: unknown, sent = true): void => {
        if (settled) return
        settled = true
        clearTimeout(deadline)
        calls.failed += 1
        breaker.failed(reason)
        reject(new StoreAway(reason, { cause, sent }))
      }
      const deadline = setTimeout(
        // When this process was blocked, the answer may have arrived and only has to be read.
        () => setImmediate(fail, `the store did not answer within ${settings.timeoutMs} ms`),
        settings.timeoutMs,
      )
      send().then(
        (answer) => {
          if (settled) {
            late?.(answer)
            return
          }
          settled = true
          clearTimeout(deadline)
          calls.answered += 1
          breaker.succeeded(isProbe)
          resolve(answer)
        },
        (error: unknown) =>
          fail(
            isOffline(error) ? (trouble ?? 'there is no connection to the store') : sentence(error),
            error,
            !isUnsent(error),
          ),
      )
    })
  }

  function call<T>(send: () => Promise<T>, late?: (answer: T) => void): Promise<T> {
    if (breaker.reason === null) return attempt(send, false, late)
    calls.spared += 1
    return Promise.reject(new StoreAway(breaker.reason, { sent: false }))
  }

  function evaluate(
    { digest, text, replies }: Script,
    keys: readonly string[],
    values: readonly Argument[],
  ): Promise<unknown> {
    const send = (command: string, what: string): Promise<unknown> => {
      const given = [what, keys.length, ...keys, ...values]
      return replies === 'binary' ? connection.callBuffer(command, given) : connection.call(command, given)
    }
    return send('evalsha', digest).catch((error: unknown) => {
      if (error instanceof Error && error.message.startsWith('NOSCRIPT')) return send('eval', text)
      throw error
    })
  }

  const run: Store['run'] = (script, keys, values, late) => call(() => evaluate(script, keys, values), late)
  const membership = createMembership({
    instance,
    // On a cluster the heartbeat asks the node that most calls go to.
    probe: (script, keys, values, late) => attempt(() => evaluate(script, keys, values), true, late),
    run,
    subscribe: (channel, listener) => subscriptions.add(channel, listener),
    key,
    monotonic,
    now,
  })

  return {
    instance,
    get away() {
      return breaker.reason !== null
    },
    get state() {
      return {
        away: breaker.reason !== null,
        sinceMs,
        reason: breaker.reason,
        instances: membership.instances,
        calls: { ...calls },
      }
    },
    membership,
    run,
    async publish(channel, message) {
      await call(() => connection.publish(channel, message))
    },
    subscribe: (channel, listener) => subscriptions.add(channel, listener),
    onChange: (listener) => void watchers.push(listener),
    key,
    async close() {
      await membership.close()
      subscriptions.close()
      connection.disconnect()
    },
  }
}

/** What the library says of calls while there is no connection. */
function isOffline(error: unknown): boolean {
  return (
    error instanceof Error &&
    /enableOfflineQueue|Connection is closed|max retries per request|Cluster is ended/i.test(error.message)
  )
}

/** What the library says when it had no connection to write to. Of a connection that broke, calls may have arrived. */
function isUnsent(error: unknown): boolean {
  return error instanceof Error && error.message.includes('enableOfflineQueue')
}

/** What a server or a socket said; neither repeats a value. */
function sentence(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  return text.startsWith('Socket timeout') ? 'the store does not answer' : text.slice(0, 200)
}
