// A relay in front of a server on loopback, which a test can cut: of two sides that both live, neither hears the other.

import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

/** Passes connections on, until it is told to pass nothing. */
export async function startRelay(to: number) {
  const sockets = new Set<Socket>()
  const clients = new Set<Socket>()
  let accepted = 0
  let isOpen = true
  const server: Server = createServer((near) => {
    if (!isOpen) {
      near.destroy()
      return
    }
    const far = connect(to, '127.0.0.1')
    accepted += 1
    clients.add(near)
    near.once('close', () => clients.delete(near))
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one)
      one.on('error', () => {})
      one.once('close', () => other.destroy())
      one.pipe(other)
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    cut(): void {
      isOpen = false
      for (const socket of sockets) socket.destroy()
    },
    /** Connections since the start. */
    get accepted(): number {
      return accepted
    },
    /** Sends to every client what the server did not say. */
    say(bytes: Buffer): void {
      for (const client of clients) client.write(bytes)
    },
    mend: (): void => void (isOpen = true),
    close(): void {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

export type Relay = Awaited<ReturnType<typeof startRelay>>
