// An upstream that speaks bytes instead of HTTP: for answers that no server library would send.

import { createServer, type AddressInfo, type Socket } from 'node:net'

export interface RawUpstream {
  readonly origin: string
  /** Requests whose head has arrived, over all connections; each is the text of its connection so far. */
  readonly requests: string[]
  readonly connections: number
  /** What to do with each request from now on. */
  respond(handler: (socket: Socket, request: string) => void): void
  close(): Promise<void>
}

/** Starts it on 127.0.0.1. A request is what ends in an empty line; bodies come in later calls of nobody. */
export async function startRawUpstream(): Promise<RawUpstream> {
  const requests: string[] = []
  const sockets = new Set<Socket>()
  let connections = 0
  let handler: (socket: Socket, request: string) => void = (socket) =>
    socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}')
  const server = createServer((socket) => {
    connections += 1
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      const end = text.indexOf('\r\n\r\n')
      if (end === -1) return
      const request = text
      text = ''
      // Only heads begin with a method; what follows one is its body.
      if (!/^[A-Z]+ \S+ HTTP\/1\.1\r\n/.test(request)) return
      requests.push(request)
      handler(socket, request)
    })
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  // A server that listens on TCP has an AddressInfo.
  const { port } = server.address() as AddressInfo
  return {
    origin: `http://127.0.0.1:${port}`,
    requests,
    get connections() {
      return connections
    },
    respond(next) {
      handler = next
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}
