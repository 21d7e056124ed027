// How many connections callers may hold: in all, of one address, and while the process has file descriptors to spare.

import type { Server } from 'node:http'
import { isIPv6, type Socket } from 'node:net'
import { Problem } from '../../problems.ts'

export interface CapOptions {
  readonly maxConnections: number
  /** 0: no cap. An IPv6 address counts by its /64 network, of which one client has all addresses. */
  readonly maxConnectionsPerAddress: number
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
  readonly #ofAddress = new Map<string, number>()
  #open = 0

  constructor(options: CapOptions) {
    const { maxDescriptors } = options
    this.#options = options
    this.#firstReserved = maxDescriptors - Math.min(mostReserved, Math.floor(maxDescriptors / 4))
  }

  get open(): number {
    return this.#open
  }

  /** Takes a new connection until it is closed, or returns why not. */
  take(socket: Socket): ConnectionRefusal | null {
    const { maxConnections, maxConnectionsPerAddress } = this.#options
    // A new descriptor has the lowest free number, so a high one means that few are left.
    if (descriptorOf(socket) >= this.#firstReserved) return 'no-descriptors'
    if (this.#open >= maxConnections) return 'too-many'
    const client = maxConnectionsPerAddress === 0 ? null : clientOf(socket.remoteAddress ?? '')
    if (client !== null) {
      const count = this.#ofAddress.get(client) ?? 0
      if (count >= maxConnectionsPerAddress) return 'too-many-of-address'
      this.#ofAddress.set(client, count + 1)
    }
    this.#open += 1
    socket.once('close', () => this.#giveBack(client))
    return null
  }

  #giveBack(client: string | null): void {
    this.#open -= 1
    if (client === null) return
    const count = this.#ofAddress.get(client) ?? 0
    if (count > 1) this.#ofAddress.set(client, count - 1)
    else this.#ofAddress.delete(client)
  }
}

/** Lets every new connection of a server pass `admit` before Node reads from it. */
export function guardConnections(server: Server, admit: (socket: Socket) => boolean): void {
  const listeners = server.listeners('connection')
  server.removeAllListeners('connection')
  server.on('connection', (socket: Socket) => {
    if (admit(socket)) for (const listener of listeners) Reflect.apply(listener, server, [socket])
  })
}

/** The number of a connection's file descriptor; -1 where there is none, as on Windows. */
function descriptorOf(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, '_handle')
  const descriptor: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : null
  return typeof descriptor === 'number' ? descriptor : -1
}

/** What counts as one client: an IPv4 address, or the /64 network of an IPv6 address. */
export function clientOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  const [plain = ''] = address.split('%', 1)
  if (!isIPv6(plain)) return address
  const [head = '', tail] = plain.split('::')
  const groups = head === '' ? [] : head.split(':')
  if (tail !== undefined) {
    const after = tail === '' ? [] : tail.split(':')
    while (groups.length + after.length < 8) groups.push('0')
  }
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`
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
