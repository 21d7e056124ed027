// How many connections the listeners of operators and of health hold, and how long a request may take to arrive. What is more is
// closed, so that it takes no descriptors that callers and the upstream need, and no place from operators.

import type { Server } from 'node:net'
import { clientOf, guardConnections, OpenConnections } from '../../http/client-address.ts'

export const mostConnections = 128
/** Half of all, so that one client leaves room for others. */
export const mostOfClient = 64

/** Requests here are small. Without a bound, bodies that never end hold all connections that there may be. */
const longestRequestMs = 30_000

/** Options of Node's server. */
export function requestBounds(longestMs = longestRequestMs) {
  return {
    // A missing Host is refused as any other that is not clear.
    requireHostHeader: false,
    requestTimeout: longestMs,
    headersTimeout: longestMs,
    connectionsCheckingInterval: Math.min(1_000, longestMs),
  } as const
}

export const operatorsRefusals = ['operators-too-many', 'operators-too-many-of-address'] as const
export type OperatorsRefusal = (typeof operatorsRefusals)[number]

export function capConnections(server: Server, onRefused: (reason: OperatorsRefusal) => void): void {
  const connections = new OpenConnections()
  guardConnections(server, (socket, begin) => {
    const client = clientOf(socket.remoteAddress ?? '')
    const reason =
      connections.open >= mostConnections
        ? 'operators-too-many'
        : connections.ofClient(client) >= mostOfClient
          ? 'operators-too-many-of-address'
          : null
    if (reason === null) {
      connections.add(socket, client)
      begin()
      return
    }
    socket.destroy()
    onRefused(reason)
  })
}
