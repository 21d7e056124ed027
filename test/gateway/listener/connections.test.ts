// Errors that only the operating system can cause are logged and survived.

import { createServer } from 'node:http'
import { expect, test } from 'vitest'
import { watchConnections } from '../../../src/gateway/listener/connections.ts'

test.each(['EMFILE', 'ENFILE', 'ENOBUFS'])(
  'a connection that could not be accepted for %s is only logged',
  async (code) => {
    const server = createServer()
    const refused: string[] = []
    const connections = watchConnections(server, {
      maxConnections: 10,
      maxConnectionsPerAddress: 0,
      isProxy: () => false,
      maxDescriptors: 1000,
      headMs: 10_000,
      now: () => performance.now(),
      input: { isFull: () => false, isKnown: () => false },
      isBusy: () => false,
      onRefused: (reason) => refused.push(reason),
      onCut: () => {},
    })
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
    server.emit('error', Object.assign(new Error('accept'), { code }))
    expect(refused).toEqual(['not-accepted'])
    await connections.close(0)
  },
)
