// Ports that nobody listens at, for programs that are told their port.

import { createServer } from 'node:net'

/**
 * The system chooses the ports of outgoing connections, and of servers that ask for port 0, above 32,768. So a port below cannot be
 * taken by such a connection between the choice here and its use. The nodes of a cluster also listen 10,000 ports above their own.
 */
const first = 10_000
const last = 19_999
const shares = 8

/** Test files run side by side in several workers: each worker has a share of the ports for itself. */
const size = Math.floor((last - first + 1) / shares)
const start = first + (Number(process.env['VITEST_POOL_ID'] ?? 0) % shares) * size
let next = Math.floor(Math.random() * size)

/** Loopback ports at which nobody listens. No port is given twice by one worker until all others were given. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const ports: number[] = []
  for (let tried = 0; ports.length < count; tried += 1) {
    if (tried === size) throw new Error(`no free port from ${start} to ${start + size - 1}`)
    const port = start + (next % size)
    next += 1
    if (await isFree(port)) ports.push(port)
  }
  return ports
}

export async function freePort(): Promise<number> {
  const [port = 0] = await freePorts(1)
  return port
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
