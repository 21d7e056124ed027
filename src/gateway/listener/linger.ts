// Closes a connection whose caller still sends: one that is closed with input unread is reset, and the last answer is lost with
// it (RFC 9112 section 9.6).

import type { Socket } from 'node:net'
import { stopInput } from './input-flow.ts'

/**
 * How long a connection stays open for its last answer to arrive. Callers that connect again as soon as they are closed do so no
 * more often than this.
 */
export const lingerMs = 5_000
/** What is read and dropped meanwhile. The rest stays in the buffers of the system, so that reading it takes no time. */
export const mostLingeringBytes = 16 * 1024
/** How many connections stay open so; one more closes the oldest. Over TLS each holds more than 100 KiB in buffers of Node. */
export const mostLingering = 256

/** The oldest first. */
const lingering = new Set<Socket>()

/** The answer has been written: ends this side, and closes the connection when the other side has ended or after a while. */
export function lingerBeforeClosing(socket: Socket): void {
  socket.end()
  const timer = setTimeout(() => socket.destroy(), lingerMs)
  socket.once('close', () => {
    clearTimeout(timer)
    lingering.delete(socket)
  })
  // Node starts to read a paused connection on this event, and only while its parser is still attached.
  if (socket.isPaused()) socket.once('resume', () => dropInput(socket))
  else dropInput(socket)
  socket.resume()
  lingering.add(socket)
  if (lingering.size > mostLingering) closeOldest()
}

function closeOldest(): void {
  for (const socket of lingering) {
    // Its close event comes later.
    lingering.delete(socket)
    socket.destroy()
    return
  }
}

/** Nothing that arrives is a request any more, so the parser does not see it. */
function dropInput(socket: Socket): void {
  socket.removeAllListeners('data')
  let droppedBytes = 0
  socket.on('data', (chunk: Buffer) => {
    droppedBytes += chunk.length
    if (droppedBytes >= mostLingeringBytes) stopInput(socket)
  })
}
