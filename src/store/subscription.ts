// Listening to channels, with knowledge of when messages may have been missed.
//
// A connection of its own that is asked for a sign of life every second: one that hangs is silent, and so is a channel
// without messages. Whenever it fails it is replaced by a new one, and every listener learns of the gap.

import { openForListening, type ListenConnection, type StoreSettings } from './connection.ts'
import type { Listener } from './store.ts'

const pulseMs = 1000
const restMs = 250

/** Opens its connection with the first channel. */
export function createSubscriptions(settings: StoreSettings) {
  const listeners = new Map<string, Listener[]>()
  let connection: ListenConnection | null = null
  let listening = false
  let closed = false
  let attempts = 0
  let timer: NodeJS.Timeout | undefined

  function open(): void {
    const opened = openForListening(settings, attempts)
    attempts += 1
    connection = opened
    // The `end` event follows and handles it.
    opened.on('error', () => {})
    opened.on('messageBuffer', (channel, message) => {
      for (const listener of listeners.get(channel.toString()) ?? []) listener.message(message)
    })
    opened.once('ready', () => {
      opened.subscribe(...listeners.keys()).then(
        () => {
          if (connection !== opened) return
          listening = true
          for (const listener of [...listeners.values()].flat()) listener.restored()
          timer = setTimeout(() => pulse(opened), pulseMs)
        },
        () => opened.disconnect(),
      )
    })
    opened.once('end', () => {
      if (connection === opened) replace()
    })
  }

  function pulse(asked: ListenConnection): void {
    // Longer than a call may take: it is not waited for, and a gap costs every listener something.
    const overdue = setTimeout(() => {
      if (connection === asked) replace()
    }, 2 * settings.timeoutMs)
    asked.ping().then(
      () => {
        clearTimeout(overdue)
        if (connection === asked) timer = setTimeout(() => pulse(asked), pulseMs)
      },
      () => {
        clearTimeout(overdue)
        if (connection === asked) replace()
      },
    )
  }

  function replace(): void {
    clearTimeout(timer)
    connection?.disconnect()
    connection = null
    if (listening) {
      listening = false
      for (const listener of [...listeners.values()].flat()) listener.lost()
    }
    if (!closed) timer = setTimeout(open, restMs)
  }

  return {
    add(channel: string, listener: Listener): void {
      const known = listeners.get(channel)
      if (known === undefined) listeners.set(channel, [listener])
      else known.push(listener)
      if (connection === null && timer === undefined) {
        open()
        return
      }
      listener.lost()
      // The connection that is there does not know the channel yet.
      connection?.subscribe(channel).then(
        () => {
          if (listening) listener.restored()
        },
        () => {
          // Not ready yet: it subscribes to all channels when it is.
        },
      )
    },
    close(): void {
      closed = true
      listening = false
      replace()
    },
  }
}
