// Which connections are one client's, how many there are, and their refusal before Node reads from them.

import type { Server } from 'node:http'
import { isIPv6, type Server as NetServer, type Socket } from 'node:net'

/** What counts as one client: an IPv4 address, or the /64 network of an IPv6 address, of which one client has all addresses. */
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

/** Connections that are open, in all and of each client. */
export class OpenConnections {
  readonly #ofClient = new Map<string, number>()
  #open = 0

  get open(): number {
    return this.#open
  }

  ofClient(client: string): number {
    return this.#ofClient.get(client) ?? 0
  }

  /** Counts a connection until it is closed. `client`: null where nobody asks for it. */
  add(socket: Socket, client: string | null): void {
    this.#open += 1
    if (client !== null) this.#ofClient.set(client, this.ofClient(client) + 1)
    socket.once('close', () => {
      this.#open -= 1
      if (client === null) return
      const count = this.ofClient(client)
      if (count > 1) this.#ofClient.set(client, count - 1)
      else this.#ofClient.delete(client)
    })
  }
}

/** Hands every new connection of a server to `admit`. Node reads from it once `begin` has been called. */
export function guardConnections(server: Server | NetServer, admit: (socket: Socket, begin: () => void) => void): void {
  const listeners = server.listeners('connection')
  server.removeAllListeners('connection')
  server.on('connection', (socket: Socket) => {
    admit(socket, () => {
      for (const listener of listeners) Reflect.apply(listener, server, [socket])
    })
  })
}
