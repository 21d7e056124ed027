// How many connections callers may hold: in all, of one address, and while the process has file descriptors to spare.

import type { Socket } from 'node:net'
import { clientOf, OpenConnections } from '../../http/client-address.ts'
import { Problem } from '../../problems.ts'

export interface CapOptions {
  readonly maxConnections: number
  /** 0: no cap. An IPv6 address counts by its /64 network, of which one client has all addresses. */
  readonly maxConnectionsPerAddress: number
  /** Of whose connections the address says nothing about the client. */
  readonly isProxy: (address: string) => boolean
  /** How many file descriptors the process may have; `Infinity` where that is not known. */
  readonly maxDescriptors: number
}

export const connectionRefusals = ['too-many', 'too-many-of-address', 'no-descriptors', 'not-accepted'] as const
export type ConnectionRefusal = (typeof connectionRefusals)[number]

/** Descriptors that stay free for the upstream, files and refusals. */
const mostReserved = 256

export class ConnectionCaps {
  readonly #options: CapOptions
  readonly #firstReserved: number
  readonly #connections = new OpenConnections()

  constructor(options: CapOptions) {
    const { maxDescriptors } = options
    this.#options = options
    this.#firstReserved = maxDescriptors - Math.min(mostReserved, Math.floor(maxDescriptors / 4))
  }

  get open(): number {
    return this.#connections.open
  }

  /** Takes a new connection until it is closed, or returns why not. */
  take(socket: Socket): ConnectionRefusal | null {
    const { maxConnections, maxConnectionsPerAddress, isProxy } = this.#options
    const { remoteAddress: address = '' } = socket
    // A new descriptor has the lowest free number, so a high one means that few are left.
    if (descriptorOf(socket) >= this.#firstReserved) return 'no-descriptors'
    if (this.open >= maxConnections) return 'too-many'
    const client = maxConnectionsPerAddress === 0 || isProxy(address) ? null : clientOf(address)
    if (client !== null && this.#connections.ofClient(client) >= maxConnectionsPerAddress) return 'too-many-of-address'
    this.#connections.add(socket, client)
    return null
  }
}

/** The number of a connection's file descriptor; -1 where there is none, as on Windows. */
function descriptorOf(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, '_handle')
  const descriptor: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : null
  return typeof descriptor === 'number' ? descriptor : -1
}

/** What a caller reads whose connection is refused. */
const refusalTexts: Readonly<Record<ConnectionRefusal, string>> = {
  'too-many': 'The gateway holds as many connections as it may. Close idle ones, and try again after Retry-After.',
  'too-many-of-address':
    'Your address holds as many connections as it may. Reuse them or close idle ones, and try again after Retry-After.',
  'no-descriptors': 'The gateway has no file descriptors left for connections. Try again after Retry-After.',
  'not-accepted': 'The system of the gateway could not take the connection. Try again after Retry-After.',
}

export function connectionRefused(reason: ConnectionRefusal): Problem {
  return new Problem('overloaded', refusalTexts[reason], {
    reason: `connections-${reason}`,
    fields: { 'retry-after': '1', connection: 'close' },
  })
}
