// One process per journal: two that count separately would allow twice the budget. A socket beside the file is the
// lock, because the system releases it when its process dies.

import { createHash } from 'node:crypto'
import { unlink } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { dirname, resolve } from 'node:path'
import { makeFolder } from '../../config/values/writing.ts'

/** Takes the lock of a file and resolves with what gives it back. Rejects with `held`, a sentence, when another process holds it. */
export async function lockJournal(file: string, held: string = countsTwice): Promise<() => Promise<void>> {
  const place = lockPlace(file)
  makeFolder(dirname(file))
  const server = createServer((socket) => socket.on('error', () => {}).destroy())
  // A connection attempt shows that the lock is held, even when none can be accepted.
  server.on('error', () => {})
  // The lock must not keep the process alive.
  server.unref()
  if (!(await listens(server, place))) {
    if (await isHeld(place)) throw new Error(held)
    // Left behind by a process that was killed.
    await unlink(place).catch(() => {})
    if (!(await listens(server, place))) throw new Error(`its lock ${place} cannot be taken`)
  }
  return () =>
    new Promise((done) => {
      server.close(() => done())
    })
}

const countsTwice =
  'another process uses it: two gateways cannot count in one journal. Give each its own file, or share budgets through a store'

function lockPlace(file: string): string {
  const path = resolve(file)
  if (process.platform === 'win32')
    return `\\\\.\\pipe\\devin-gateway-${createHash('sha256').update(path.toLowerCase()).digest('hex')}`
  const place = `${path}.lock`
  // What the system's socket addresses hold; a longer one would be cut silently.
  if (Buffer.byteLength(place) > 103) throw new Error('its path is too long for a lock beside it: take a shorter one')
  return place
}

function listens(server: Server, place: string): Promise<boolean> {
  return new Promise((done, fail) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      server.off('listening', onListening)
      if (error.code === 'EADDRINUSE') done(false)
      else fail(error)
    }
    const onListening = (): void => {
      server.off('error', onError)
      done(true)
    }
    server.once('error', onError).once('listening', onListening).listen(place)
  })
}

function isHeld(place: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(place)
    socket.once('connect', () => {
      socket.destroy()
      done(true)
    })
    socket.on('error', () => done(false))
  })
}
