// How many connections the listeners of operators and of health hold. What is more is closed, so that it takes no descriptors that
// callers and the upstream need.

import type { Server } from 'node:net'
import { clientOf, guardConnections, OpenConnections } from '../../http/client-address.ts'

export const mostConnections = 128
/** Half of all, so that one client leaves room for others. */
export const mostOfClient = 64

export const operatorsRefusals = ['operators-too-many', 'operators-too-many-of-address'] as const
export type OperatorsRefusal = (typeof operatorsRefusals)[number]

export function capConnections(server: Server, onRefused: (reason: OperatorsRefusal) => void): void {
  const connections = new OpenConnections()
  guardConnections(server, (socket) => {
    const client = clientOf(socket.remoteAddress ?? '')
    const reason =
      connections.open >= mostConnections
        ? 'operators-too-many'
        : connections.ofClient(client) >= mostOfClient
          ? 'operators-too-many-of-address'
          : null
    if (reason === null) {
      connections.add(socket, client)
      return true
    }
    socket.destroy()
    onRefused(reason)
    return false
  })
}
